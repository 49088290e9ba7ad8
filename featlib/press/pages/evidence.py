"""What stands behind each claim: a page for every chapter, and permanent names for the evidence in the chapter."""

from __future__ import annotations

import re

from docutils import nodes
from markupsafe import Markup

from featlib.claims import Verdict
from featlib.press.links import NOTEBOOKS, SCOREBOARD, anchor

from .base import Book, BookDirective, html
from .dates import rules_written
from .markup import verdict_mark
from .row import evidence_anchor, row_links, stale_note, unfolded

TABLE = re.compile(r'<table class="featlib-evidence">(?=\s*<caption>Evidence: ([a-z0-9-]+)</caption>)')
SHOWN = "Evidence: {}<"
"""How the table of a claim's evidence begins in a staged chapter, see ``featlib.press.evidence``."""


class ChapterEvidence(BookDirective):
    """``{chapter-evidence} slug``: every claim of one chapter with its verdict and what stands behind it."""

    required_arguments = 1

    def render(self, book: Book) -> list[nodes.Node]:
        """A section for each claim, under the claim's permanent name."""
        slug = self.arguments[0]
        if slug not in book.cards:
            raise self.error(f"no chapter {slug!r} in _toc.yml")
        written = rules_written(book.root, slug)
        chapter, board = (self.to(f"{page}.html") for page in (f"{NOTEBOOKS}/{slug}", SCOREBOARD))
        source = book.root / NOTEBOOKS / f"{slug}.ipynb"
        shown = source.read_text("utf8") if source.exists() else ""
        made: list[nodes.Node] = []
        for row in book.rows(slug):
            seen = SHOWN.format(row["claim"]) in shown
            links = row_links(book, row, chapter, board, self.to("ledger.json"), seen)
            verdict = Markup("<p>{}{}</p>").format(verdict_mark(Verdict(row["verdict"])), stale_note(row))
            behind = unfolded(book, row, written.get(row["claim"]), chapter, links)
            section = nodes.section("", nodes.title("", row["says"]), html(verdict + behind))
            section["ids"].append(anchor(slug, row["claim"]))
            made.append(section)
        return made


def name_evidence(doctree: nodes.document) -> None:
    """Put the name on every table of evidence; where a chapter records a claim twice, the first has it."""
    seen: set[str] = set()

    def named(found: re.Match[str]) -> str:
        if found[1] in seen:
            return found[0]
        seen.add(found[1])
        return str(Markup('<table class="featlib-evidence" id="{}">').format(evidence_anchor(found[1])))

    for node in list(doctree.findall(nodes.raw)):
        text = TABLE.sub(named, node.astext())
        if text != node.astext():
            node.children = [nodes.Text(text)]
            node.rawsource = text
