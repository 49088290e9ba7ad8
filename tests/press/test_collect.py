"""The ledger: one row per claim, samples counted once, no verdict from evidence that cannot be trusted."""

import copy
import csv
import json
import re

import numpy as np
import pytest
from bs4 import BeautifulSoup
from example_card import CARD, claim, evidence, home, notebook, record
from scipy import stats

from featlib.claims import judge
from featlib.press.card import load_cards
from featlib.press.collect import FIELDS, collect, evidence_html, evidence_of, evidence_text, write
from featlib.press.evidence import MIME, EvidenceError

HOSTILE = """<script>alert("x")</script><img src=x onerror='alert(1)'>"""


@pytest.fixture
def cards(tmp_path):
    """The cards of a small book."""

    def load(mapping=CARD):
        return load_cards(home(tmp_path, mapping))

    return load


def rows(ledger):
    """The rows by claim."""
    return {row["claim"]: row for row in ledger["rows"]}


def part(**seeds):
    """Evidence with these samples, ``s3=0.3``, and a control at zero that varies with the seed."""
    samples = {name[1:]: value for name, value in seeds.items()}
    return evidence(samples=samples, control={seed: 0.001 * int(seed) for seed in samples}, rival=None)


# Rows ---------------------------------------------------------------------------------------------------------------


def test_every_claim_has_exactly_one_row_before_any_run(cards):
    ledger = collect(cards(), [], "laptop")
    assert ledger["schema"] == 1
    assert ledger["runs"] == []
    assert [(row["claim"], row["verdict"]) for row in ledger["rows"]] == [
        ("toy-wins", "not yet run"),
        ("toy-exact", "not yet run"),
        ("toy-at-scale", "not testable here"),
    ]
    assert rows(ledger)["toy-at-scale"]["reason"] == "A million images do not fit on a laptop."
    assert all(set(row) == set(FIELDS) for row in ledger["rows"])


def test_a_row_holds_what_the_scoreboard_shows(cards):
    ledger = collect(cards(), [(record(), notebook(evidence()))], "laptop")
    row = rows(ledger)["toy-wins"]
    oracle = stats.ttest_1samp([0.30, 0.32, 0.35], 0).confidence_interval(0.95)
    assert set(row) == set(FIELDS)
    assert row["chapter"] == "toy"
    assert row["says"] == "The toy beats chance."
    assert (row["where"], row["kind"]) == ("abstract", "ordering")
    assert row["rule"] == {"exceeds": 0.05, "confidence": 0.95, "no_effect": 0.0, "interval": "t"}
    assert row["paper"] == {"value": None, "note": "qualitative"}
    assert row["verdict"] == "supported"
    assert row["reason"].endswith("lies above 0.05.")
    assert row["samples"] == {"0": 0.30, "1": 0.32, "2": 0.35}
    assert row["n"] == 3
    assert row["mean"] == pytest.approx(0.97 / 3)
    assert row["interval"] == pytest.approx([oracle.low, oracle.high])
    assert row["smallest_visible"] > 0
    assert row["control"]["name"] == "shuffled-masks"
    assert row["control"]["failed"] is True
    assert row["control"]["samples"] == {"0": 0.00, "1": 0.02, "2": -0.03}
    assert row["rival"]["name"] == "centre-blob"
    assert row["rival"]["mean"] == pytest.approx((0.2 + 0.19 + 0.24) / 3)
    assert (row["preset"], row["seeds"], row["device"]) == ("laptop", [0], "cpu")
    assert (row["seconds"], row["cpu_seconds"], row["peak_memory_mb"]) == (10.0, 8.0, 500.0)
    assert (row["code_digest"], row["data_digests"]) == ("code", {"stamps": "data"})
    assert row["versions"] == {"torch": "2.13.0"}
    assert row["date"] == "2026-01-01T00:00:00Z"
    assert ledger["chapters"]["toy"]["departs"] == [{"what": "A smaller toy.", "weight": "major"}]
    json.dumps(ledger, allow_nan=False)


def test_a_claim_that_the_notebook_does_not_record_is_not_yet_run(cards):
    row = rows(collect(cards(), [(record(), notebook(evidence()))], "laptop"))["toy-exact"]
    assert row["verdict"] == "not yet run"
    assert "does not record this claim" in row["reason"]
    assert row["seconds"] is None
    assert row["control"] == {
        "name": "other-toy",
        "samples": None,
        "mean": None,
        "low": None,
        "high": None,
        "failed": None,
    }


def test_the_row_agrees_with_the_rule_of_the_day_and_not_with_the_output(cards):
    """The notebook was run under another rule; its old table is never read."""
    executed = notebook(evidence())
    executed.cells[1].outputs[1].data["text/html"] = "<strong>supported</strong>"
    strict = cards(claim(rule={"exceeds": 0.9}))
    assert rows(collect(strict, [(record(), executed)], "laptop"))["toy-wins"]["verdict"] == "direction only"


