"""The speed figure: how many times as fast as each peer, a lane for each size and a dot for each peer.

Places are per cent of the width, sizes are pixels: dots stay round and words keep their size on any screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup

from .markup import join, number

Row = dict[str, str]

TOP, LANE, LINE, AXIS, MARGIN = 26, 44, 22, 26, 13.0
"""Heights in pixels: of the words above, a lane, one more line in it, the axis; and the free border in per cent."""
WORDS = 44
"""How many letters fit beside each other on a narrow screen."""
MOST = 6
"""Ticks on an axis."""
SHAPES = (
    '<circle r="5"/>',
    '<path d="M0-6.5 6.5 0 0 6.5-6.5 0z"/>',
    '<path d="M0-6 6 5H-6z"/>',
    '<path d="M-4.5-4.5h9v9h-9z"/>',
    '<circle r="4.5" class="fl-hollow"/>',
    '<path d="M0-6.5 6.5 0 0 6.5-6.5 0z" class="fl-hollow"/>',
    '<path d="M0-6 6 5H-6z" class="fl-hollow"/>',
    '<path d="M-4.5-4.5h9v9h-9z" class="fl-hollow"/>',
)
"""One for each peer; colour tells nothing. With more peers than shapes the names under the dots still differ."""


@dataclass(frozen=True)
class Axis:
    """Ratios to places on a logarithmic axis that always holds 1."""

    low: float
    high: float

    def at(self, ratio: float) -> str:
        """The place of a ratio."""
        share = math.log(ratio / self.low) / math.log(self.high / self.low)
        return f"{MARGIN + (100 - 2 * MARGIN) * share:.2f}%"

    def ticks(self) -> list[float]:
        """Round ratios, 1 among them and not too many."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 1.2, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**power for power in powers for step in steps]
            found = [ratio for ratio in found if self.low <= ratio * 1.0001 and ratio <= self.high * 1.0001]
            if len(found) <= MOST:
                return found
        return [10.0**power for power in powers if power % math.ceil(len(powers) / MOST) == 0]


def speed(op: str, rows: Sequence[Row]) -> Markup:
    """The figure of one operation; nothing if no row has a ratio."""
    rows = [row for row in rows if ratio(row) > 0]
    if not rows:
        return Markup()
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    ratios = [ratio(row) for row in rows]
    axis = Axis(min(1.0, *ratios), max(1.0, *ratios) * 1.001 if max(ratios) > 1 or min(ratios) < 1 else 2.0)
    parts, y = [], TOP
    common = {row["break_even"] for row in rows}
    for label, group in lanes(rows):
        drawn, height = lane(label, group, peers, axis, y, told=len(common) == 1)
        parts.append(drawn)
        y += height
    words = caption(peers, *(common if len(common) == 1 else ()))
    drawing = Markup(
        '<svg class="fl-strip fl-speed" role="img" aria-label="{}" width="100%" height="{}" focusable="false">{}</svg>'
    ).format(describe(op, rows, peers), y + AXIS, frame(axis, y) + join(parts))
    return Markup('<figure class="fl-figure">{}<figcaption>{}</figcaption></figure>').format(drawing, words)


def ratio(row: Row) -> float:
    """The peer's time over ours; 0 where the file has no positive number."""
    try:
        value = float(row["ratio"])
    except ValueError:
        return 0.0
    return value if value > 0 and math.isfinite(value) else 0.0


