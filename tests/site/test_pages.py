"""The pieces that the pages are made of."""

import html

import pytest
from sphinx.errors import ExtensionError
from tiny_site import ALPHA, HOSTILE

from featlib.claims import Verdict
from featlib.press.card import Card
from featlib.press.links import address, anchor
from featlib.press.pages.base import read_book
from featlib.press.pages.chapter import cost, departures, reference
from featlib.press.pages.markup import SHAPES, counts_line, estimate, number, table, verdict_mark
from featlib.press.pages.performance import COLUMNS, figure, read


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.0, "0"),
        (0.5, "0.500"),
        (-0.0312, "\u22120.0312"),
        (74.83, "74.8"),
        (226.7, "227"),
        (12345.6, "12\u2009346"),
        (3.2e-7, "3.2\u2009\u00d7\u200910\u207b\u2077"),
        (-2.5e9, "\u22122.5\u2009\u00d7\u200910\u2079"),
        (0.0001234, "0.000123"),
    ],
)
def test_a_number_has_three_digits_and_a_true_minus(value, shown):
    assert number(value) == shown


def test_an_open_interval_is_said_in_words():
    assert "no interval" in estimate(0.5, None, None)
    assert "[0.400, 0.600]" in estimate(0.5, 0.4, 0.6)
    assert "none" in estimate(None, None, None)


def test_each_verdict_has_a_shape_of_its_own_and_its_word():
    assert set(SHAPES) == set(Verdict)
    assert len(set(SHAPES.values())) == len(Verdict)
    for verdict in Verdict:
        mark = verdict_mark(verdict, 3)
        assert SHAPES[verdict] in mark
        assert f"<b>3</b> {verdict.value}" in mark


def test_a_table_escapes_what_is_put_into_it():
    drawn = table(["<Claim>"], [("row", [HOSTILE])], '"label"')
    assert "<script>" not in drawn
    assert HOSTILE in html.unescape(drawn)
    assert 'aria-label="&#34;label&#34;"' in drawn


def test_a_row_of_another_length_than_the_head_is_refused():
    with pytest.raises(ValueError, match="zip"):
        table(["one", "two"], [("", ["only one"])], "label")


def test_counts_keep_every_verdict_they_are_given():
    drawn = counts_line({Verdict.CONTRADICTED: 2, Verdict.NOT_YET_RUN: 11})
    assert drawn.index("<b>2</b> contradicted") < drawn.index("<b>11</b> not yet run")


@pytest.mark.parametrize(
    ("page", "target", "link"),
    [
        ("book/home", "notebooks/alpha.html", "../notebooks/alpha.html"),
        ("book/home", "ledger.json", "../ledger.json"),
        ("home", "ledger.json", "ledger.json"),
    ],
)
def test_an_address_is_seen_from_its_page(page, target, link):
    assert address(page, target) == link


def test_the_anchor_of_a_claim_names_chapter_and_claim():
    assert anchor("deep_nets", "wins-twice") == "claim-deep-nets-wins-twice"


class TestChapterHead:
    card = Card.model_validate({**ALPHA, "slug": "alpha"})

    def test_cost_before_any_run_is_the_promise(self):
        assert cost(self.card, []) == "Promised at most 60 s and 2 GB on a laptop's processor, not yet run"

    def test_cost_is_the_median_time_and_the_largest_memory(self):
        runs = [{"seconds": s, "peak_memory_mb": m} for s, m in ((10, 1024), (30, 2048), (300, 512))]
        assert cost(self.card, runs).startswith("30 s and 2.0 GB a run; promised at most 60 s")

    def test_reference_links_the_paper_and_escapes_its_title(self):
        drawn = reference(self.card)
        assert "A. Author. <cite>On &lt;alpha&gt;</cite>. 2020." in drawn
        assert 'href="https://arxiv.org/abs/2008.00299"' in drawn

    def test_departures_are_listed_with_their_weight(self):
        assert "A smaller &lt;network&gt; <small>(major)</small>" in departures(self.card)
        assert departures(self.card.model_copy(update={"departs": []})) == ""


class TestBook:
    def test_without_a_ledger_every_claim_is_there_and_none_was_judged(self, tiny):
        book = read_book(tiny.home.root)
        assert not book.run
        assert [(row["chapter"], row["claim"]) for row in book.rows()] == [
            *(("alpha", claim["id"]) for claim in ALPHA["claims"]),
            ("beta", "waits"),
        ]
        assert book.counts() == {Verdict.NOT_TESTABLE: 1, Verdict.NOT_YET_RUN: 5}

    def test_with_a_ledger_rows_are_those_of_the_ledger(self, tiny):
        ledger = tiny.collect()
        book = read_book(tiny.home.root)
        assert book.run
        assert book.rows() == ledger["rows"]
        assert book.counts("alpha") == {
            Verdict.SUPPORTED: 2,
            Verdict.INCONCLUSIVE: 1,
            Verdict.NOT_TESTABLE: 1,
            Verdict.NOT_YET_RUN: 1,
        }
        assert sum(book.counts().values()) == 6

    def test_a_claim_that_an_older_ledger_lacks_is_not_yet_run(self, tiny):
        tiny.collect()
        (tiny.home.notebooks / "beta.yml").write_text(
            (tiny.home.notebooks / "beta.yml").read_text().replace("id: waits", "id: renamed")
        )
        book = read_book(tiny.home.root)
        assert [row["verdict"] for row in book.rows("beta")] == ["not yet run"]
        assert [row["claim"] for row in book.rows("beta")] == ["renamed"]

    def test_only_pooled_runs_tell_the_cost(self, tiny):
        tiny.collect()
        book = read_book(tiny.home.root)
        assert [run["seconds"] for run in book.runs("alpha")] == [41.4]
        book.ledger["runs"][0]["pooled"] = False
        assert book.runs("alpha") == []


class TestPerformance:
    def test_a_missing_column_is_named(self, tmp_path):
        file = tmp_path / "performance.csv"
        file.write_text(",".join(column for column in COLUMNS if column not in {"peer_ms", "commit"}) + "\n")
        with pytest.raises(ExtensionError, match="no column peer_ms, commit; make bench writes them all"):
            read(file)

    @pytest.mark.parametrize(
        ("text", "shown"), [("74.8", "74.8"), ("never", "never"), ("", ""), ("nan", "nan"), ("inf", "inf")]
    )
    def test_what_is_no_number_stays_as_it_is(self, text, shown):
        assert figure(text) == shown