# Pooling ------------------------------------------------------------------------------------------------------------


def test_seeds_of_several_runs_are_pooled(cards):
    runs = [(record(seed=1), notebook(part(s2=0.3, s3=0.5))), (record(seed=0), notebook(part(s0=0.2, s1=0.4)))]
    row = rows(collect(cards(), runs, "laptop"))["toy-wins"]
    assert row["samples"] == {"0": 0.2, "1": 0.4, "2": 0.3, "3": 0.5}
    assert list(row["samples"]) == ["0", "1", "2", "3"]
    assert row["seeds"] == [0, 1]
    assert (row["seconds"], row["cpu_seconds"], row["peak_memory_mb"]) == (20.0, 16.0, 500.0)
    alone = judge(cards()["toy"].claim("toy-wins").rule, [0.2, 0.4, 0.3, 0.5])
    assert row["interval"] == pytest.approx([alone.low, alone.high])


def test_a_seed_that_two_runs_recorded_counts_once(cards):
    runs = [(record(seed=seed), notebook(part(s0=0.2, s1=0.4, s2=0.35))) for seed in range(4)]
    row = rows(collect(cards(), runs, "laptop"))["toy-wins"]
    once = rows(collect(cards(), runs[:1], "laptop"))["toy-wins"]
    assert row["n"] == 3
    assert row["interval"] == once["interval"]
    nearly = [runs[0], (record(seed=1), notebook(part(s0=0.2 * (1 + 1e-8), s1=0.4, s2=0.35)))]
    assert rows(collect(cards(), nearly, "laptop"))["toy-wins"]["n"] == 3


@pytest.mark.parametrize("kind", ["samples", "control", "rival"])
def test_a_seed_with_two_values_is_not_reproducible(cards, kind):
    other = evidence()
    other[kind] = other[kind] | {"1": 0.4}
    runs = [(record(seed=0), notebook(evidence())), (record(seed=1), notebook(other))]
    row = rows(collect(cards(), runs, "laptop"))["toy-wins"]
    assert row["verdict"] == "precondition failed"
    assert row["reason"].startswith("not reproducible: seed 1 gave two values (")
    assert "and 0.4)" in row["reason"]
    assert row["interval"] is None


def test_the_order_of_runs_changes_nothing(cards):
    runs = [(record(seed=seed), notebook(part(**{f"s{seed}": 0.3 + 0.01 * seed}))) for seed in range(5)]
    assert collect(cards(), runs, "laptop") == collect(cards(), runs[::-1], "laptop")


@pytest.mark.parametrize(
    ("changes", "left_out"),
    [
        ({"preset": "smoke"}, "preset smoke"),
        ({"overrides": {"n_images": 4}}, "parameters given by hand"),
        ({"chapter": "gone"}, "not in this book"),
        ({"notebook_digest": "old", "date": "2025-01-01T00:00:00Z"}, "than the newest run"),
        ({"code_digest": "old", "date": "2025-01-01T00:00:00Z"}, "than the newest run"),
        ({"versions": {"torch": "2.6"}, "date": "2025-01-01T00:00:00Z"}, "than the newest run"),
        ({"data_digests": {"stamps": "old"}, "date": "2025-01-01T00:00:00Z"}, "than the newest run"),
        ({"device": "cuda", "date": "2025-01-01T00:00:00Z"}, "than the newest run"),
        ({"parameters": {"seed": 1, "n_images": 7}, "date": "2025-01-01T00:00:00Z"}, "than the newest run"),
    ],
    ids=str,
)
def test_a_run_under_other_conditions_is_listed_and_not_pooled(cards, changes, left_out):
    runs = [(record(seed=0), notebook(part(s0=0.2, s1=0.4))), (record(seed=1, **changes), notebook(part(s2=9.0)))]
    ledger = collect(cards(), runs, "laptop")
    assert rows(ledger)["toy-wins"]["samples"] == {"0": 0.2, "1": 0.4}
    assert rows(ledger)["toy-wins"]["seeds"] == [0]
    listed = {run["seed"]: run for run in ledger["runs"]}
    assert listed[0]["pooled"] is True
    assert listed[1]["pooled"] is False
    assert left_out in listed[1]["left_out"]


def test_the_preset_that_is_asked_for_is_the_one_that_counts(cards):
    runs = [(record(seed=0), notebook(part(s0=0.2, s1=0.4))), (record(seed=0, preset="smoke"), notebook(part(s0=9.0)))]
    ledger = collect(cards(), runs, "smoke")
    assert ledger["preset"] == "smoke"
    assert rows(ledger)["toy-wins"]["samples"] == {"0": 9.0}
    assert rows(ledger)["toy-wins"]["verdict"] == "inconclusive", "one seed alone"


