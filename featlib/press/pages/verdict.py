"""``{verdict}`claim-id``` in the prose of a chapter: today's verdict from the ledger, linked to its row there."""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from markupsafe import Markup
from sphinx.util.docutils import SphinxRole

from featlib.claims import Verdict
from featlib.press.card import nearest
from featlib.press.links import SCOREBOARD, address, anchor

from .base import html, read_book
from .markup import verdict_mark


class VerdictRole(SphinxRole):
    """A verdict that nobody typed: it follows the ledger, pooled over all seeds."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        """Called by Sphinx."""
        book = read_book(Path(self.env.srcdir))
        book.depend(self.env)
        slug = self.env.docname.rpartition("/")[2]
        rows = {row["claim"]: row for row in book.rows(slug)}
        if self.text not in rows:
            problem = self.inliner.reporter.error(
                f"the card of {slug!r} has no claim {self.text!r}{nearest(self.text, rows)}", line=self.lineno
            )
            return [self.inliner.problematic(self.rawtext, self.rawtext, problem)], [problem]
        link = address(self.env.docname, f"{SCOREBOARD}.html") + "#" + anchor(slug, self.text)
        mark = verdict_mark(Verdict(rows[self.text]["verdict"]))
        return [html(Markup('<a class="fl-verdict-link" href="{}">{}</a>').format(link, mark))], []
