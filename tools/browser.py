"""Make sure that the tests have a browser: Debian's Chromium, put in with apt-get where that is allowed.

Nothing else is downloaded, and no browser is not an error: the tests that need one say so and are skipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
HOW = "install one with `sudo apt-get install chromium`, or put any Chrome or Chromium on the PATH"


def find() -> str | None:
    """Where a Chromium lies, if there is one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


def install() -> bool:
    """Put in Debian's Chromium; ``False`` if this is no Debian, or not root, or no package could be had."""
    if not shutil.which("apt-get") or os.geteuid() != 0:
        return False
    commands = [["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]]
    print("no browser: installing chromium with apt-get", file=sys.stderr)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in commands:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            print(f"{' '.join(command)} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}", file=sys.stderr)
            return False
    return find() is not None


if __name__ == "__main__":
    if not find() and not install():
        print(f"no browser, so the browser tests will be skipped: {HOW}", file=sys.stderr)
