"""The home page: one card per chapter, part by part."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from docutils import nodes
from markupsafe import Markup

from featlib.press.links import NOTEBOOKS

from .base import Book, BookDirective, html
from .chapter import cost
from .markup import counts_line, join

PICTURES = Path("book", "assets", "chapters")
KINDS = (".svg", ".png", ".jpg", ".webp")


class ChapterCards(BookDirective):
    """``{chapter-cards}``: picture, title, finding, verdicts and cost of every chapter."""

    def render(self, book: Book) -> list[nodes.Node]:
        """The parts in the order of the table of contents; chapters are numbered through."""
        numbers = {slug: number for number, slug in enumerate(book.cards, start=1)}
        parts = groupby(book.cards, key=lambda slug: book.cards[slug].part)
        drawn = (
            self.part(book, number, part, {slug: numbers[slug] for slug in slugs})
            for number, (part, slugs) in enumerate(parts, start=1)
        )
        return [html(join(drawn))]

    def part(self, book: Book, number: int, part: str, slugs: dict[str, int]) -> Markup:
        """The cards of one part below its name."""
        cards = join(self.card(book, slug, place) for slug, place in slugs.items())
        return Markup(
            '<h3 class="fl-part"><small>Part {}</small> {}</h3><ol class="fl-cards" start="{}">{}</ol>'
        ).format(number, part, min(slugs.values()), cards)

    def card(self, book: Book, slug: str, place: int) -> Markup:
        """One chapter; the picture is decoration here, its description stands with it in the chapter."""
        card = book.cards[slug]
        return Markup(
            '<li class="fl-card">{}<div><span class="fl-place">Chapter {}</span>'
            '<a class="fl-card-title" href="{}">{}</a><p>{}</p>{}<small>{}</small></div></li>\n'
        ).format(
            self.picture(book, slug),
            place,
            self.to(f"{NOTEBOOKS}/{slug}.html"),
            card.title,
            card.finding,
            counts_line(book.counts(slug)),
            cost(card, book.runs(slug)),
        )

    def picture(self, book: Book, slug: str) -> Markup:
        """The chapter's own picture, or an empty frame until it has been run."""
        for kind in KINDS:
            if (book.root / PICTURES / f"{slug}{kind}").exists():
                source = self.to(f"_static/chapters/{slug}{kind}")
                return Markup('<img src="{}" alt="" loading="lazy">').format(source)
        return Markup('<div class="fl-no-picture" aria-hidden="true"></div>')
