"""What ``record`` writes into a notebook: strict JSON, an escaped table, and a clear error for what it cannot take."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from bs4 import BeautifulSoup
from example_card import CARD, card, claim, home
from nbclient import NotebookClient
from nbformat import v4

from featlib.claims import SampleError, Verdict
from featlib.press import Ledger
from featlib.press.card import CardError
from featlib.press.evidence import MIME, EvidenceError, evidence_of
from featlib.press.ledger import LedgerError

GOOD = {
    "samples": {0: 0.30, 1: 0.32, 2: 0.35},
    "control": {0: 0.0, 1: 0.02, 2: -0.03},
    "rival": {0: 0.1, 1: 0.2, 2: 0.1},
}
HOSTILE = """<script>alert("x")</script><img src=x onerror='alert(1)'>&amp;]]>{{7*7}}"""


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A folder with a small book, in which the notebook runs."""

    def make(mapping=CARD):
        monkeypatch.chdir(home(tmp_path, mapping).notebooks)
        return Ledger("toy")

    return make


def shown(ledger, claim_id="toy-wins", **given):
    """What ``record`` displays."""
    assert ledger.record(claim_id, **(GOOD | given)) is None
    return ledger.recorded[claim_id]._repr_mimebundle_()


def table(bundle):
    """The table's lines as ``{head: text}``."""
    rows = BeautifulSoup(bundle["text/html"], "html.parser").find_all("tr")
    return {row.th.get_text(): row.td.get_text() for row in rows}


def test_the_bundle_holds_evidence_table_and_line(book, capsys):
    bundle = shown(book(), unit="IoU")
    assert bundle[MIME] == {
        "schema": 1,
        "chapter": "toy",
        "claim": "toy-wins",
        "samples": {"0": 0.30, "1": 0.32, "2": 0.35},
        "control": {"0": 0.0, "1": 0.02, "2": -0.03},
        "rival": {"0": 0.1, "1": 0.2, "2": 0.1},
        "precondition": None,
        "why": "",
        "unit": "IoU",
    }
    assert bundle["text/plain"].startswith("toy-wins: supported. The mean 0.3233 [0.2608, 0.3858] lies above 0.05.")
    assert bundle["text/plain"] in capsys.readouterr().out, "it displays at once"


def test_the_table_says_it_all(book):
    rows = table(shown(book(), unit="IoU"))
    assert rows["Claim"] == "The toy beats chance. (abstract)"
    assert rows["Rule"] == "mean above 0.05, no effect at 0 (95 % t interval)"
    assert rows["Ours"] == "0.3233 [0.2608, 0.3858] IoU"
    assert rows["Control: shuffled-masks"].endswith("failed, as it must")
    assert rows["Ours minus rival: centre-blob"].startswith("0.19 [")
    assert rows["Paper"] == "qualitative"
    assert rows["Verdict"] == "supported"
    assert rows["Why"] == "The mean 0.3233 [0.2608, 0.3858] lies above 0.05."
    assert rows["Samples by seed (3)"] == "0: 0.3, 1: 0.32, 2: 0.35 IoU"


def test_the_table_can_be_read_aloud(book):
    soup = BeautifulSoup(shown(book())["text/html"], "html.parser")
    assert soup.table.caption.get_text() == "Evidence: toy-wins"
    heads = soup.find_all("th")
    assert heads
    assert all(head["scope"] == "row" and head.get_text() for head in heads)


@pytest.mark.parametrize("verdict", ["contradicted", "inconclusive", "direction only", "not reproduced at this scale"])
def test_what_did_not_hold_is_shown_in_the_same_words_and_places(book, verdict):
    samples = {
        "contradicted": {0: -0.30, 1: -0.32},
        "inconclusive": {0: -0.3, 1: 0.5},
        "direction only": {0: 0.0200, 1: 0.0201},
        "not reproduced at this scale": {0: -0.0001, 1: 0.0001},
    }[verdict]
    bundle = shown(book(), samples=samples, control={0: 0.0, 1: -0.1}, rival=None)
    assert table(bundle)["Verdict"] == verdict
    assert f"<strong>{verdict}</strong>" in bundle["text/html"]


