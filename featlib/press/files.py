"""Files that are whole or as they were, and what killed processes leave behind."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

import psutil

OWNED = re.compile(r"\.(\d+)-")
"""The process that answers for a temporary file, in its name."""


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, and never a half."""
    sweep_files(path.parent, f".{path.name}.*-*")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.{os.getpid()}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def sweep_files(folder: Path, pattern: str) -> None:
    """Remove temporary files of processes that were killed and could not."""
    for left in folder.glob(pattern):
        owner = OWNED.search(left.name)
        if owner and not psutil.pid_exists(int(owner[1])):
            left.unlink(missing_ok=True)
