"""Sphinx extension of the book: what its pages draw from cards, ledger, data registry and benchmark file.

Listed in ``_config.yml``, so that the press and a plain ``jupyter-book build .`` print the same pages.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from markupsafe import escape
from sphinx.application import Sphinx

from featlib.press.links import NOTEBOOKS

from .badges import write_badges
from .base import read_book
from .chapter import insert_head
from .data import DataSources
from .evidence import ChapterEvidence, name_evidence
from .home import ChapterCards
from .hover import Definitions
from .maths import RENDERER, visit_block, visit_inline
from .meta import metadata
from .performance import Performance
from .scoreboard import Scoreboard, VerdictCounts
from .status import Status
from .verdict import VerdictRole

__all__ = ["setup"]


def add_head(app: Sphinx, doctree: nodes.document) -> None:
    """Put the chapter head, made from the card, below the title of every chapter."""
    folder, _, slug = app.env.docname.rpartition("/")
    if folder != NOTEBOOKS:
        return
    book = read_book(Path(app.srcdir))
    if slug in book.cards:
        book.depend(app.env)
        insert_head(doctree, book, slug, app.env.docname)
        name_evidence(doctree)


def publish(app: Sphinx, problem: Exception | None) -> None:
    """Copy the ledger to the root of the site, where its address never changes, and draw the badges."""
    if problem is None and app.builder.format == "html":
        book = read_book(Path(app.srcdir))
        for file in (book.ledger_path, book.ledger_path.with_suffix(".csv")):
            if file.exists():
                shutil.copyfile(file, Path(app.outdir) / file.name)
        write_badges(book, Path(app.outdir))


def finish_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None) -> None:
    """Say what the page is, and take off what the theme adds and the book has no use for.

    The scripts of sphinx-thebe name an outside host, and the book has no such button. The theme writes the title for
    printers as it stands in the source, so it is escaped here: a title may come from a card.
    """
    if "pagetitle" in context:
        context["pagetitle"] = str(escape(context["pagetitle"]))
    scripts = context.get("script_files", [])
    context["script_files"] = [script for script in scripts if "thebe" not in f"{script}{vars(script)}".lower()]
    context["metatags"] = context.get("metatags", "") + metadata(
        app, read_book(Path(app.srcdir)), page, doctree, context
    )


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx when it loads the extension."""
    app.add_directive("chapter-cards", ChapterCards)
    app.add_directive("verdict-counts", VerdictCounts)
    app.add_directive("scoreboard", Scoreboard)
    app.add_directive("chapter-evidence", ChapterEvidence)
    app.add_directive("data-sources", DataSources)
    app.add_directive("performance", Performance)
    app.add_directive("status", Status)
    app.add_role("verdict", VerdictRole())
    app.add_html_math_renderer(RENDERER, (visit_inline, None), (visit_block, None))
    app.connect("doctree-read", add_head)
    definitions = Definitions()
    app.connect("env-check-consistency", definitions.read)
    app.connect("doctree-resolved", definitions.write)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", publish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
