"""Small pieces of HTML that several pages share. ``Markup.format`` escapes every value put into it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from featlib.claims import Verdict

# One shape per verdict, in a 16 x 16 box: the word never stands on its colour alone.
SHAPES = {
    Verdict.SUPPORTED: '<circle cx="8" cy="8" r="6" fill="currentColor"/>',
    Verdict.DIRECTION_ONLY: '<circle cx="8" cy="8" r="5.2"/><path fill="currentColor" d="M8 3a5 5 0 0 1 0 10"/>',
    Verdict.INCONCLUSIVE: '<circle cx="8" cy="8" r="5.2"/>',
    Verdict.NOT_REPRODUCED: '<rect x="3" y="3" width="10" height="10"/>',
    Verdict.CONTRADICTED: '<path d="M3.5 3.5l9 9m0-9l-9 9" stroke-width="2.6"/>',
    Verdict.PRECONDITION_FAILED: '<path d="M8 2.6l5.8 10.4H2.2z"/>',
    Verdict.NOT_TESTABLE: '<path d="M2.5 8h11" stroke-width="2.6"/>',
    Verdict.NOT_YET_RUN: '<circle cx="8" cy="8" r="5.2" stroke-dasharray="2 2.1"/>',
}
SUPERSCRIPT = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
NOTHING = Markup('<span class="fl-none">{}</span>')


def verdict_mark(verdict: Verdict, count: int | None = None) -> Markup:
    """A verdict as shape and word, with a count before the word where one is given."""
    shape = Markup('<svg viewBox="0 0 16 16" aria-hidden="true" focusable="false">{}</svg>').format(
        Markup(SHAPES[verdict])
    )
    number = "" if count is None else Markup("<b>{}</b> ").format(count)
    name = verdict.name.lower().replace("_", "-")
    return Markup('<span class="fl-verdict fl-{}">{}<span>{}{}</span></span>').format(
        name, shape, number, verdict.value
    )


def counts_line(counts: Mapping[Verdict, int]) -> Markup:
    """The verdicts of a chapter or of the book, each with its count."""
    items = join(Markup("<li>{}</li>").format(verdict_mark(verdict, n)) for verdict, n in counts.items())
    return Markup('<ul class="fl-counts">{}</ul>').format(items)


def join(parts: Iterable[str]) -> Markup:
    """The parts one after the other, each escaped unless it is markup already."""
    return Markup("").join(parts)


def number(value: float) -> str:
    """Three digits, a true minus sign, and a power of ten where the number is very small or large."""
    if value == 0:
        return "0"
    power = math.floor(math.log10(abs(value)))
    if -4 <= power < 6:
        digits = max(0, 2 - power)
        text = f"{value:,.{digits}f}".replace(",", "\u2009")
    else:
        text = f"{value / 10**power:.1f}\u2009\u00d7\u200910{str(power).translate(SUPERSCRIPT)}"
    return text.replace("-", "\u2212")


def estimate(mean: float | None, low: float | None, high: float | None) -> Markup:
    """A mean with its interval; an open side (one seed) is said in words."""
    if mean is None:
        return NOTHING.format("none")
    if low is None or high is None or not (math.isfinite(low) and math.isfinite(high)):
        return Markup('{} <span class="fl-interval">(no interval)</span>').format(number(mean))
    return Markup('{} <span class="fl-interval">[{}, {}]</span>').format(number(mean), number(low), number(high))


def table(head: Sequence[str], rows: Iterable[tuple[str, Sequence[Any]]], label: str) -> Markup:
    """A table that becomes a list of cards on a narrow screen; each row brings its id (or "")."""
    lines = join(line(head, name, cells) for name, cells in rows)
    return frame(head, Markup('<tbody role="rowgroup">{}</tbody>').format(lines), label)


def frame(head: Sequence[str], bodies: Markup, label: str) -> Markup:
    """The table around its rows.

    The roles repeat what the elements say, because a browser forgets it once the style sheet stacks the cells.
    """
    heads = join(Markup('<th scope="col" role="columnheader">{}</th>').format(name) for name in head)
    return Markup(
        '<div class="fl-scroll" role="region" tabindex="0" aria-label="{}"><table class="fl-table" role="table">'
        '<thead role="rowgroup"><tr role="row">{}</tr></thead>{}</table></div>'
    ).format(label, heads, bodies)


def line(head: Sequence[str], name: str, cells: Sequence[Any]) -> Markup:
    """One row; its first cell is its head. Every cell ends a line, or the search index would join its words."""
    first, *others = (
        Markup('{} data-label="{}"><div>{}</div>').format(Markup(role), title, cell)
        for role, title, cell in zip(
            ['scope="row" role="rowheader"', *['role="cell"'] * (len(head) - 1)], head, cells, strict=True
        )
    )
    drawn = Markup("<th {}</th>\n").format(first) + join(Markup("<td {}</td>\n").format(cell) for cell in others)
    mark = Markup(' id="{}"').format(name) if name else ""
    return Markup('<tr role="row"{}>{}</tr>').format(mark, drawn)
