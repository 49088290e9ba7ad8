"""The page "Data and models": every carrier of the registry, with licence and credit."""

from __future__ import annotations

from collections.abc import Iterable

from docutils import nodes
from markupsafe import Markup

from featlib.data.sources import SOURCES, Source
from featlib.press.links import NOTEBOOKS

from .base import Book, BookDirective, html
from .markup import NOTHING, join, table

HEAD = ("What", "Licence and credit", "How it comes", "Used by")
CARRIERS = {"pip": "Python package", "debian": "Debian package", "installed": "already installed with"}


class DataSources(BookDirective):
    """``{data-sources}``: one row per carrier."""

    def render(self, book: Book) -> list[nodes.Node]:
        """The table."""
        rows = [(f"data-{source.name}", self.cells(book, source)) for source in SOURCES.values()]
        return [html(table(HEAD, rows, "Carriers of data and weights"))]

    def cells(self, book: Book, source: Source) -> list[Markup]:
        """The cells of one carrier, in the order of ``HEAD``."""
        users = [slug for slug, card in book.cards.items() if source.name in card.data]
        what = Markup('<span class="fl-says">{}</span><small><code>{}</code></small>')
        rights = Markup('{}<small>{}</small><small><a href="{}">Where it comes from</a></small>')
        return [
            what.format(source.title, source.name),
            rights.format(source.licence, source.credit, source.upstream),
            carrier(source),
            self.chapters(book, users),
        ]

    def chapters(self, book: Book, slugs: Iterable[str]) -> Markup:
        """Links to the chapters that read a carrier."""
        links = [
            Markup('<a href="{}">{}</a>').format(self.to(f"{NOTEBOOKS}/{slug}.html"), book.cards[slug].title)
            for slug in slugs
        ]
        return Markup(", ").join(links) if links else NOTHING.format("no chapter yet")


def carrier(source: Source) -> Markup:
    """The package that brings it, its size, and how many digests are pinned."""
    size = f"{source.size_mb:.0f} MB" if source.size_mb >= 1 else ""
    pins = f"{len(source.files)} sha256 pinned"
    details = ", ".join(part for part in (size, pins) if part)
    parts = [
        Markup("{} <code>{}</code>").format(CARRIERS[source.carrier], source.package),
        Markup("<small>version {}</small>").format(source.version),
        Markup("<small>{}</small>").format(details),
    ]
    return join(parts)
