"""What the pages draw from: the cards and the ledger below one source folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from docutils import nodes
from markupsafe import Markup
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective

from featlib.claims import Verdict
from featlib.press.card import Card, load_cards
from featlib.press.collect import collect, read_ledger
from featlib.press.home import find_home
from featlib.press.links import NOTEBOOKS, address

from .outside import Outside, read_outside


@dataclass(frozen=True)
class Book:
    """Cards and ledger rows; ``run`` tells whether there is a ledger at all."""

    root: Path
    cards: dict[str, Card]
    ledger: dict[str, Any]
    ledger_path: Path
    outside: Outside

    @property
    def run(self) -> bool:
        """Whether any evidence was collected for this book."""
        return self.ledger_path.exists()

    def rows(self, slug: str | None = None) -> list[dict[str, Any]]:
        """One row per claim, in the order of the cards: of one chapter, or of all."""
        return [row for row in self.ledger["rows"] if slug in {None, row["chapter"]}]

    def sweeps(self, slug: str, claim: str) -> list[dict[str, Any]]:
        """What a claim came to under other parameters than the scoreboard's."""
        return [row for row in self.ledger["sweeps"] if (row["chapter"], row["claim"]) == (slug, claim)]

    def runs(self, slug: str) -> list[dict[str, Any]]:
        """The runs of a chapter that stand behind its rows."""
        return [run for run in self.ledger["runs"] if run["chapter"] == slug and run["pooled"]]

    def counts(self, slug: str | None = None) -> dict[Verdict, int]:
        """How many claims of a chapter, or of all, have each verdict."""
        return count(self.rows(slug))

    def depend(self, env: BuildEnvironment) -> None:
        """Tell Sphinx that the page it reads changes with the cards and the ledger."""
        for file in (self.ledger_path, *(self.root / NOTEBOOKS).glob("*.yml")):
            env.note_dependency(str(file))


def count(rows: Iterable[dict[str, Any]]) -> dict[Verdict, int]:
    """How many rows have each verdict; verdicts that none has are left out."""
    found = Counter(Verdict(row["verdict"]) for row in rows)
    return {verdict: found[verdict] for verdict in Verdict if found[verdict]}


def read_book(root: Path) -> Book:
    """The book below ``root``. Claims that the ledger does not hold stand as *not yet run*."""
    home = find_home(root)
    cards = load_cards(home)
    empty = collect(cards, [], "laptop")
    known = read_ledger(home.ledger) if home.ledger.exists() else {"runs": [], "rows": []}
    by_claim = {(row["chapter"], row["claim"]): row for row in known["rows"]}
    rows = [{**row, **by_claim.get((row["chapter"], row["claim"]), {})} for row in empty["rows"]]
    return Book(home.root, cards, {**empty, **known, "rows": rows}, home.ledger, read_outside(home.root))


class BookDirective(SphinxDirective):
    """A directive without arguments whose HTML comes from the book."""

    def render(self, book: Book) -> list[nodes.Node]:
        """The nodes of this directive."""
        raise NotImplementedError

    def run(self) -> list[nodes.Node]:
        """Called by Sphinx."""
        book = read_book(Path(self.env.srcdir))
        book.depend(self.env)
        return self.render(book)

    def to(self, target: str) -> str:
        """The address of ``target`` from this page."""
        return address(self.env.docname, target)


def html(markup: Markup) -> nodes.raw:
    """Finished HTML as a node. Only ``Markup`` comes in, so every value in it was escaped."""
    return nodes.raw("", str(markup), format="html")
