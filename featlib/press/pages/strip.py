"""The dot strip: every seed a dot on one axis, with the rule's bar, the paper's figure, the control and the rival.

Places are per cent of the width, sizes are pixels: dots stay round and words keep their size on any screen. The dots of
a group are one path, with less than a dozen bytes for each: a claim may have eighty seeds, and a page dozens of claims.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from featlib.press.links import anchor

from .markup import join, number

LANE, TOP, AXIS, MARGIN = 38, 30, 26, 6.0
"""Heights in pixels: of a lane, of the marks' names above and of the axis below; and the free border in per cent."""
MANY, SPREAD = 24, (0, -6, 6, -3, 3)
"""From more dots than that on they are small, and neighbours stand at several heights: on one line they were a bar."""
LOG_FROM = 1000
"""Largest over smallest value from which on the axis is logarithmic."""
NAMES = {"ours": "ours", "rival": "trivial rival", "control": "control"}


@dataclass(frozen=True)
class Axis:
    """Values to places, in per cent of the width."""

    low: float
    high: float
    logarithmic: bool

    def at(self, value: float) -> str:
        """The place of a value."""
        low, high, here = (math.log10(v) if self.logarithmic else v for v in (self.low, self.high, value))
        share = (here - low) / (high - low)
        return f"{MARGIN + (100 - 2 * MARGIN) * share:.2f}%"

    def ticks(self) -> list[float]:
        """A few round values."""
        if self.logarithmic:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            return [10.0**power for power in range(first, last + 1, math.ceil((last - first + 1) / 4))]
        rough = (self.high - self.low) / 3
        base = 10 ** math.floor(math.log10(rough))
        step = max(base * factor for factor in (1, 2, 2.5, 5) if base * factor <= rough)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [round(step * n, 12) for n in range(first, last + 1)]


def axis_of(values: Iterable[float]) -> Axis:
    """An axis that holds all values."""
    known = sorted(values)
    low, high = known[0], known[-1]
    if low > 0 and high / low > LOG_FROM:
        return Axis(low, high, logarithmic=True)
    width = (high - low) or abs(high) or 1.0
    return Axis(low, high if high > low else low + width, logarithmic=False)


def bars(rule: dict[str, Any] | None) -> list[float]:
    """Where a rule draws its line."""
    found = (rule or {}).get
    ends = [found(key) for key in ("exceeds", "below", "at_most", "share_above")]
    return [end for end in (*ends, *(found("within") or ())) if end is not None]


