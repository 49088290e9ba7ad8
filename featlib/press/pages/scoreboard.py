"""The scoreboard: every claim of every card is one row, whatever its verdict."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from docutils import nodes
from markupsafe import Markup
from sphinx import addnodes

from featlib.claims import Verdict
from featlib.press.links import NOTEBOOKS, anchor, chapter_anchor, evidence_page

from .badges import BOOK, badge_path, in_words
from .base import Book, BookDirective, count, html
from .markup import NOTHING, counts_line, estimate, frame, join, line, table, verdict_mark
from .row import OUR_OWN, paper_figure, small, stale_note

HEAD = ("Claim", "Kind", "The paper", "Ours", "Seeds", "Verdict")
COUNTED = ("Claims", "Verdicts")
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
    """``{scoreboard}``: the note on multiple comparisons, all claims in one table, counts, downloads and badges.

    What stands behind a row has a page for each chapter, see ``chapter-evidence``.
    """

    def render(self, book: Book) -> list[nodes.Node]:
        """The whole page below its title."""
        judged = sum(row["mean"] is not None for row in book.rows())
        note = COMPARISONS.format(n=judged, expected=f"{0.05 * judged:.1g}")
        top = Markup("<p>{}</p>").format(note) if judged else Markup()
        return [
            html(top),
            self.section("All claims", self.index(book), html(self.board(book))),
            self.section("By chapter", html(self.by_chapter(book))),
            self.section("By kind", html(self.by_kind(book))),
            self.section("Take it with you", html(self.downloads(book) + self.badges(book))),
        ]

    def section(self, title: str, *content: nodes.Node) -> nodes.section:
        """A section of the page."""
        made = nodes.section("", nodes.title("", title), *content, ids=[nodes.make_id(title)])
        made["names"].append(title.lower())
        return made

    def index(self, book: Book) -> addnodes.index:
        """An entry for each claim, so that the search leads to its row."""
        entries = [
            ("single", row["claim"].replace("-", " "), anchor(row["chapter"], row["claim"]), "", None)
            for row in book.rows()
        ]
        return addnodes.index(entries=entries)

    def board(self, book: Book) -> Markup:
        """The table; the filters wait for the script."""
        bodies = join(join(self.claims(book, slug)) for slug in book.cards)
        return filters(book) + Markup('<div data-board="">{}</div>').format(frame(HEAD, bodies, "All claims"))

    def claims(self, book: Book, slug: str) -> Iterable[Markup]:
        """The rows of one chapter, each a body of its own, which the filters hide and the sorting moves."""
        behind = self.behind(slug)
        for row in book.rows(slug):
            yield Markup(
                '<tbody role="rowgroup" data-chapter="{}" data-kind="{}" data-verdict="{}" data-seeds="{}">{}</tbody>\n'
            ).format(
                slug,
                row["kind"],
                row["verdict"],
                row["n"],
                line(HEAD, anchor(slug, row["claim"]), claim_cells(row, book.cards[slug].title, behind)),
            )

    def behind(self, slug: str) -> str:
        """Where the evidence for the claims of a chapter stands. Without a stage it has no page but the chapter."""
        page = evidence_page(slug)
        return self.to(f"{page}.html" if page in self.env.found_docs else f"{NOTEBOOKS}/{slug}.html")

    def by_chapter(self, book: Book) -> Markup:
        """The counts of each chapter, all its claims in the denominator."""
        rows = []
        for slug, card in book.cards.items():
            link = Markup('<a id="{}" href="{}">{}</a>').format(
                chapter_anchor(slug), self.to(f"{NOTEBOOKS}/{slug}.html"), card.title
            )
            rows.append(("", counted(link + small(card.finding), book.rows(slug))))
        return table(("Chapter", *COUNTED), rows, "Counts by chapter")

    def by_kind(self, book: Book) -> Markup:
        """The counts of each kind of claim."""
        kinds = sorted({row["kind"] for row in book.rows()})
        rows = [("", counted(Markup("{}").format(kind), of_kind(book, kind))) for kind in kinds]
        return table(("Kind", *COUNTED), rows, "Counts by kind")

    def downloads(self, book: Book) -> Markup:
        """Links to the ledger, or the reason why there is none."""
        if not book.run:
            return Markup("<p>No chapter has been run for this print, so there is no ledger to download yet.</p>")
        return Markup(
            '<p>The whole ledger with every sample, version and digest: <a href="{}" download>ledger.json</a>, '
            '<a href="{}" download>ledger.csv</a>. This page is drawn from it alone, from runs with the preset '
            "<em>{}</em>.</p>"
        ).format(self.to("ledger.json"), self.to("ledger.csv"), book.ledger["preset"])

    def badges(self, book: Book) -> Markup:
        """All badges; they are drawn from the same ledger."""
        names = {BOOK: "the whole book", **{slug: card.title for slug, card in book.cards.items()}}
        items = join(
            Markup('<li><img src="{0}" height="20" alt="{1}"> <a href="{0}">{2}</a></li>').format(
                self.to(badge_path(slug)), in_words(book.counts(None if slug == BOOK else slug)), name
            )
            for slug, name in names.items()
        )
        text = "A badge for a page of your own follows the ledger of each print:"
        return Markup('<p>{}</p><ul class="fl-badges">{}</ul>').format(text, items)


def filters(book: Book) -> Markup:
    """Three choices and a sign of what they leave; without script all rows show, and there is nothing to choose."""
    rows = book.rows()
    chapters = {slug: card.title for slug, card in book.cards.items()}
    kinds = {kind: kind for kind in sorted({row["kind"] for row in rows})}
    verdicts = {verdict.value: f"{verdict.value} ({n})" for verdict, n in count(rows).items()}
    fields = (("chapter", chapters), ("verdict", verdicts), ("kind", kinds))
    return Markup('<form class="fl-filter" hidden>{}<p role="status"></p></form>').format(
        join(choice(name, options) for name, options in fields)
    )


def choice(name: str, options: dict[str, str]) -> Markup:
    """One filter."""
    items = join(Markup('<option value="{}">{}</option>').format(value, words) for value, words in options.items())
    return Markup(
        '<label>{} <select name="{}" autocomplete="off"><option value="">all</option>{}</select></label>'
    ).format(name.capitalize(), name, items)


def plural(n: int, word: str) -> str:
    """The word, with an s unless there is exactly one."""
    return word if n == 1 else f"{word}s"


def of_kind(book: Book, kind: str) -> list[dict[str, Any]]:
    """The rows of one kind."""
    return [row for row in book.rows() if row["kind"] == kind]


def counted(name: Markup, rows: list[dict[str, Any]]) -> list[Markup]:
    """The cells of a table of counts."""
    return [name, Markup("{}").format(len(rows)), counts_line(count(rows))]


def claim_cells(row: dict[str, Any], title: str, behind: str) -> list[Markup]:
    """The cells of one claim, in the order of ``HEAD``; ``behind`` is the page of its evidence."""
    own = row["where"] == OUR_OWN
    return [
        Markup('<span class="fl-says">{}</span>{}{}').format(row["says"], small(title), evidence_link(row, behind)),
        Markup("{}").format(row["kind"]),
        NOTHING.format("a claim of ours") if own else Markup("{}").format(paper_figure(row)),
        ours(row),
        Markup("{}").format(row["n"]),
        verdict_mark(Verdict(row["verdict"])) + stale_note(row),
    ]


def evidence_link(row: dict[str, Any], page: str) -> Markup:
    """From a row to what stands behind it. Its name holds the claim, for all these links say the same word."""
    return Markup(
        '\n<a class="fl-behind" href="{}#{}">Evidence<span class="visually-hidden"> for {}</span></a>'
    ).format(page, anchor(row["chapter"], row["claim"]), row["claim"])


def ours(row: dict[str, Any]) -> Markup:
    """Our mean with its interval."""
    if row["mean"] is None:
        return NOTHING.format("no samples")
    low, high = row["interval"] or (None, None)
    return estimate(row["mean"], low, high) + small(row["unit"])
