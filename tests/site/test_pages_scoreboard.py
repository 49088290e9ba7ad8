"""What stands behind a row of the scoreboard, and what the status page says of a chapter."""

import re
import subprocess
from itertools import accumulate

import numpy as np
import pytest
import yaml
from tiny_site import ALPHA, ROOT, claim

from featlib.claims import Verdict
from featlib.press.card import Card
from featlib.press.pages import dates, row, status
from featlib.press.pages.badges import badge, in_words
from featlib.press.pages.base import read_book
from featlib.press.pages.dates import rule_lines, rules_written
from featlib.press.pages.markup import line
from featlib.press.pages.outside import read_outside
from featlib.press.pages.scoreboard import HEAD, claim_cells, filters
from featlib.press.pages.strip import MANY, MARGIN, axis_of, bars, strip

GROUPS = ("ours", "control", "rival")


@pytest.fixture
def rows(tiny):
    """The rows of chapter alpha by claim."""
    tiny.collect()
    return {row["claim"]: row for row in read_book(tiny.home.root).rows("alpha")}


def path(drawn, kind):
    """The one path of a group's dots."""
    (found,) = re.findall(rf'class="fl-dots fl-{kind}[^>]*><path[^>]* d="([^"]+)"', drawn)
    return found


def places(drawn, kind):
    """Where the dots of a group stand, in per cent, left to right; each step is told from the dot before."""
    found = path(drawn, kind)
    assert re.fullmatch(r"(m-?[\d.]+[ -]\d+h0)+", found)
    return [x / 10 for x in accumulate(float(step) for step in re.findall(r"m(-?[\d.]+)", found))]


def with_seeds(row, n):
    """A row with so many seeds of ours, of the control and of the rival."""
    drawn = {key: np.random.default_rng(at).normal(0.4 + 0.1 * at, 0.1, n) for at, key in enumerate(GROUPS)}
    found = {key: {str(seed): float(value) for seed, value in enumerate(values)} for key, values in drawn.items()}
    groups = {key: {**row[key], "samples": found[key]} for key in GROUPS[1:]}
    return {**row, **groups, "samples": found["ours"], "seeds": [*range(n)], "n": n, "unit": "points"}


class TestStrip:
    def test_every_sample_is_a_dot_at_its_place_on_one_axis(self, rows):
        found = rows["holds"]
        drawn = strip(found)
        samples = {name: list(found[name]["samples"].values()) for name in ("control", "rival")}
        samples["ours"] = list(found["samples"].values())
        mark = float(re.search(r'class="fl-paper"><line x1="([\d.]+)%"', drawn)[1])
        bar = float(re.search(r'class="fl-bar"><line x1="([\d.]+)%"', drawn)[1])
        # The axis is straight: two known values, the bar at 0.5 and the paper at 0.75, give the place of any other.
        for name, values in samples.items():
            expected = [bar + (value - 0.5) / 0.25 * (mark - bar) for value in sorted(values)]
            assert places(drawn, name) == pytest.approx(expected, abs=0.02)

    def test_nothing_leaves_the_picture(self, rows):
        at = [float(x) for x in re.findall(r'x[12]?="([\d.]+)%"', strip(rows["unclear"])) if x not in {"0", "100"}]
        assert MARGIN - 0.01 <= min(at)
        assert max(at) <= 100 - MARGIN + 0.01

    def test_many_dots_stand_at_their_places_too_and_cost_few_bytes(self, rows):
        found = with_seeds(rows["holds"], 80)
        drawn = strip(found)
        mark = float(re.search(r'class="fl-paper"><line x1="([\d.]+)%"', drawn)[1])
        bar = float(re.search(r'class="fl-bar"><line x1="([\d.]+)%"', drawn)[1])
        for name in GROUPS:
            values = found["samples"] if name == "ours" else found[name]["samples"]
            expected = [bar + (value - 0.5) / 0.25 * (mark - bar) for value in sorted(values.values())]
            assert places(drawn, name) == pytest.approx(expected, abs=0.08)  # whole units of a thousandth
            assert len(path(drawn, name)) <= 12 * 80
        assert drawn.count("<title>") == 0
        assert drawn.count("fl-many") == 3
        assert "fl-many" not in strip(with_seeds(rows["holds"], MANY))

    def test_a_ring_is_one_path_drawn_twice(self, rows):
        drawn = strip(rows["holds"])
        assert drawn.count('id="dots-claim-alpha-holds"') == drawn.count('href="#dots-claim-alpha-holds"') == 1

    def test_it_says_what_it_shows(self, rows):
        said = re.search(r'aria-label="([^"]+)"', strip(rows["holds"]))[1]
        assert "ours: 3 seeds from 0.710 to 0.740" in said
        assert "control: 3 seeds from 0.100 to 0.200" in said
        assert "bar at 0.500" in said
        assert "paper&#39;s figure at 0.750" in said

    def test_a_claim_without_samples_has_no_picture(self, rows):
        assert strip(rows["later"]) == ""

    def test_values_of_many_sizes_share_a_logarithmic_axis(self, rows):
        axis = axis_of([3e-7, 1e-5, 0.4])
        assert axis.logarithmic
        assert [float(axis.at(v)[:-1]) for v in (3e-7, 0.4)] == [MARGIN, 100 - MARGIN]
        assert axis.ticks() == pytest.approx([1e-6, 1e-4, 1e-2])
        assert not axis_of([-3e-7, 0.4]).logarithmic

    def test_equal_values_have_an_axis_too(self):
        assert axis_of([2.0, 2.0]).at(2.0) == f"{MARGIN:.2f}%"

    @pytest.mark.parametrize(
        ("rule", "expected"),
        [
            ({"exceeds": 0.0}, [0.0]),
            ({"within": [-1.0, 1.0]}, [-1.0, 1.0]),
            ({"share_above": 0.3, "at_least": 0.5}, [0.3]),
            (None, []),
        ],
    )
    def test_each_rule_has_its_bars(self, rule, expected):
        assert bars(rule) == expected