def groups(row: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The samples of a row by what they are of, as far as there are any."""
    found = {"ours": row["samples"], **{key: (row[key] or {}).get("samples") for key in ("rival", "control")}}
    return {name: samples for name, samples in found.items() if samples}


def strip(row: dict[str, Any]) -> Markup:
    """The picture of a row's evidence; nothing if there is none."""
    lanes = groups(row)
    if "ours" not in lanes:
        return Markup()
    paper = row["paper"]["value"]
    shown = [value for samples in lanes.values() for value in samples.values()] + bars(row["rule"])
    interval = row["interval"] if row["rule"] and "share_above" not in row["rule"] else None
    axis = axis_of(shown + ([] if paper is None else [paper]) + (interval or []))
    height = TOP + LANE * len(lanes)
    parts = [
        *marks(row, axis, height),
        *(lane(name, lanes[name], axis, TOP + LANE * n, row) for n, name in enumerate(lanes)),
        *(mean(row, axis, interval) if interval else ()),
        *scale(axis, height),
    ]
    return Markup(
        '<svg class="fl-strip" role="img" aria-label="{}" width="100%" height="{}" focusable="false">{}</svg>'
    ).format(describe(row, lanes), height + AXIS, join(parts))


def describe(row: dict[str, Any], lanes: dict[str, dict[str, float]]) -> str:
    """What the picture shows, from the numbers that draw it."""
    said = [
        f"{NAMES[name]}: {len(samples)} seeds from {number(min(samples.values()))} to {number(max(samples.values()))}"
        for name, samples in lanes.items()
    ]
    said += [f"the rule's bar at {number(bar)}" for bar in bars(row["rule"])]
    if row["paper"]["value"] is not None:
        said.append(f"the paper's figure at {number(row['paper']['value'])}")
    return f"Dot strip of {row['claim']}. " + "; ".join(said) + "."


def lane(name: str, samples: dict[str, float], axis: Axis, top: int, row: dict[str, Any]) -> Markup:
    """One group: its name, and a dot for each seed. Shape tells the groups apart as well as colour.

    The inner picture is a thousand units wide, whatever its width in pixels. Dots are strokes without length, and the
    stroke does not scale: only their places do. A ring is a dot with a smaller one in the colour of the page on it.
    """
    many = " fl-many" if len(samples) > MANY else ""
    key = f"dots-{anchor(row['chapter'], row['claim'])}" if name == "rival" else ""
    path = Markup('<path{} vector-effect="non-scaling-stroke" d="{}"/>{}').format(
        Markup(' id="{}"').format(key) if key else "",
        "".join(dots(samples.values(), axis)),
        Markup('<use href="#{}"/>').format(key) if key else "",
    )
    return Markup(
        '<text x="0" y="{}" class="fl-strip-name">{}</text><svg y="{}" width="100%" height="1" viewBox="0 0 1000 1" '
        'preserveAspectRatio="none" overflow="visible" class="fl-dots fl-{}{}">{}</svg>'
    ).format(top + 11, NAMES[name], top + 24, name, many, path)


def dots(values: Collection[float], axis: Axis) -> Iterator[str]:
    """A stroke without length for each value from left to right, each told from the one before, to be short."""
    many = len(values) > MANY
    here = 0.0, 0
    for n, value in enumerate(sorted(values)):
        x, y = round(10 * float(axis.at(value)[:-1]), 0 if many else 1), SPREAD[n % len(SPREAD)] if many else 0
        yield f"m{x - here[0]:.1f}".removesuffix(".0") + f" {y - here[1]}h0".replace(" -", "-")
        here = x, y


def mean(row: dict[str, Any], axis: Axis, interval: list[float]) -> Iterator[Markup]:
    """Our interval as a line below the dots and our mean as a stroke on it."""
    y = TOP + 24
    low, high, centre = (axis.at(value) for value in (*interval, row["mean"]))
    yield Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" class="fl-range"/>').format(low, high, y, y)
    yield Markup('<line x1="{}" x2="{}" y1="{}" y2="{}" class="fl-mean"/>').format(centre, centre, y - 9, y + 9)


def marks(row: dict[str, Any], axis: Axis, height: int) -> Iterator[Markup]:
    """The rule's bar and the paper's figure as lines through all lanes, named above."""
    if row["paper"]["value"] is not None:
        value = row["paper"]["value"]
        yield mark("fl-paper", f"paper {number(value)}", value, axis, 25, height)
    for value in bars(row["rule"]):
        yield mark("fl-bar", f"rule {number(value)}", value, axis, 11, height)


def mark(kind: str, words: str, value: float, axis: Axis, y: int, height: int) -> Markup:
    """A vertical line with its name on the side where there is room."""
    x = axis.at(value)
    right = float(x[:-1]) > 60
    return Markup(
        '<g class="{}"><line x1="{}" x2="{}" y1="{}" y2="{}"/>'
        '<text x="{}" y="{}" dx="{}" text-anchor="{}">{}</text></g>'
    ).format(kind, x, x, y - 9, height, x, y, -5 if right else 5, "end" if right else "start", words)


def scale(axis: Axis, y: int) -> Iterator[Markup]:
    """The axis below the lanes."""
    yield Markup('<line x1="0" x2="100%" y1="{0}" y2="{0}" class="fl-scale"/>').format(y)
    for value in axis.ticks():
        yield Markup('<text x="{}" y="{}" text-anchor="middle" class="fl-tick">{}</text>').format(
            axis.at(value), y + 16, number(value) if axis.logarithmic else f"{value:g}".replace("-", "\u2212")
        )