# What it takes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "samples",
    [
        [0.25, 0.5, 0.75],
        (np.float32(0.25), np.float64(0.5), np.float16(0.75)),
        np.array([0.25, 0.5, 0.75], dtype=np.float32),
        torch.tensor([0.25, 0.5, 0.75], requires_grad=True),
        {0: torch.tensor(0.25), 1: torch.tensor([0.5]), 2: np.array(0.75)},
        {np.int64(0): 0.25, torch.tensor(1): 0.5, "2": 0.75},
    ],
    ids=["list", "numpy scalars", "array", "tensor", "mapping of tensors", "mapping with odd keys"],
)
def test_tensors_and_numpy_numbers_become_plain_ones(book, samples):
    seeds = None if isinstance(samples, dict) else torch.arange(3)
    payload = shown(book(), samples=samples, control=None, rival=None, seeds=seeds)[MIME]
    assert payload["samples"] == {"0": 0.25, "1": 0.5, "2": 0.75}
    assert all(type(value) is float for value in payload["samples"].values())
    assert json.loads(json.dumps(payload, allow_nan=False)) == payload


@pytest.mark.parametrize("holds", [np.bool_(False), torch.tensor(False), False])
def test_a_failed_precondition_is_recorded_and_said(book, holds):
    bundle = shown(book(), precondition=holds, why="the loss still falls")
    assert bundle[MIME]["precondition"] is False
    assert table(bundle)["Verdict"] == "precondition failed"
    assert "the loss still falls" in table(bundle)["Why"]


def test_a_cell_that_runs_again_replaces_what_it_recorded(book):
    ledger = book()
    shown(ledger)
    shown(ledger, samples={0: -1.0, 1: -1.1, 2: -1.3})
    assert list(ledger.recorded) == ["toy-wins"]
    assert ledger.recorded["toy-wins"].judgement.verdict is Verdict.CONTRADICTED


def test_a_control_that_the_card_names_and_the_notebook_forgets_supports_nothing(book):
    assert table(shown(book(), control=None))["Verdict"] == "precondition failed"
    assert "The control (shuffled-masks) was not recorded" in table(shown(book(), control=None))["Why"]


def test_equal_samples_do_not_stop_the_notebook_but_support_nothing(book):
    rows = table(shown(book(), samples={0: 0.3, 1: 0.3, 2: 0.3}))
    assert rows["Verdict"] == "precondition failed"
    assert "all 3 are equal" in rows["Why"]
    assert rows["Ours"] == "none"


# What it refuses ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"samples": {}}, "toy-wins: samples: empty"),
        ({"samples": {0: 0.3, 3: float("nan")}}, "toy-wins: samples: the sample of seed 3 is nan"),
        ({"samples": {0: 0.3, 3: torch.tensor(float("inf"))}}, "toy-wins: samples: the sample of seed 3 is inf"),
        ({"samples": {0: torch.zeros(2)}}, "seed 0 is not a single number"),
        ({"samples": {0: np.zeros(2)}}, "seed 0 is not a single number"),
        ({"samples": torch.zeros(3, 2), "seeds": [0, 1, 2]}, "seed 0 is not a single number"),
        ({"samples": [0.3, 0.4, 0.5]}, r"toy-wins: samples: say which seeds gave them: .* or seeds="),
        ({"samples": [0.3, 0.4, 0.5], "seeds": [0, 1]}, "toy-wins: samples: 3 of them for 2 seeds"),
        ({"samples": [0.3, 0.4, 0.5], "seeds": [0, 1, 1]}, "a seed stands there twice"),
        ({"samples": {torch.tensor(1): 0.1, torch.tensor(1): 0.2}}, "seed 1 stands there twice"),
        ({"control": {0: 0.0, 1: 0.1}}, "toy-wins: control: 2 samples beside 3"),
        ({"rival": {0: 0.0, 1: 0.1, 3: 0.1}}, r"toy-wins: rival: .*the seeds differ \(2, 3\)"),
        ({"rival": {0: 0.0, 1: 0.1, 2: float("nan")}}, "toy-wins: rival: the sample of seed 2 is nan"),
        ({"control": {}}, "toy-wins: control: empty"),
    ],
)
def test_bad_samples_stop_the_notebook_with_a_clear_error(book, given, says):
    ledger = book()
    with pytest.raises(SampleError, match=says):
        ledger.record("toy-wins", **(GOOD | given))
    assert not ledger.recorded


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("bad", [0.3, None, torch.tensor(0.3), np.array(0.3)])
def test_one_number_is_no_set_of_samples(book, bad):
    with pytest.raises(SampleError, match="one number per seed"):
        book().record("toy-wins", bad, seeds=[0])


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("given", [{"precondition": "no"}, {"why": None}, {"unit": 3}, {"why": "\ud800"}])
def test_words_of_the_wrong_type_are_refused(book, given):
    with pytest.raises(EvidenceError, match=f"^{next(iter(given))}: "):
        book().record("toy-wins", **(GOOD | given))