def lanes(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    """Rows of one size together, in the order of the file; the size says device and type where those differ."""
    differ = [key for key in ("dtype", "device", "threads") if len({row[key] for row in rows}) > 1]
    names = {"threads": "{} threads"}

    def label(row: Row) -> str:
        more = [names.get(key, "{}").format(row[key]) for key in differ]
        return ", ".join([row["size"], *(word for word in more if word not in row["size"].split(", "))])

    first = {name: place for place, name in reversed(list(enumerate(map(label, rows))))}
    for name, group in groupby(sorted(rows, key=lambda row: first[label(row)]), key=label):
        yield name, list(group)


def lane(label: str, rows: list[Row], peers: list[str], axis: Axis, top: int, told: bool) -> tuple[Markup, int]:
    """One size: its name, from where on ours is faster unless told, and a dot for each peer; and the height of that."""
    pays = "" if told else "break-even: " + " / ".join(dict.fromkeys(row["break_even"] for row in rows))
    below = bool(pays) and len(label) + len(pays) > WORDS
    y = top + LANE - 15
    place = (0, y + 22, "start") if below else ("100%", top + 12, "end")
    parts = [
        Markup('<text x="0" y="{}" class="fl-size">{}</text>').format(top + 12, label),
        *([Markup('<text x="{}" y="{}" text-anchor="{}">{}</text>').format(*place, pays)] if pays else []),
        Markup('<line x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(y),
        *(dot(row, peers.index(row["peer"]), axis, y) for row in rows),
        *ends(rows, axis, y),
    ]
    return join(parts), LANE + LINE * below


def dot(row: Row, peer: int, axis: Axis, y: int) -> Markup:
    """One measurement. A nested ``<svg>`` moves its content by per cent, which a transform cannot."""
    return Markup('<svg x="{}" y="{}" overflow="visible" class="fl-mark"><title>{}</title>{}</svg>').format(
        axis.at(ratio(row)),
        y,
        f"{row['size']}, beside {row['peer']}: {number(ratio(row))} times as fast; break-even: {row['break_even']}",
        Markup(SHAPES[peer % len(SHAPES)]),
    )


def ends(rows: list[Row], axis: Axis, y: int) -> Iterator[Markup]:
    """The smallest and the largest ratio of a lane in numbers, on the outer side of their dots."""
    known = sorted({ratio(row) for row in rows})
    sides = [(known[-1], "start", 10)] + ([(known[0], "end", -10)] if len(known) > 1 else [])
    for value, anchor, dx in sides:
        yield Markup('<text x="{}" y="{}" dx="{}" text-anchor="{}" class="fl-size">{}×</text>').format(
            axis.at(value), y + 4, dx, anchor, number(value)
        )


def frame(axis: Axis, height: int) -> Markup:
    """The line of equal speed with a word on each side, the axis below and the other ticks."""
    one = axis.at(1.0)
    parts = [
        Markup('<text x="{}" y="12" dx="-6" text-anchor="end">slower</text>').format(one),
        Markup('<text x="{}" y="12" dx="6">faster than the peer</text>').format(one)
        if float(one[:-1]) < 60
        else Markup('<text x="{}" y="12" dx="6">faster</text>').format(one),
        Markup('<line x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(height),
    ]
    for tick in axis.ticks():
        kind = "fl-one" if tick == 1 else "fl-other"
        place = axis.at(tick)
        parts.append(
            Markup('<line x1="{0}" x2="{0}" y1="2" y2="{1}" class="{2}"/>').format(place, height, kind)
            + Markup('<text x="{}" y="{}" text-anchor="middle">{:g}×</text>').format(place, height + 17, tick)
        )
    return join(parts)


def describe(op: str, rows: list[Row], peers: list[str]) -> str:
    """What the figure shows, from the numbers that draw it."""
    said = [f"Speed of {op} beside its peers, on a logarithmic axis"]
    for peer in peers:
        known = sorted((ratio(row), row["size"]) for row in rows if row["peer"] == peer)
        (least, where), (most, there) = known[0], known[-1]
        slower = sum(value < 1 for value, _ in known)
        reach = f"{number(least)} times as fast at {where}"
        reach += f" to {number(most)} times as fast at {there}" if len(known) > 1 else ""
        missed = f", slower at {slower} of {len(known)} sizes" if slower else ", never slower"
        said.append(f"beside {peer}: {reach}{missed}")
    return ". ".join([said[0], "; ".join(said[1:])]) + "."


def caption(peers: list[str], common: str = "") -> Markup:
    """Which shape is which peer; and the break-even, where all rows have the same."""
    shapes = (
        Markup('<svg viewBox="-8 -8 16 16" class="fl-mark" aria-hidden="true" focusable="false">{}</svg>').format(
            Markup(SHAPES[n % len(SHAPES)])
        )
        for n in range(len(peers))
    )
    items = join(Markup("<li>{} {}</li>").format(*pair) for pair in zip(shapes, peers, strict=True))
    pays = Markup("<p>Break-even at every size: {}.</p>").format(common) if common else ""
    return Markup("<p>Our speed, in times the speed of</p><ul>{}</ul>{}").format(items, pays)
