"""Prints the staged book with Jupyter Book; the finished site replaces the older one in one step."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from .check import check_site
from .home import Home
from .light import lighten
from .stage import StageError, replace_folder, stage

__all__ = ["PrintError", "StageError", "check_site", "print_site", "stage"]

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
FAULT = re.compile(r"\b(WARNING|ERROR|CRITICAL|Error|error)\b")
SHOWN = 12
"""How many of Jupyter Book's complaints an error message repeats."""


class PrintError(RuntimeError):
    """Jupyter Book did not print the book, or printed it with warnings."""


def print_site(home: Home) -> Path:
    """Print ``home.stage`` to ``home.html``. Warnings are errors, and an older site stays until the new one is whole.

    Raises:
        PrintError: if Jupyter Book fails or warns; the message holds what it said.
        IconError: if a page asks for an icon that nobody has drawn.
    """
    with tempfile.TemporaryDirectory(dir=home.build, prefix="print-") as name:
        command = "from jupyter_book.cli.main import main; main()"
        arguments = ["build", str(home.stage), "--path-output", name, "-W", "--keep-going", "--all"]
        # The stage carries its own ledger; a build folder set for the checkout must not hide it.
        environment = {key: value for key, value in os.environ.items() if key != "FEATLIB_BUILD"}
        done = subprocess.run(
            [sys.executable, "-c", command, *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**environment, "PYTHONUTF8": "1"},
        )
        printed = Path(name) / "_build" / "html"
        if done.returncode != 0 or not (printed / "index.html").exists():
            raise PrintError(complaint(done.stdout + done.stderr, home))
        lighten(printed)
        replace_folder(printed, home.html)
    return home.html


def complaint(output: str, home: Home) -> str:
    """What Jupyter Book said was wrong, with paths as in the checkout."""
    lines = [COLOUR.sub("", line).strip() for line in output.splitlines()]
    faults = list(dict.fromkeys(line for line in lines if FAULT.search(line))) or lines[-SHOWN:]
    said = "\n".join(f"  {line.replace(f'{home.stage}/', '')}" for line in faults[:SHOWN])
    more = f"\n  and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
    return f"the book was not printed:\n{said}{more}"
