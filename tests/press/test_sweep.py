"""A sweep: what its file may say, which jobs it comes to, and evidence that is kept apart by its parameters."""

import json
from pathlib import Path

import pytest
import yaml
from conftest import TALLY

from featlib.press.plan import PlanError
from featlib.press.sweep import SweepError, plan_sweep, read_sweep

RECORD = """
from featlib.press import Ledger
Ledger("alpha").record("one-is-one", {seed: n_images + 0.1 * seed}, control={seed: 0.001 * seed})
""".strip()


@pytest.fixture
def swept(book):
    """Writes a sweep of chapter alpha: ``swept(n_images=[1, 2])``, or any mapping."""
    book.add("alpha", RECORD, TALLY).add("beta", TALLY)

    def write(seeds=0, chapters=None, text=None, **grid):
        path = book.home.root / "sweep.yml"
        content = {"seeds": seeds, "chapters": chapters if chapters is not None else {"alpha": grid}}
        path.write_text(text if text is not None else yaml.safe_dump(content))
        return path

    return write


def asked(book, path):
    jobs = plan_sweep(book.home, book.cards, read_sweep(path))
    return [(job.chapter, job.seed, job.overrides) for job in jobs]


def test_every_point_with_every_seed_and_the_plain_point_is_the_plain_run(book, swept):
    path = swept(seeds="0..1", n_images=[20, 4], name=[None, "x"])
    assert asked(book, path) == [
        ("alpha", 0, {}),
        ("alpha", 1, {}),
        ("alpha", 0, {"name": "x"}),
        ("alpha", 1, {"name": "x"}),
        ("alpha", 0, {"n_images": 4}),
        ("alpha", 1, {"n_images": 4}),
        ("alpha", 0, {"n_images": 4, "name": "x"}),
        ("alpha", 1, {"n_images": 4, "name": "x"}),
    ]
    jobs = plan_sweep(book.home, book.cards, read_sweep(path))
    assert jobs[0].digest == book.plan("alpha")[0].digest
    assert len({job.name for job in jobs}) == len({job.file for job in jobs}) == 8


def test_chapters_come_in_the_order_of_the_book_and_each_point_once(book, swept):
    path = swept(seeds=[3, "3..4"], chapters={"beta": {"n_images": [4, 4]}, "alpha": {}})
    assert asked(book, path) == [
        ("alpha", 3, {}),
        ("alpha", 4, {}),
        ("beta", 3, {"n_images": 4}),
        ("beta", 4, {"n_images": 4}),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("- a", "sweep.yml: holds list where a mapping of fields is due"),
        ("seeds: 0", "sweep.yml: chapters: Field required"),
        ("chapters: {}", "sweep.yml: chapters: "),
        ("chapters: {alpha: {n_images: 3}}", "sweep.yml: chapters.alpha.n_images: "),
        ("chapters: {alpha: {n_images: []}}", "alpha.n_images: no values; list at least one"),
        ("chapters: {alpha: {seed: [1]}}", "alpha.seed: has no place in a grid; the field seeds sets it for all"),
        ("chapters: {alpha: {}}\nseed: 3", "sweep.yml: seed: Extra inputs"),
        ("chapters: {alpha: {}}\nseeds: 3..1", "cannot read '3..1': write a seed as 3"),
        ("chapters: {alpha: {}}\nseeds: 0..999999999999", "cannot read '0..999999999999'"),
        ("chapters: {alpha: {}}\nseeds: []", "write seeds as 3, as 0..4"),
        ("chapters: &a {alpha: {}}\nseeds: *a", "an alias"),
        ("chapters: !!python/object/apply:os.getcwd []", "could not determine a constructor"),
    ],
)
def test_a_file_that_is_no_sweep_says_why(swept, text, says):
    with pytest.raises(SweepError) as error:
        read_sweep(swept(text=text))
    assert says in str(error.value)


@pytest.mark.parametrize(
    ("chapters", "says"),
    [
        ({"alfa": {}}, "no chapter alfa (did you mean 'alpha'?)"),
        ({"alpha": {"n_image": [1]}}, "alpha: no parameter n_image (did you mean 'n_images'?)"),
        ({"alpha": {"n_images": [1, "2"]}}, "alpha: n_images must be int, got '2'"),
    ],
)
def test_what_the_chapters_do_not_have_is_refused_before_anything_runs(book, swept, chapters, says):
    with pytest.raises(PlanError) as error:
        plan_sweep(book.home, book.cards, read_sweep(swept(chapters=chapters)))
    assert says in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(SweepError, match=r"none.yml: cannot be read \(No such file"):
        read_sweep(Path(tmp_path / "none.yml"))


def test_evidence_is_kept_apart_by_its_parameters_and_told_beside_the_row(book, swept):
    path = swept(seeds="0..2", n_images=[20, 1, 0])
    code, said, complaint = book.featlib("sweep", path, "--dry-run")
    assert (code, complaint) == (0, "")
    assert said.splitlines()[-1].startswith("9 to run, about ")
    code, said, complaint = book.featlib("sweep", path)
    assert (code, complaint) == (0, "")
    assert "alpha laptop seed 0 n_images=1: " in said
    table = [line.split() for line in said.splitlines()[-3:]]
    assert table[0] == ["alpha", "as", "the", "preset", "one-is-one", "supported", "20.1", "19.9", "to", "20.3", "3"]
    assert table[1][:5] == ["alpha", "n_images=1", "one-is-one", "supported", "1.1"]
    assert table[2][:3] == ["alpha", "n_images=0", "one-is-one"]
    assert "supported" not in table[2]
    ledger = json.loads(book.home.ledger.read_text())
    [row] = [row for row in ledger["rows"] if row["chapter"] == "alpha"]
    assert row["samples"] == pytest.approx({"0": 20.0, "1": 20.1, "2": 20.2})
    assert [(row["overrides"], row["n"]) for row in ledger["sweeps"]] == [({"n_images": 1}, 3), ({"n_images": 0}, 3)]
    assert all("seed" not in row["parameters"] for row in ledger["sweeps"])
    assert book.featlib("archive", "--sweeps")[1] == "book/evidence/alpha.jsonl: 9 runs added, 9 in all\n"
    again = book.featlib("sweep", path)[1]
    assert again.splitlines()[-3:] == said.splitlines()[-3:], "the archive adds nothing to what the cache has"
    assert "9 cached" in again
    assert len(book.runs) == 9
