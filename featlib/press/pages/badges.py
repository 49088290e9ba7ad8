"""Badges: a small picture of the verdicts, one for each chapter and one for the book, from the same ledger."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from markupsafe import Markup

from featlib.claims import Verdict

from .base import Book
from .markup import SHAPES, join

FOLDER = "badges"
BOOK = "book"
INK, PAPER, SUPPORT, AGAINST, OPEN = "#1d2a33", "#ffffff", "#0067a5", "#b23c00", "#55626c"
COLOURS = {
    Verdict.SUPPORTED: SUPPORT,
    Verdict.DIRECTION_ONLY: SUPPORT,
    Verdict.NOT_REPRODUCED: AGAINST,
    Verdict.CONTRADICTED: AGAINST,
}
WIDE, DIGIT, ICON = 6.6, 7.0, 14
"""Pixels of a letter, of a digit, and of a shape with its gap."""


def badge_path(slug: str) -> str:
    """Where the badge of a chapter, or of the ``BOOK``, lies on the site."""
    return f"{FOLDER}/{slug}.svg"


def in_words(counts: Mapping[Verdict, int]) -> str:
    """The counts as a sentence: all claims are in the denominator."""
    return f"of {sum(counts.values())} claims " + ", ".join(f"{n} {verdict.value}" for verdict, n in counts.items())


def badge(label: str, counts: Mapping[Verdict, int]) -> Markup:
    """A badge: the name on ink, then shape and count of each verdict. The sizes of letters are forced, not trusted."""
    left = round(len(label) * WIDE) + 16
    x, pieces = left + 8.0, []
    for verdict, n in counts.items():
        wide = round(len(str(n)) * DIGIT)
        pieces.append(
            Markup(
                '<g color="{0}" fill="none" stroke="currentColor" stroke-width="1.6" '
                'transform="translate({1:g} 4) scale(.75)">{2}</g>'
                '<text x="{3:g}" y="14" fill="{0}" textLength="{4}">{5}</text>'
            ).format(COLOURS.get(verdict, OPEN), x, Markup(SHAPES[verdict]), x + ICON, wide, n)
        )
        x += ICON + wide + 9
    whole = round(x)
    return Markup(
        '<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="20" role="img" '
        'aria-label="{label}: {words}"><title>{label}: {words}</title>'
        '<rect width="{whole}" height="20" rx="4" fill="{ink}"/>'
        '<path d="M{left} 1h{rest}a3 3 0 0 1 3 3v12a3 3 0 0 1-3 3H{left}z" fill="{paper}"/>'
        '<g font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" font-weight="bold">'
        '<text x="8" y="14" fill="{paper}" font-weight="normal" textLength="{wide}">{label}</text>{pieces}</g></svg>\n'
    ).format(
        whole=whole,
        left=left,
        rest=whole - left - 4,
        label=label,
        words=in_words(counts),
        wide=left - 16,
        ink=INK,
        paper=PAPER,
        pieces=join(pieces),
    )


def write_badges(book: Book, site: Path) -> None:
    """Write all badges into the printed site."""
    (site / FOLDER).mkdir(exist_ok=True)
    for slug in (*book.cards, BOOK):
        drawn = badge("claims" if slug == BOOK else slug, book.counts(None if slug == BOOK else slug))
        (site / badge_path(slug)).write_text(drawn, "utf8")
