"""The status page: what each chapter took with each preset, and whether it kept its promise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from statistics import median
from typing import Any

from docutils import nodes
from markupsafe import Markup

from featlib.press.card import LAPTOP, Card
from featlib.press.costs import overruns
from featlib.press.links import NOTEBOOKS

from .base import Book, BookDirective, html
from .markup import NOTHING, join, table

HEAD = ("Chapter", "Runs", "Wall time", "CPU time", "Peak memory", "Promise", "Ran on")
KEPT = '<svg viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="M3 8.6l3.4 3.4L13 4.6"/></svg>'
BROKEN = '<svg viewBox="0 0 16 16" aria-hidden="true" focusable="false"><path d="M3.5 3.5l9 9m0-9l-9 9"/></svg>'
NEARLY = '<svg viewBox="0 0 16 16" aria-hidden="true" focusable="false"><circle cx="8" cy="8" r="5.2"/></svg>'


class Status(BookDirective):
    """``{status}``: one row for each chapter, preset and device of the ledger."""

    def render(self, book: Book) -> list[nodes.Node]:
        """The table; a chapter without runs has a row that says so."""
        rows = [("", cells) for slug in book.cards for cells in self.chapter(book, slug)]
        return [html(table(HEAD, rows, "Runs by chapter and preset"))]

    def chapter(self, book: Book, slug: str) -> Iterator[list[Markup]]:
        """The rows of one chapter."""
        card = book.cards[slug]
        link = Markup('<a href="{}">{}</a>').format(self.to(f"{NOTEBOOKS}/{slug}.html"), card.title)
        known = [run for run in book.ledger["runs"] if counts(run, slug)]
        fresh = [run for run in known if not run["stale"]]
        runs = sorted(fresh or known, key=kind)
        if not runs:
            yield [link, *[NOTHING.format("none yet")] * (len(HEAD) - 1)]
        for _, group in groupby(runs, key=kind):
            yield [link, *cells(card, list(group))]


def counts(run: dict[str, Any], slug: str) -> bool:
    """Whether a run tells what the chapter costs: one with parameters set by hand may cost anything."""
    return bool(run["chapter"] == slug and not run["overrides"])


def kind(run: dict[str, Any]) -> tuple[str, str]:
    """What the runs of a row share."""
    return run["preset"], run["device"]


def cells(card: Card, runs: list[dict[str, Any]]) -> list[Markup]:
    """The cells of one row after the first, in the order of ``HEAD``."""
    newest = max(runs, key=lambda run: run["date"])
    seconds, cpu, memory = ([run[key] for run in runs] for key in ("seconds", "cpu_seconds", "peak_memory_mb"))
    return [
        Markup("{}<small>preset {}</small>").format(len(runs), newest["preset"]),
        spread(seconds),
        spread(cpu),
        Markup("{:.2f} GB").format(max(memory) / 1024),
        promise(card, newest["preset"], max(seconds), max(memory) / 1024),
        Markup("{}<small>{}</small><details><summary>versions</summary><small>{}</small></details>").format(
            newest["device"], day(newest["date"]), versions(newest)
        ),
    ]


def spread(seconds: list[float]) -> Markup:
    """The median, and the longest where there are several."""
    longest = Markup("<small>longest {:.0f} s</small>").format(max(seconds)) if len(seconds) > 1 else Markup()
    return Markup("{:.0f} s{}").format(median(seconds), longest)


def promise(card: Card, preset: str, seconds: float, memory: float) -> Markup:
    """Whether every run stayed within what the card promises, which it does for one preset.

    A little over is said and forgiven, for machines differ; more than that breaks the promise.
    """
    if preset != LAPTOP:
        return NOTHING.format("none for this preset")
    over = overruns(card.promise, seconds, memory)
    if any(one.broken for one in over):
        name, shape, said = "contradicted", BROKEN, "broken"
    else:
        name, shape, said = ("inconclusive", NEARLY, "a little over") if over else ("supported", KEPT, "kept")
    words = "; ".join(map(str, over)) or f"{card.promise.seconds:g} s, {card.promise.memory_gb:g} GB"
    return Markup('<span class="fl-verdict fl-{}">{}<span>{}</span></span><small>{}</small>').format(
        name, Markup(shape), said, words
    )


def day(date: str) -> str:
    """The day of a moment."""
    return date[:10]


def versions(run: dict[str, Any]) -> Markup:
    """What was installed, and the digest of the code."""
    known: Iterable[tuple[str, str]] = run["versions"].items()
    return join(Markup("{} {}, ").format(name, version) for name, version in known) + Markup(
        "code <code>{}</code>"
    ).format(run["code_digest"][:12])
