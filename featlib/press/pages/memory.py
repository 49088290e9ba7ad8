"""The memory figure: the peak of ours and of each peer over the batch, both axes logarithmic.

Places are per cent of the width and pixels of the height, as in the speed figure, whose shapes the peers keep.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from markupsafe import Markup

from .markup import join, number
from .speed import SHAPES, Row

HEIGHT, TOP, AXIS = 170, 14, 40
"""Pixels of the plot, above it, and below it."""
LEFT, RIGHT = 19.0, 80.0
"""Per cent of the width where the plot begins and ends."""
OURS = len(SHAPES) // 2
"""The shape of our own curve: the first hollow one."""
ROOM = 0.22
"""Share of the axis that the name of a batch takes."""
GIGA = 1024.0

Curve = Mapping[int, float]


def memory(op: str, rows: Sequence[Row]) -> Markup:
    """A figure for each family of sizes that differ in their first number alone; nothing for less than two sizes."""
    peers = list(dict.fromkeys(row["peer"] for row in rows))
    families: dict[str, list[Row]] = {}
    for row in rows:
        if sides(row):
            families.setdefault(split(row["size"])[1], []).append(row)
    return join(
        figure(op, what, group, peers)
        for what, group in families.items()
        if len({split(row["size"])[0] for row in group}) > 1
    )


def figure(op: str, what: str, rows: Sequence[Row], peers: Sequence[str]) -> Markup:
    """The figure of one family."""
    curves = curves_of(rows)
    batches = sorted({batch for curve in curves.values() for batch in curve})
    least, most = (pick(value for curve in curves.values() for value in curve.values()) for pick in (min, max))
    low, high = math.floor(math.log10(least)), max(math.ceil(math.log10(most)), math.floor(math.log10(least)) + 1)

    def x(batch: int) -> str:
        return f"{LEFT + (RIGHT - LEFT) * math.log(batch / batches[0]) / math.log(batches[-1] / batches[0]):.2f}%"

    def y(megabytes: float) -> str:
        return f"{TOP + HEIGHT * (high - math.log10(megabytes)) / (high - low):.1f}"

    parts = [
        *(tick_y(10.0**power, y(10.0**power)) for power in range(low, high + 1)),
        *(tick_x(batch, x(batch)) for batch in apart(batches)),
        Markup('<text x="100%" y="{}" text-anchor="end">{}</text>').format(TOP + HEIGHT + 36, what),
    ]
    for name, curve in curves.items():
        points = [(x(batch), y(curve[batch])) for batch in sorted(curve)]
        shape = SHAPES[peers.index(name) % len(SHAPES)] if name else SHAPES[OURS]
        said = [f"{size(curve[batch])} at {batch} {what}, {name or 'ours'}" for batch in sorted(curve)]
        parts += line(points)
        parts += (mark(*point, shape, title) for point, title in zip(points, said, strict=True))
        parts.append(
            Markup('<text x="{}" y="{}" dx="10" dy="4" class="fl-size">{}</text>').format(
                *points[-1], size(curve[max(curve)])
            )
        )
    drawing = Markup(
        '<svg class="fl-strip fl-speed" role="img" aria-label="{}" width="100%" height="{}" focusable="false">{}</svg>'
    ).format(describe(op, what, curves), TOP + HEIGHT + AXIS, join(parts))
    return Markup('<figure class="fl-figure">{}<figcaption>{}</figcaption></figure>').format(
        drawing, caption(curves, peers)
    )


def sides(row: Row) -> tuple[float, float] | None:
    """Peaks of the peer and of ours; nothing where the file lacks one, or the size begins with no number."""
    try:
        found = float(row.get("peer_mb") or ""), float(row.get("ours_mb") or "")
    except ValueError:
        return None
    good = all(value > 0 and math.isfinite(value) for value in found)
    return found if good and split(row["size"])[0] > 0 else None


def split(text: str) -> tuple[int, str]:
    """The number that a size begins with as a word of its own, 0 if none, and what follows it."""
    found = re.fullmatch(r"([0-9]+) ([^0-9].*)", text)
    return (int(found[1]), found[2]) if found else (0, text)


def curves_of(rows: Sequence[Row]) -> dict[str, Curve]:
    """Peak by batch for each peer, and for ours under the empty name: where it was taken several times, the largest."""
    ours: dict[int, float] = {}
    curves: dict[str, dict[int, float]] = {}
    for row in rows:
        if taken := sides(row):
            batch = split(row["size"])[0]
            curves.setdefault(row["peer"], {})[batch] = taken[0]
            ours[batch] = max(taken[1], ours.get(batch, 0.0))
    return {**curves, "": ours}


def size(megabytes: float) -> str:
    """So many MB, or GB where that is shorter."""
    return f"{number(megabytes)} MB" if megabytes < GIGA else f"{number(megabytes / GIGA)} GB"


def line(points: Sequence[tuple[str, str]]) -> Iterator[Markup]:
    """Pieces of one curve: only they can lie between places in per cent."""
    for (x1, y1), (x2, y2) in pairwise(points):
        yield Markup('<line x1="{}" y1="{}" x2="{}" y2="{}" class="fl-one"/>').format(x1, y1, x2, y2)


def mark(x: str, y: str, shape: str, title: str) -> Markup:
    """One measurement."""
    drawn = '<svg x="{}" y="{}" overflow="visible" class="fl-mark"><title>{}</title>{}</svg>'
    return Markup(drawn).format(x, y, title, Markup(shape))


def apart(batches: Sequence[int]) -> list[int]:
    """Batches whose names do not touch on a narrow screen: the last one, and back from it those far enough away."""
    chosen = [batches[-1]]
    for batch in reversed(batches):
        if math.log(chosen[-1] / batch) > ROOM * math.log(batches[-1] / batches[0]):
            chosen.append(batch)
    return chosen


def tick_x(batch: int, x: str) -> Markup:
    """A batch below the axis."""
    return Markup('<text x="{}" y="{}" text-anchor="middle">{}</text>').format(x, TOP + HEIGHT + 18, batch)


def tick_y(megabytes: float, y: str) -> Markup:
    """A line at a power of ten and its name before it."""
    words = f"{megabytes:g} MB" if megabytes < 1e3 else f"{megabytes / 1e3:g},000 MB"
    drawn = '<line x1="{0}%" x2="{1}%" y1="{2}" y2="{2}"/><text x="0" y="{2}" dy="4">{3}</text>'
    return Markup(drawn).format(LEFT, RIGHT, y, words)


def describe(op: str, what: str, curves: Mapping[str, Curve]) -> str:
    """What the figure shows, from the numbers that draw it."""
    said = []
    for name, curve in curves.items():
        first, last = min(curve), max(curve)
        words = f"{name or 'ours'} from {size(curve[first])} at {first} to {size(curve[last])} at {last}"
        said.append(words + f", {curve[last] / curve[first]:.3g} times for {last / first:.3g} times the batch")
    return f"Peak memory of {op} over the batch ({what}), on logarithmic axes: {'; '.join(said)}."


def caption(curves: Mapping[str, Curve], peers: Sequence[str]) -> Markup:
    """Which shape is which side."""
    shapes = {name: SHAPES[peers.index(name) % len(SHAPES)] if name else SHAPES[OURS] for name in curves}
    item = '<li><svg viewBox="-8 -8 16 16" class="fl-mark" aria-hidden="true" focusable="false">{}</svg> {}</li>'
    items = join(Markup(item).format(Markup(shape), name or "ours") for name, shape in shapes.items())
    return Markup("<p>Most memory held at one time, beyond the inputs</p><ul>{}</ul>").format(items)
