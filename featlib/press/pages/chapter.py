"""The head of a chapter: finding, verdicts, cost, paper, buttons and departures, all from its card and the ledger."""

from __future__ import annotations

from statistics import median
from typing import Any

from docutils import nodes
from markupsafe import Markup

from featlib.press.card import Card
from featlib.press.links import NOTEBOOKS, SCOREBOARD, address, chapter_anchor
from featlib.press.parse import plain

from .badges import badge_path, in_words
from .base import Book, html
from .markup import counts_line, join

FINDING = "fl-finding"
DEPARTS = "departs"
"""The anchor of the departures on the page of a chapter."""


def insert_head(doctree: nodes.document, book: Book, slug: str, page: str) -> None:
    """Put the head below the finding: below the paragraph that says it, or else with a paragraph of its own."""
    title = next(iter(doctree.findall(nodes.title)), None)
    if title is None or title.parent is None:
        return
    place = title.parent.index(title) + 1
    finding = plain(book.cards[slug].finding)
    said = next((p for p in title.parent.findall(nodes.paragraph) if plain(p.astext()) == finding), None)
    if said is None:
        head = Markup('<p class="{}">{}</p>').format(FINDING, book.cards[slug].finding) + draw_head(book, slug, page)
        title.parent.insert(place, html(head))
        return
    said["classes"].append(FINDING)
    said.parent.insert(said.parent.index(said) + 1, html(draw_head(book, slug, page)))


def draw_head(book: Book, slug: str, page: str) -> Markup:
    """The lines below the finding of a chapter."""
    card = book.cards[slug]
    facts = (
        ("Claims", counts_line(book.counts(slug)) + badge_link(book, slug, page)),
        ("Cost", Markup("{}").format(cost(card, book.runs(slug)))),
        ("Paper", reference(card)),
        ("Open", buttons(book, slug, page)),
    )
    lines = join(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(name, fact) for name, fact in facts)
    return Markup('<div class="fl-head"><dl>{}</dl>{}</div>').format(lines, departures(card))


def badge_link(book: Book, slug: str, page: str) -> Markup:
    """The chapter's badge, which leads to its rows on the scoreboard."""
    board = f"{address(page, SCOREBOARD)}.html#{chapter_anchor(slug)}"
    return Markup('<a class="fl-badge" href="{}"><img src="{}" height="20" alt="{}"></a>').format(
        board, address(page, badge_path(slug)), f"All on the scoreboard, {in_words(book.counts(slug))}"
    )


def buttons(book: Book, slug: str, page: str) -> Markup:
    """Ways to run the chapter. The download is the source of this very page."""
    links = (
        ("Download the notebook", address(page, f"_sources/{NOTEBOOKS}/{slug}.ipynb"), Markup(" download")),
        ("Colab", book.outside.in_colab(slug), Markup()),
        ("Binder", book.outside.in_binder(slug), Markup()),
    )
    return Markup('<span class="fl-buttons">{}</span>').format(
        join(Markup('<a class="fl-button" href="{}"{}>{}</a>').format(to, extra, name) for name, to, extra in links)
    )


def reference(card: Card) -> Markup:
    """Authors, title, year and a link to the paper."""
    paper = card.paper
    before = Markup("{}. ").format(paper.authors) if paper.authors else Markup()
    venue = paper.venue.replace(str(paper.year), "").strip()
    after = Markup(" {},").format(venue) if venue else Markup()
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
    """What was changed against the paper, the major first, folded away."""
    if not card.departs:
        return Markup()
    ordered = sorted(card.departs, key=lambda depart: depart.weight != "major")
    items = join(Markup("<li>{} <small>({})</small></li>").format(depart.what, depart.weight) for depart in ordered)
    points = "one point" if len(ordered) == 1 else f"{len(ordered)} points"
    return Markup(
        '<details class="fl-departs" id="{}"><summary>Departs from the paper in {}</summary><ul>{}</ul></details>'
    ).format(DEPARTS, points, items)