def test_one_failed_precondition_fails_the_pool(cards):
    bad = part(s2=0.3, s3=0.5) | {"precondition": False, "why": "the loss still falls"}
    good = part(s0=0.2, s1=0.4) | {"precondition": True}
    row = rows(collect(cards(), [(record(seed=0), notebook(good)), (record(seed=1), notebook(bad))], "laptop"))[
        "toy-wins"
    ]
    assert row["verdict"] == "precondition failed"
    assert "the loss still falls" in row["reason"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"samples": {"0": 0.3, "1": 0.3, "2": 0.3}}, "all 3 are equal"),
        ({"control": {"0": 0.1}}, "control: 1 samples beside 3"),
        ({"control": None}, r"The control \(shuffled-masks\) was not recorded"),
        ({"control": {"0": 0.30, "1": 0.31, "2": 0.32}}, "The control passes the same rule"),
        ({"samples": {"0": 1e308, "1": 1.1e308, "2": 1.2e308}}, "too large"),
    ],
)
def test_samples_that_cannot_be_judged_fail_the_row_and_not_the_book(cards, changes, says):
    row = rows(collect(cards(), [(record(), notebook(evidence(**changes)))], "laptop"))["toy-wins"]
    assert row["verdict"] == "precondition failed"
    assert re.search(says, row["reason"])


# Planted false claims -----------------------------------------------------------------------------------------------


def test_planted_false_claims_come_out_unsupported(cards):
    """200 claims whose true effect lies exactly at the bar: chance supports 2.5 % of them."""
    planted = [copy.deepcopy(CARD["claims"][0]) | {"id": f"planted-{k}", "rule": {"exceeds": 0.0}} for k in range(200)]
    rng = np.random.default_rng(0)
    runs = []
    for seed in range(5):
        found = rng.normal(0, 1, (2, 200))
        payloads = [
            evidence(claim=f"planted-{k}", samples={seed: found[0, k]}, control={seed: found[1, k]}, rival=None)
            for k in range(200)
        ]
        plain = [json.loads(json.dumps(payload)) for payload in payloads]
        runs.append((record(seed=seed), notebook(*plain)))
    ledger = collect(cards({**CARD, "claims": planted}), runs, "laptop")
    verdicts = [row["verdict"] for row in ledger["rows"]]
    assert len(verdicts) == 200
    assert all(row["n"] == 5 for row in ledger["rows"])
    assert verdicts.count("supported") <= stats.binom.ppf(1 - 1e-4, 200, 0.025)
    assert verdicts.count("inconclusive") > 170


def test_a_false_claim_cannot_be_bought_with_copies_of_one_lucky_seed(cards):
    lucky = part(s0=0.9)
    runs = [(record(seed=seed), notebook(lucky, lucky)) for seed in range(10)]
    row = rows(collect(cards(), runs, "laptop"))["toy-wins"]
    assert row["n"] == 1
    assert row["verdict"] == "inconclusive"


# Malformed and hostile evidence -------------------------------------------------------------------------------------

MALFORMED = [
    ("nonsense", "evidence: .*not 'nonsense'"),
    ([], "evidence: "),
    (None, "evidence: "),
    ({}, "samples|chapter"),
    (evidence(schema=2), "schema: .*not 2"),
    (evidence(verdict="supported"), "verdict: Extra inputs are not permitted"),
    (evidence(samples={}), "samples: "),
    (evidence(samples={"0": "nan"}), "samples.0: .*not 'nan'"),
    (evidence(samples={"0": float("nan")}), "samples.0: .*finite"),
    (evidence(samples={"0": None}), "samples.0: "),
    (evidence(samples={"0": True}), "samples.0: "),
    (evidence(samples=[0.3]), "samples: "),
    (evidence(control={"0": "0.1"}), "control.0: "),
    (evidence(precondition="yes"), "precondition: "),
    (evidence(why=3), "why: "),
]


@pytest.mark.parametrize(("payload", "says"), MALFORMED)
def test_malformed_evidence_names_its_cell(payload, says):
    executed = notebook(evidence())
    executed.cells.append(notebook(evidence()).cells[1])
    executed.cells[2].outputs[1].data[MIME] = payload
    with pytest.raises(EvidenceError, match=f"^cell 3, output 2: ({says})"):
        evidence_of(executed)


