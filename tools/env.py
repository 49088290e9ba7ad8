"""Make or refresh the virtual environment of the book. Run by ``make env``; needs nothing but Python 3.11 or newer.

Quick when nothing changed: a stamp inside the environment holds the digest of everything it was made from.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
STAMP = VENV / "featlib-environment"
CONSTRAINTS = ROOT / "constraints.txt"
OLDEST = (3, 11)


def say(text: str) -> None:
    """Tell the person at the terminal what happens next."""
    print(f"env: {text}", flush=True)


def digest() -> str:
    """One digest of all that decides what is installed."""
    parts = [(ROOT / "pyproject.toml").read_bytes(), CONSTRAINTS.read_bytes(), Path(__file__).read_bytes()]
    parts += [sys.version.encode(), b"gpu" if has_gpu() else b"cpu", str(ROOT).encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def has_gpu() -> bool:
    """Whether an NVIDIA driver answers on this machine."""
    tool = shutil.which("nvidia-smi")
    return bool(tool) and subprocess.run([tool, "-L"], capture_output=True, check=False).returncode == 0


def python() -> str:
    """The interpreter inside the environment."""
    return str(VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))


def pip(*arguments: str, check: bool = True) -> bool:
    """Run pip inside the environment; with ``check``, a failure ends the whole command."""
    command = [python(), "-m", "pip", "--disable-pip-version-check", "install", "-q", *arguments]
    # as root, inside its own environment, pip's warning about root is noise
    done = subprocess.run(command, env={**os.environ, "PIP_ROOT_USER_ACTION": "ignore"}, check=False)
    if check and done.returncode:
        sys.exit(f"env: this failed: {' '.join(command)}\nenv: mend the cause above, then run `make env` again")
    return done.returncode == 0


def pinned(package: str) -> str:
    """``name==version`` as the constraints file has it."""
    for line in CONSTRAINTS.read_text().splitlines():
        if line.lower().startswith(f"{package}=="):
            return line.strip()
    sys.exit(f"env: constraints.txt does not pin {package}")


def install_torch() -> None:
    """Install torch first, so that no other package pulls in a build for a GPU that is not there."""
    want = pinned("torch")
    if has_gpu():
        say(f"an NVIDIA GPU answers: installing {want} with CUDA (several GB)")
        pip(want)
    elif platform.system() != "Linux":
        say(f"installing {want}")
        pip(want)
    else:
        say(f"no GPU: installing the CPU build of {want}")
        installed = pip(f"{want}+cpu", check=False)
        if not installed:
            say("pip's index has no CPU build; asking uv, which knows where PyTorch keeps it")
            pip("uv")
            uv = [
                python(),
                "-m",
                "uv",
                "pip",
                "install",
                "--python",
                python(),
                "--torch-backend",
                "cpu",
                want,
            ]
            installed = subprocess.run(uv, check=False).returncode == 0
        if not installed:
            sys.exit(f"env: no CPU build of {want} could be had. `.venv/bin/pip install {want}` takes the GPU build.")


def main() -> None:
    """Make the environment, or say that it is up to date."""
    if sys.version_info < OLDEST:
        sys.exit(
            f"env: Python {OLDEST[0]}.{OLDEST[1]} or newer is needed, this is {platform.python_version()}; "
            "name another one with `make env PYTHON=python3.11`"
        )
    want = digest()
    if STAMP.exists() and STAMP.read_text() == want:
        say("up to date")
        return
    start = time.monotonic()
    if not Path(python()).exists():
        say(f"making {VENV.name} with Python {platform.python_version()}")
        venv.create(VENV, with_pip=True, clear=VENV.exists())
    install_torch()
    say("installing the book, the press and the tests at the versions of constraints.txt")
    extras = "book,test,gpu" if has_gpu() else "book,test"
    pip("-c", str(CONSTRAINTS), "-e", f"{ROOT}[{extras}]")
    STAMP.write_text(want)
    size = sum(f.stat().st_size for f in VENV.rglob("*") if f.is_file() and not f.is_symlink()) / 1e9
    say(f"ready in {time.monotonic() - start:.0f} s, {size:.1f} GB")


if __name__ == "__main__":
    main()
