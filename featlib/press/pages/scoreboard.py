"""The scoreboard: every claim of every card is one row, whatever its verdict."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from markupsafe import Markup

from featlib.claims import Verdict
from featlib.press.links import NOTEBOOKS, anchor, chapter_anchor

from .base import Book, BookDirective, html
from .markup import NOTHING, counts_line, estimate, number, table, verdict_mark

HEAD = ("Claim", "The paper", "Ours", "Control", "Beyond the trivial rival", "Verdict")
OUR_OWN = "ours"
"""What a card says in `where` for a claim that the paper does not make."""
INTERVAL = ("mean", "low", "high")
COMPARISONS = """Each claim is judged by itself, and nothing is corrected for their number. A 95 % interval misses the
truth once in twenty times: among the {n} judged so far, about {expected} may stand on the wrong side by chance. Read
the table as a whole, and do not pick the one row that surprises."""


class VerdictCounts(BookDirective):
    """``{verdict-counts}``: all claims of the book by verdict, with all of them in the denominator."""

    def render(self, book: Book) -> list[nodes.Node]:
        """One sentence and the counts."""
        n = len(book.rows())
        total = Markup('<p class="fl-total"><b>{}</b> {} in {} {}:</p>').format(
            n, plural(n, "claim"), len(book.cards), plural(len(book.cards), "chapter")
        )
        return [html(total + counts_line(book.counts()))]


class Scoreboard(BookDirective):
    """``{scoreboard}``: counts, downloads, the note on multiple comparisons, and one table per chapter."""

    def render(self, book: Book) -> list[nodes.Node]:
        """The whole page below its title."""
        judged = sum(row["mean"] is not None for row in book.rows())
        note = COMPARISONS.format(n=judged, expected=f"{0.05 * judged:.1g}")
        top = Markup("<p>{}</p>").format(note) if judged else Markup()
        return [html(top + self.downloads(book)), *(self.chapter(book, slug) for slug in book.cards)]

    def downloads(self, book: Book) -> Markup:
        """Links to the ledger, or the reason why there is none."""
        if not book.run:
            return Markup("<p>No chapter has been run for this print, so there is no ledger to download yet.</p>")
        return Markup(
            '<p>The whole ledger with every sample, version and digest: <a href="{}" download>ledger.json</a>, '
            '<a href="{}" download>ledger.csv</a>. This page is drawn from it alone, from runs with the preset '
            "<em>{}</em>.</p>"
        ).format(self.to("ledger.json"), self.to("ledger.csv"), book.ledger["preset"])

    def chapter(self, book: Book, slug: str) -> nodes.section:
        """A section with the claims of one chapter."""
        card = book.cards[slug]
        section = nodes.section("", nodes.title("", card.title), ids=[chapter_anchor(slug)])
        section["names"].append(slug)
        link = Markup('<p><a href="{}">{}</a></p>').format(self.to(f"{NOTEBOOKS}/{slug}.html"), card.finding)
        rows = [(anchor(slug, row["claim"]), claim_cells(row)) for row in book.rows(slug)]
        section += html(link + counts_line(book.counts(slug)) + table(HEAD, rows, f"Claims of {card.title}"))
        return section


def plural(n: int, word: str) -> str:
    """The word, with an s unless there is exactly one."""
    return word if n == 1 else f"{word}s"


def claim_cells(row: dict[str, Any]) -> list[Markup]:
    """The cells of one claim, in the order of ``HEAD``."""
    return [claim(row), paper(row), ours(row), control(row), rival(row), verdict(row)]


def claim(row: dict[str, Any]) -> Markup:
    """Statement, rule and permalink."""
    name = anchor(row["chapter"], row["claim"])
    return Markup(
        '<span class="fl-says">{}</span><small>Rule: {}.</small>'
        '<small><a class="fl-id" href="#{}" title="Permanent link to this claim">{}</a> · {}</small>'
    ).format(row["says"], row["rule_words"] or "none", name, row["claim"], row["kind"])


def paper(row: dict[str, Any]) -> Markup:
    """The paper's figure, or that only the direction is known, and where the claim stands."""
    if row["where"] == OUR_OWN:
        return NOTHING.format("a claim of ours") + small(row["paper"]["note"])
    known = row["paper"]["value"]
    figure = "direction only" if known is None else number(known)
    return Markup("{}{}{}").format(figure, small(row["paper"]["note"]), small(row["where"]))


def small(text: str | None) -> Markup:
    """A line in small type, or nothing."""
    return Markup("<small>{}</small>").format(text) if text else Markup()


def ours(row: dict[str, Any]) -> Markup:
    """Our mean, its interval and the number of seeds."""
    if row["mean"] is None:
        return NOTHING.format("no samples")
    low, high = row["interval"] or (None, None)
    return estimate(row["mean"], low, high) + small(row["unit"]) + small(f"{row['n']} {plural(row['n'], 'seed')}")


def beside(found: dict[str, Any] | None) -> Markup:
    """The figure of a control or a rival above its name, or that there is none."""
    if found is None:
        return NOTHING.format("none")
    figure = NOTHING.format("no samples") if found["mean"] is None else estimate(*(found[k] for k in INTERVAL))
    return figure + small(found["name"])


def control(row: dict[str, Any]) -> Markup:
    """What the control measured, and whether it failed the rule, as it must."""
    failed = (row["control"] or {}).get("failed")
    outcome = {None: "", True: "failed the rule, as it must", False: "passed the rule, as it must not"}[failed]
    return beside(row["control"]) + small(outcome)


def rival(row: dict[str, Any]) -> Markup:
    """By how much we beat the dumbest method that could do the job."""
    return beside(row["rival"])


def verdict(row: dict[str, Any]) -> Markup:
    """The verdict as shape and word, and why."""
    return verdict_mark(Verdict(row["verdict"])) + small(row["reason"])
