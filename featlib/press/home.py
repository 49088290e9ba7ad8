"""Where things lie: the one place that knows the folders of a checkout of the book."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

MARKS = ("_toc.yml", "notebooks")


class HomeError(RuntimeError):
    """No checkout of the book was found."""


@dataclass(frozen=True)
class Home:
    """The folders of one checkout; ``build`` holds everything that can be made again."""

    root: Path
    build: Path

    @property
    def notebooks(self) -> Path:
        """Chapters and their cards."""
        return self.root / "notebooks"

    @property
    def evidence(self) -> Path:
        """The archive: evidence under git, one file per chapter."""
        return self.root / "book" / "evidence"

    @property
    def cache(self) -> Path:
        """Finished runs, one folder per digest."""
        return self.build / "cache"

    @property
    def failed(self) -> Path:
        """Notebooks of runs that failed, kept to be read."""
        return self.build / "failed"

    @property
    def stage(self) -> Path:
        """The tree that is handed to Jupyter Book: the checkout with executed notebooks."""
        return self.build / "stage"

    @property
    def html(self) -> Path:
        """The printed site."""
        return self.build / "html"

    @property
    def ledger(self) -> Path:
        """All evidence of the current code, as one file."""
        return self.build / "ledger.json"


def find_home(start: Path | None = None) -> Home:
    """The checkout around ``start`` (default: the working folder), or the one that featlib was installed from.

    ``FEATLIB_BUILD`` moves the build folder elsewhere, for example off a slow disk.

    Raises:
        HomeError: if neither holds ``_toc.yml`` and ``notebooks/``.
    """
    here = (start or Path.cwd()).resolve()
    for root in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if all((root / mark).exists() for mark in MARKS):
            return Home(root, Path(os.environ.get("FEATLIB_BUILD") or root / "_build").resolve())
    raise HomeError(f"no book at {here} or above it: run this inside a checkout (it has _toc.yml and notebooks/)")