@pytest.mark.parametrize(("payload", "says"), MALFORMED)
def test_malformed_evidence_fails_its_chapter_and_is_listed(cards, payload, says):
    runs = [(record(seed=0), notebook(evidence())), (record(seed=1), notebook(payload))]
    ledger = collect(cards(), runs, "laptop")
    assert rows(ledger)["toy-wins"]["verdict"] == "precondition failed"
    assert "the evidence of seed 1 is malformed: cell 2, output 2: " in rows(ledger)["toy-wins"]["reason"]
    assert [run["pooled"] for run in ledger["runs"]] == [True, False]
    assert ledger["runs"][0]["fault"] is None
    assert ledger["runs"][1]["fault"].startswith("cell 2, output 2: ")
    assert rows(ledger)["toy-at-scale"]["verdict"] == "not testable here"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"chapter": "other"}, "chapter: recorded for 'other' in the notebook of 'toy'"),
        ({"claim": "toy-loses"}, "claim: 'toy-loses' was recorded, but toy.yml has no such claim"),
    ],
)
def test_evidence_for_something_else_is_refused(cards, changes, says):
    ledger = collect(cards(), [(record(), notebook(evidence(**changes)))], "laptop")
    assert ledger["runs"][0]["fault"] == says
    assert rows(ledger)["toy-wins"]["verdict"] == "precondition failed"


def test_a_broken_run_of_another_preset_does_no_harm(cards):
    runs = [(record(), notebook(evidence())), (record(preset="smoke"), notebook("nonsense"))]
    assert rows(collect(cards(), runs, "laptop"))["toy-wins"]["verdict"] == "supported"


def test_a_notebook_without_outputs_has_no_evidence():
    assert evidence_of({}) == []
    assert evidence_of(notebook()) == []
    assert evidence_of(notebook(evidence())) == [evidence()]


def test_hostile_evidence_is_shown_and_never_run(cards):
    hostile = evidence(
        claim=HOSTILE, why=HOSTILE, unit=HOSTILE, samples={HOSTILE: 0.3, "b": 0.4}, control=None, rival=None
    )
    for known in (None, cards(claim(says=HOSTILE))["toy"].claim("toy-wins")):
        soup = BeautifulSoup(evidence_html(hostile, known), "html.parser")
        assert {tag.name for tag in soup.find_all()} == {"table", "caption", "tbody", "tr", "th", "td", "strong"}
        assert HOSTILE in soup.caption.get_text()
    with pytest.raises(EvidenceError, match="samples: "):
        evidence_html(evidence(samples={}), None)


def test_the_table_follows_the_card_of_the_day(cards):
    mild, strict = (cards(claim(rule={"exceeds": bar}))["toy"].claim("toy-wins") for bar in (0.05, 0.9))
    assert "<strong>supported</strong>" in evidence_html(evidence(), mild)
    assert "<strong>direction only</strong>" in evidence_html(evidence(), strict)
    assert evidence_text(evidence(), strict).startswith("toy-wins: direction only. ")


# Files --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def ledger(cards):
    return collect(
        cards(claim(says='=HYPERLINK("x"), "quoted"\nsecond line')), [(record(), notebook(evidence()))], "laptop"
    )


def test_the_files_read_back(ledger, tmp_path):
    path = tmp_path / "new" / "ledger.json"
    write(ledger, path)

    def refuse(constant):
        raise AssertionError(f"{constant} is no JSON")

    assert json.loads(path.read_text(), parse_constant=refuse) == ledger
    with path.with_suffix(".csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["claim"] for line in lines] == ["toy-wins", "toy-exact", "toy-at-scale"]
    assert list(lines[0]) == list(FIELDS)
    assert float(lines[0]["mean"]) == ledger["rows"][0]["mean"]
    assert json.loads(lines[0]["samples"]) == ledger["rows"][0]["samples"]
    assert json.loads(lines[0]["interval"]) == ledger["rows"][0]["interval"]
    assert lines[0]["says"] == '\'=HYPERLINK("x"), "quoted"\nsecond line', "no spreadsheet takes it for a formula"
    assert lines[1]["mean"] == ""
    assert sorted(file.name for file in path.parent.iterdir()) == ["ledger.csv", "ledger.json"]


def test_not_a_number_is_refused_before_anything_is_written(ledger, tmp_path):
    path = tmp_path / "ledger.json"
    write(ledger, path)
    before = path.read_text()
    ledger["rows"][0]["mean"] = float("nan")
    with pytest.raises(ValueError, match="Out of range float"):
        write(ledger, path)
    assert path.read_text() == before


def test_a_write_that_fails_leaves_the_old_file_whole(ledger, tmp_path, monkeypatch):
    path = tmp_path / "ledger.json"
    write(ledger, path)
    before = path.read_text()

    def full(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", full)
    with pytest.raises(OSError, match="No space left"):
        write(ledger | {"preset": "other"}, path)
    assert path.read_text() == before
    assert sorted(file.name for file in tmp_path.glob("*ledger*")) == ["ledger.csv", "ledger.json"]


def test_an_empty_book_writes_an_empty_ledger(tmp_path):
    write(collect({}, [], "laptop"), tmp_path / "ledger.json")
    assert (tmp_path / "ledger.csv").read_text().split(",")[0] == "chapter"