class TestRow:
    def test_the_command_names_all_seeds_as_the_command_line_takes_them(self, rows):
        assert list(row.ranges([0, 1, 2, 5, 7, 8])) == ["0..2", "5", "7..8"]
        assert list(row.ranges([3])) == ["3"]
        many = {**rows["holds"], "seeds": [0, 1, 2, 5]}
        assert row.command(many) == "featlib run alpha --preset laptop --seed 0..2 --seed 5 --force"

    def test_it_says_what_a_reader_needs_to_check_it(self, tiny):
        tiny.collect()
        book = read_book(tiny.home.root)
        found = book.rows("alpha")[0]
        links = row.row_links(book, found, "alpha.html", "board.html", "l.json", True)
        drawn = row.unfolded(book, found, None, "alpha.html", links)
        for said in (
            *("mean above 0.5", found["reason"], "table 1", "shuffled labels", "failed the rule, as it must"),
            *("pixel mean", "0: 0.710, 1: 0.740, 2: 0.720", "four times out of five", "preset laptop, cpu"),
            *('href="alpha.html#departs">1 major, 0 minor', "41 s, 50 s of CPU time, 1.5 GB for 1 run"),
            *("promised for one run with the laptop preset: 60 s, 2 GB", "2026-11-23, code <code>c</code>"),
            *("featlib run alpha --preset laptop --seed 0 --force", 'href="alpha.html#evidence-holds"', "l.json"),
            'href="board.html#claim-alpha-holds"',
        ):
            assert said in drawn

    def test_a_claim_with_eighty_seeds_stays_light(self, tiny):
        tiny.collect()
        book = read_book(tiny.home.root)
        found = with_seeds(book.rows("alpha")[0], 80)
        links = row.row_links(
            book, found, "../../notebooks/alpha.html", "../scoreboard.html", "../../ledger.json", True
        )
        drawn = row.unfolded(book, found, None, "../../notebooks/alpha.html", links)
        assert len(drawn.encode()) < 6_000
        assert len(line(HEAD, "claim-alpha-holds", claim_cells(found, "Alpha", "evidence/alpha.html")).encode()) < 1_500

    def test_of_many_seeds_the_first_are_listed_and_the_others_counted(self, rows):
        drawn = row.samples(with_seeds(rows["holds"], 80))
        assert re.findall(r"(\d+): ", drawn) == [str(seed) for seed in range(8)]
        assert "\u2026 72 more, in the ledger" in drawn
        assert "more" not in row.samples(with_seeds(rows["holds"], 24))

    def test_a_row_on_old_evidence_says_so_and_shows_its_history(self, tiny, rows):
        past = {"day": "2026-01-02", "verdict": "inconclusive", "commit": "a" * 40, "n": 1}
        old = {"archived": 2, "stale": {"seeds": ["1", "2"], "why": ["featlib changed since"], "vouched": []}}
        found = {**rows["holds"], **old, "history": [past]}
        assert "stale: code changed since" in row.stale_note(found)
        drawn = row.basis(found)
        assert "2 of 3 seeds from the archive of earlier runs; 2 of them stale: featlib changed since" in drawn
        told = row.history(read_book(tiny.home.root), found)
        assert "2026-01-02, inconclusive" in told
        assert f'commit/{"a" * 40}"><code>aaaaaaaaa</code>' in told
        found["stale"]["vouched"] = ["0"]
        assert row.stale_note(found) == ""
        assert "run again with today&#39;s code, seed 0 gave the same values" in row.basis(found)
        assert row.basis(rows["holds"]) == row.history(read_book(tiny.home.root), rows["holds"]) == ""

    def test_a_row_tells_what_its_claim_came_to_under_other_parameters(self, tiny, rows):
        other = {**rows["holds"], "overrides": {"width": 4, "name": "<b>"}, "verdict": "inconclusive"}
        book = read_book(tiny.home.root)
        assert row.elsewhere(book, rows["holds"]) == ""
        book.ledger["sweeps"] = [other, {**other, "claim": "own"}]
        drawn = row.elsewhere(book, rows["holds"])
        assert "name=&#34;&lt;b&gt;&#34;, width=4: inconclusive" in drawn
        assert drawn.count("<li>") == 1

    def test_a_control_that_passed_is_called_out(self, rows):
        passed = {**rows["holds"], "control": {**rows["holds"]["control"], "failed": False}}
        assert "passed the rule, as it must not" in row.control(passed)

    def test_a_dispute_opens_an_issue_with_title_and_facts(self, tiny, rows):
        from urllib.parse import parse_qs, urlsplit

        link = urlsplit(read_outside(tiny.home.root).dispute(rows["holds"]))
        assert f"{link.scheme}://{link.netloc}{link.path}" == "https://github.com/featlib/featlib/issues/new"
        asked = parse_qs(link.query)
        assert asked["title"] == ["Dispute: alpha/holds is supported"]
        assert asked["body"][0].startswith("Claim alpha/holds, supported, code c\n")
        assert len(link.query) < 300

    def test_filters_offer_what_there_is_and_count_it(self, tiny):
        tiny.collect()
        drawn = filters(read_book(tiny.home.root))
        assert '<form class="fl-filter" hidden>' in drawn
        assert '<option value="supported">supported (2)</option>' in drawn
        assert "contradicted" not in drawn
        assert '<option value="beta">The beta chapter</option>' in drawn


