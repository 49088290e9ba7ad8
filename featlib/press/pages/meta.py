"""What a page says of itself to those that link to it: description, and the card that is shown with a link."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from markupsafe import Markup
from sphinx.application import Sphinx

from featlib.press.links import NOTEBOOKS

from .base import Book
from .hover import shortened
from .markup import join

CARD = "_static/social-card.png"
CARD_SAYS = "A grid of dots, small and blue at the edge, large and orange at the feature, beside the title of the book."


def describe(book: Book, page: str, doctree: nodes.document | None) -> str:
    """A chapter's finding; for any other page its first paragraph."""
    if is_chapter(book, page):
        return book.cards[page.rpartition("/")[2]].finding
    first = next(iter(doctree.findall(nodes.paragraph)), None) if doctree is not None else None
    return shortened(" ".join(first.astext().split())) if first is not None else ""


def is_chapter(book: Book, page: str) -> bool:
    """Whether a page is a chapter; the page of its evidence has the same name in another folder."""
    folder, _, slug = page.rpartition("/")
    return folder == NOTEBOOKS and slug in book.cards


def metadata(app: Sphinx, book: Book, page: str, doctree: nodes.document | None, context: dict[str, Any]) -> str:
    """The elements for the page's head. Addresses in them must be whole, so they need ``html_baseurl``."""
    base, said = app.config.html_baseurl, describe(book, page, doctree)
    named = {"description": said, "twitter:card": "summary_large_image"}
    properties = {
        "og:title": Markup(context.get("title", "")).striptags(),
        "og:description": said,
        "og:type": "article" if is_chapter(book, page) else "website",
        "og:site_name": app.config.project,
        "og:url": f"{base}{page}.html",
        "og:image": f"{base}{CARD}",
        "og:image:width": "1200",
        "og:image:height": "630",
        "og:image:alt": CARD_SAYS,
    }
    pairs = [("name", *pair) for pair in named.items()] + [("property", *pair) for pair in properties.items()]
    lines = (Markup('<meta {}="{}" content="{}">\n').format(kind, *pair) for kind, *pair in pairs if pair[1])
    # As plain text: the theme adds its own to it, and markup would escape that.
    return str(join(lines))