def test_an_unknown_claim_is_answered_with_the_nearest(book):
    with pytest.raises(LedgerError, match=r"toy.yml has no claim 'toy-wnis' \(did you mean 'toy-wins'\?\)"):
        book().record("toy-wnis", **GOOD)


def test_a_claim_that_cannot_be_tested_takes_no_evidence(book):
    with pytest.raises(LedgerError, match="not testable here: A million images"):
        book().record("toy-at-scale", **GOOD)


@pytest.mark.parametrize("name", ["../toy", "notebooks/toy", "toy.ipynb", ""])
def test_a_chapter_is_named_by_its_slug(name):
    with pytest.raises(LedgerError, match=r"file name without \.ipynb"):
        Ledger(name)


def test_a_broken_card_stops_the_notebook(book):
    with pytest.raises(CardError, match=r"toy.yml: title"):
        book(card(title=3))


# Without a card -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["no book at all", "a book without this card"])
def test_without_a_card_it_records_all_the_same(tmp_path, monkeypatch, where):
    if where == "no book at all":
        monkeypatch.setattr("featlib.press.home.MARKS", ("no-such-mark",))
    else:
        (home(tmp_path).notebooks / "toy.yml").unlink()
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("toy")
    bundle = shown(ledger, "any-claim")
    assert bundle[MIME]["samples"] == {"0": 0.30, "1": 0.32, "2": 0.35}
    assert table(bundle)["Verdict"] == "the press gives it: the chapter's card is not here"
    assert bundle["text/plain"] == "any-claim: 3 samples recorded; the press gives the verdict"
    assert ledger.recorded["any-claim"].judgement is None


# Hostile text -------------------------------------------------------------------------------------------------------


def test_hostile_text_is_shown_and_never_run(book):
    hostile = claim(says=HOSTILE, where=HOSTILE, control=HOSTILE, rival=HOSTILE, paper={"note": HOSTILE})
    bundle = shown(
        book(hostile), samples={HOSTILE: 0.3, "b": 0.4}, control={HOSTILE: 0.0, "b": 0.1}, rival=None, unit=HOSTILE
    )
    soup = BeautifulSoup(bundle["text/html"], "html.parser")
    assert {tag.name for tag in soup.find_all()} == {"table", "caption", "tbody", "tr", "th", "td", "strong"}
    assert {name for tag in soup.find_all() for name in tag.attrs} == {"class", "scope"}
    assert table(bundle)["Claim"] == f"{HOSTILE} ({HOSTILE})"
    assert table(bundle)["Paper"] == HOSTILE


def test_hostile_text_is_escaped_without_a_card_too(tmp_path, monkeypatch):
    (home(tmp_path).notebooks / "toy.yml").unlink()
    monkeypatch.chdir(tmp_path)
    soup = BeautifulSoup(shown(Ledger("toy"), HOSTILE)["text/html"], "html.parser")
    assert not soup.find_all(["script", "img"])
    assert soup.caption.get_text() == f"Evidence: {HOSTILE}"


# In a real kernel, and light ----------------------------------------------------------------------------------------


def test_a_real_kernel_writes_one_output_that_reads_back(tmp_path):
    book = home(tmp_path)
    source = """
from featlib.press import Ledger
ledger = Ledger("toy")
ledger.record("toy-wins", [0.3, 0.32, 0.35], control=[0, 0.02, -0.03], seeds=range(3))
"""
    notebook = v4.new_notebook(cells=[v4.new_code_cell(source)])
    NotebookClient(notebook, resources={"metadata": {"path": str(book.notebooks)}}, kernel_name="python3").execute()
    outputs = notebook.cells[0].outputs
    assert [output.output_type for output in outputs] == ["display_data"]
    assert set(outputs[0].data) == {MIME, "text/html", "text/plain"}
    (payload,) = evidence_of(notebook)
    assert payload["samples"] == {"0": 0.3, "1": 0.32, "2": 0.35}
    assert "supported" in outputs[0].data["text/html"]


def test_a_notebook_pays_for_nothing_that_only_the_press_needs():
    code = "import sys, featlib.press; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "featlib.press.ledger" in loaded
    assert not loaded & {"torch", "papermill", "typer", "rich", "nbformat", "nbclient", "scipy", "pandas", "IPython"}