class TestDates:
    """A rule is dated by the commit of its own lines, and by nothing else on the card."""

    def commit(self, root, day):
        stamp = f"2026-{day}T12:00:00Z"
        env = {"GIT_COMMITTER_DATE": stamp, "GIT_AUTHOR_DATE": stamp, "PATH": "/usr/bin:/bin", "HOME": str(root)}
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        for command in (["init", "-q"], ["add", "notebooks"], [*who, "commit", "-qm", day]):
            subprocess.run(["git", "-C", str(root), *command], check=True, env=env)

    def change(self, tiny, old, new):
        card = tiny.home.notebooks / "alpha.yml"
        assert old in card.read_text("utf8")
        card.write_text(card.read_text("utf8").replace(old, new, 1), "utf8")

    def days(self, root):
        return {name: written.day for name, written in rules_written(root, "alpha").items()}

    def test_only_a_change_of_the_rule_moves_its_date(self, tiny):
        self.commit(tiny.home.root, "01-05")
        self.change(tiny, "says: Features beat the plain mean", "says: Features beat the mean")
        self.change(tiny, "at_most: 1.0e-05", "at_most: 2.0e-05")
        self.commit(tiny.home.root, "02-07")
        days = self.days(tiny.home.root)
        assert days["own"] == "2026-02-07"
        assert {days[name] for name in ("holds", "unclear", "later")} == {"2026-01-05"}

    def test_a_rule_that_is_not_committed_has_no_date(self, tiny):
        self.commit(tiny.home.root, "01-05")
        self.change(tiny, "at_most: 1.0e-05", "at_most: 2.0e-05")
        days = self.days(tiny.home.root)
        assert "own" not in days
        assert "holds" in days

    def test_the_copy_on_the_stage_has_the_dates_of_the_checkout(self, tiny):
        from featlib.press.site import stage

        self.commit(tiny.home.root, "01-05")
        stage(tiny.home, tiny.cards, {})
        assert self.days(tiny.home.stage) == self.days(tiny.home.root)
        assert self.days(tiny.home.stage)

    def test_without_git_or_with_a_cut_history_nothing_is_claimed(self, tiny, monkeypatch, tmp_path):
        assert self.days(tiny.home.root) == {}  # no repository at all
        self.commit(tiny.home.root, "01-05")
        clone = tmp_path / "shallow"
        source = tiny.home.root.as_uri()
        subprocess.run(["git", "clone", "-q", "--depth", "1", source, str(clone)], check=True)
        for name in ("_toc.yml",):
            (clone / name).write_text((tiny.home.root / name).read_text())
        assert dates.blame(clone, clone / "notebooks" / "alpha.yml") == {}
        monkeypatch.setenv("PATH", str(tmp_path / "no such folder"))
        assert self.days(tiny.home.root) == {}

    def test_lines_of_a_rule_are_found_in_any_layout(self):
        text = yaml.safe_dump({"claims": [claim("a", "A."), {**claim("b", "B."), "rule": None}]})
        text += "- id: c\n  rule:\n    within:\n      - 1\n      - 2\n  control: x\n"
        found = dict(rule_lines(text))
        lines = text.splitlines()
        assert [lines[n - 1].strip() for n in found["a"]] == ["exceeds: 0.5"]
        assert [lines[n - 1].strip() for n in found["c"]] == ["within:", "- 1", "- 2"]


