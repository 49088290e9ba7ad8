"""Where a kernel meets the press: one private folder each, for its sockets and its key; swept up after a press died."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
import tempfile
from pathlib import Path

import psutil

LONGEST_SOCKET = 100
"""Bytes that the path of a socket may have, with room for its number; systems allow 104 or more."""


def make() -> Path:
    """A new folder that only this user can enter; its name holds the process that answers for it."""
    return Path(tempfile.mkdtemp(prefix=f"{_prefix()}{os.getpid()}-"))


def remove(place: Path | None) -> None:
    """Remove a folder, if there is one."""
    if place is not None:
        shutil.rmtree(place, ignore_errors=True)


def takes_sockets(place: Path) -> bool:
    """Whether a kernel can be met at a file here; otherwise it must be at a port."""
    return sys.platform != "win32" and len(os.fsencode(place)) < LONGEST_SOCKET


def sweep() -> None:
    """Remove what processes left behind that were killed and could not: their kernels have gone with them."""
    for place in Path(tempfile.gettempdir()).glob(f"{_prefix()}*-*"):
        owner = place.name.removeprefix(_prefix()).partition("-")[0]
        if owner.isdecimal() and not psutil.pid_exists(int(owner)):
            remove(place)


def _prefix() -> str:
    """Names the machine as well, for process numbers mean nothing on another that shares the folder."""
    return f"featlib-{re.sub('[^a-zA-Z0-9]', '', platform.node())[:20]}-"
