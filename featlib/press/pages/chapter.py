"""The head of a chapter: finding, paper, verdicts, cost and departures, all from its card and the ledger."""

from __future__ import annotations

from statistics import median
from typing import Any

from docutils import nodes
from markupsafe import Markup

from featlib.press.card import Card
from featlib.press.links import SCOREBOARD, address, chapter_anchor
from featlib.press.parse import plain

from .base import Book, html
from .markup import counts_line, join


def insert_head(doctree: nodes.document, book: Book, slug: str, page: str) -> None:
    """Put the head below the first title. The finding is left out where the chapter itself already says it."""
    title = next(iter(doctree.findall(nodes.title)), None)
    if title is None or title.parent is None:
        return
    said = plain(book.cards[slug].finding) in plain(doctree.astext())
    title.parent.insert(title.parent.index(title) + 1, html(head(book, slug, page, said)))


def head(book: Book, slug: str, page: str, said: bool) -> Markup:
    """The box below the title of a chapter."""
    card = book.cards[slug]
    finding = Markup() if said else Markup('<p class="fl-finding">{}</p>').format(card.finding)
    board = f"{address(page, SCOREBOARD)}.html#{chapter_anchor(slug)}"
    facts = (
        ("Paper", reference(card)),
        ("Claims", counts_line(book.counts(slug)) + Markup('<a href="{}">All on the scoreboard</a>').format(board)),
        ("Cost", Markup("{}").format(cost(card, book.runs(slug)))),
    )
    lines = join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, fact) for name, fact in facts)
    return finding + Markup('<div class="fl-head"><dl>{}</dl>{}</div>').format(lines, departures(card))


def reference(card: Card) -> Markup:
    """Authors, title, year and a link to the paper."""
    paper = card.paper
    before = Markup("{}. ").format(paper.authors) if paper.authors else Markup()
    after = Markup(" {},").format(paper.venue) if paper.venue else Markup()
    text = before + Markup("<cite>{}</cite>.").format(paper.title) + after + Markup(" {}.").format(paper.year)
    if paper.arxiv:
        return text + Markup(' <a href="https://arxiv.org/abs/{0}">arXiv:{0}</a>').format(paper.arxiv)
    if paper.doi:
        return text + Markup(' <a href="https://doi.org/{0}">doi:{0}</a>').format(paper.doi)
    return text


def cost(card: Card, runs: list[dict[str, Any]]) -> str:
    """What was promised and, once the chapter was run, what it took."""
    promise = card.promise
    device = {"cpu": "a laptop's processor", "cuda": "a GPU"}[promise.device]
    words = f"at most {promise.seconds:g} s and {promise.memory_gb:g} GB on {device}"
    if not runs:
        return f"Promised {words}, not yet run"
    seconds = median(run["seconds"] for run in runs)
    memory = max(run["peak_memory_mb"] for run in runs) / 1024
    return f"{seconds:.0f} s and {memory:.1f} GB a run; promised {words}"


def departures(card: Card) -> Markup:
    """What was changed against the paper, folded away."""
    if not card.departs:
        return Markup()
    items = join(
        Markup("<li>{} <small>({})</small></li>").format(depart.what, depart.weight) for depart in card.departs
    )
    return Markup("<details><summary>Departs from the paper in {}</summary><ul>{}</ul></details>").format(
        "one point" if len(card.departs) == 1 else f"{len(card.departs)} points", items
    )
