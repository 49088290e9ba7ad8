"""Where things lie on the printed site: the names that pages, stage and checks share."""

from __future__ import annotations

import posixpath

NOTEBOOKS = "notebooks"
SCOREBOARD = "book/scoreboard"
EVIDENCE = "book/evidence"
"""The folder of the pages that hold what stands behind each verdict, one for each chapter."""


def address(page: str, target: str) -> str:
    """Where ``target`` (a path from the root of the site) lies as seen from the document ``page``."""
    return posixpath.relpath(target, posixpath.dirname(page) or ".")


def anchor(chapter: str, claim: str) -> str:
    """The permanent name of a claim, on the scoreboard and on the page of its evidence."""
    return f"claim-{chapter}-{claim}".replace("_", "-")


def evidence_page(chapter: str) -> str:
    """The document with the evidence for the claims of a chapter."""
    return f"{EVIDENCE}/{chapter}"


def chapter_anchor(chapter: str) -> str:
    """The permanent name of a chapter's section on the scoreboard."""
    return f"chapter-{chapter}".replace("_", "-")
