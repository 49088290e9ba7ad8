"""What git says of a checkout."""

from __future__ import annotations

import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """What git says; its messages stay out of the build's log.

    Raises:
        CalledProcessError: if git refuses.
        OSError: if there is no git.
    """
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


def commit_of(folder: Path) -> str | None:
    """The commit that is checked out, with a ``+`` if tracked files differ from it; ``None`` where git knows none."""
    try:
        sha = git(folder, "rev-parse", "HEAD").strip()
        changed = git(folder, "status", "--porcelain", "--untracked-files=no").strip()
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{sha}+" if changed else sha