COUNTS = {Verdict.SUPPORTED: 12, Verdict.CONTRADICTED: 1, Verdict.NOT_YET_RUN: 3}


class TestBadge:
    def test_it_counts_all_claims_in_words(self):
        assert in_words(COUNTS) == "of 16 claims 12 supported, 1 contradicted, 3 not yet run"

    def test_it_is_drawn_inside_its_own_width_and_escapes_its_name(self):
        from xml.etree import ElementTree

        drawn = ElementTree.fromstring(badge("a<b", COUNTS))
        space = "{http://www.w3.org/2000/svg}"
        whole = float(drawn.get("width"))
        texts = list(drawn.iter(f"{space}text"))
        assert [text.text for text in texts] == ["a<b", "12", "1", "3"]
        ends = [float(text.get("x")) + float(text.get("textLength")) for text in texts]
        starts = [float(text.get("x")) for text in texts]
        assert max(ends) < whole
        assert all(start > end for start, end in zip(starts[1:], ends, strict=False))


class TestStatus:
    card = Card.model_validate({**ALPHA, "slug": "alpha"})

    def test_one_slow_or_large_run_breaks_the_promise(self):
        assert "kept" in status.promise(self.card, "laptop", 60.0, 2.0)
        assert "a little over" in status.promise(self.card, "laptop", 61.0, 1.0)
        assert "wall time 61 s, promised 60 s (2 % over)" in status.promise(self.card, "laptop", 61.0, 1.0)
        assert "broken" in status.promise(self.card, "laptop", 76.0, 1.0)
        assert "broken" in status.promise(self.card, "laptop", 1.0, 2.6)
        assert "none for this preset" in status.promise(self.card, "smoke", 999.0, 99.0)

    def test_runs_with_parameters_by_hand_do_not_count(self):
        run = {"chapter": "alpha", "overrides": {}}
        assert status.counts(run, "alpha")
        assert not status.counts(run, "beta")
        assert not status.counts({**run, "overrides": {"n": 1}}, "alpha")

    def test_a_row_shows_the_median_the_longest_and_the_versions(self):
        one = {"preset": "laptop", "device": "cpu", "versions": {"torch": "2.13"}, "code_digest": "f" * 64}
        runs = [
            {**one, "seconds": s, "cpu_seconds": 2 * s, "peak_memory_mb": 512.0 * n, "date": f"2026-01-0{n}T0"}
            for n, s in enumerate((10.0, 20.0, 50.0), start=1)
        ]
        drawn = " ".join(status.cells(self.card, runs))
        for said in ("3<small>preset laptop", "20 s<small>longest 50 s", "40 s<small>longest 100 s", "1.50 GB"):
            assert said in drawn
        assert "2026-01-03" in drawn
        assert "torch 2.13" in drawn


def test_the_addresses_of_launch_services_keep_the_layout_of_the_repository():
    outside = read_outside(ROOT)
    assert outside.in_colab("x").endswith("/github/featlib/featlib/blob/main/notebooks/x.ipynb")
    assert outside.in_binder("x").endswith("/v2/gh/featlib/featlib/main?urlpath=lab/tree/notebooks/x.ipynb")
