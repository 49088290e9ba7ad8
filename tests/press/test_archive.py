"""The archive: a line is as it was written or it is named; nothing counts twice; what is stale says so."""

import json
import random
import subprocess

import pytest
from example_card import CARD, claim, evidence, home, notebook, record

from featlib.press import archive
from featlib.press.archive import ArchivedRun, ArchiveError, parse_line
from featlib.press.card import load_cards
from featlib.press.collect import collect
from featlib.press.evidence import parse_evidence
from featlib.press.history import HistoryError, flips, histories, verdicts_at

OLD = {"code_digest": "older", "date": "2025-01-01T00:00:00Z"}
CHANGED = "featlib changed since"


def kept(*payloads, **changes):
    """One archived run with these payloads."""
    pieces = [parse_evidence(payload) for payload in payloads or [evidence()]]
    return ArchivedRun(run=record(**changes), evidence=pieces, commit="a" * 40)


def part(control=0.001, **seeds):
    """Evidence with these samples, ``s3=0.3``."""
    samples = {name[1:]: value for name, value in seeds.items()}
    return evidence(samples=samples, control={seed: control * int(seed) for seed in samples}, rival=None)


@pytest.fixture
def cards(tmp_path):
    return load_cards(home(tmp_path))


def row(cards, fresh=(), stale=(), current=()):
    """The row of ``toy-wins`` over fresh runs, and archived ones of older and of today's code."""
    runs = [(about, notebook(*payloads)) for about, *payloads in fresh]
    archived = [(one, CHANGED) for one in stale] + [(one, "") for one in current]
    ledger = collect(cards, runs, "laptop", archived)
    return next(row for row in ledger["rows"] if row["claim"] == "toy-wins"), ledger


# Lines --------------------------------------------------------------------------------------------------------------


def test_a_line_reads_back_and_is_strict_json_on_one_line():
    one = kept(evidence(why="a\nb\u2028é"))
    assert parse_line(one.line()) == one
    assert "\n" not in one.line()
    assert set(json.loads(one.line())) == {"schema", "run", "evidence", "commit", "digest"}
    assert len(one.line()) < 2000


def test_every_flipped_byte_is_detected(tmp_path):
    """1,000 places, each with another byte; also the ends of the lines."""
    whole = "".join(f"{kept(seed=seed).line()}\n" for seed in range(3)).encode()
    path = tmp_path / "toy.jsonl"
    chance = random.Random(0)
    for _ in range(1000):
        place, byte = chance.randrange(len(whole) - 1), chance.randrange(256)
        if byte == whole[place]:
            byte ^= 1
        path.write_bytes(whole[:place] + bytes([byte]) + whole[place + 1 :])
        found = archive.read(tmp_path, ["toy"])
        assert found.faults, (place, byte)
        assert len(found.runs) < 3


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nonsense", "Expecting value"),
        ("[]", "no JSON object"),
        ("{}", "run: Field required"),
        ('{"a":1,"a":2}', "a key stands there twice"),
        ('{"run":NaN}', "NaN is no number"),
        ("[" * 100_000, "nested too deeply"),
        ("<<<<<<< HEAD", "Expecting value"),
        (" " * 2_000_000 + "x", "longer than"),
        (kept().line().replace(":0.3,", ":0.9,"), "its digest is another"),
        (kept().line() + " ", "its digest is another"),
    ],
    ids=range(10),
)
def test_a_line_that_is_none_says_why(text, says):
    with pytest.raises(ArchiveError, match=says) as error:
        parse_line(text)
    assert len(str(error.value)) < 250


def test_faults_name_file_and_line_and_the_others_still_count(tmp_path):
    lines = [kept(seed=0).line(), "broken", kept(seed=1, chapter="other").line(), kept(seed=2).line()]
    (tmp_path / "toy.jsonl").write_text("\n".join(lines) + "\n")
    (tmp_path / "gone.jsonl").write_text("")
    found = archive.read(tmp_path, ["toy", "none"])
    assert [run.run.seed for run in found.runs] == [0, 2]
    assert [fault.partition(f"{tmp_path.name}/")[2] for fault in found.faults] == [
        "toy.jsonl:2: Expecting value: line 1 column 1 (char 0)",
        "toy.jsonl:3: evidence for 'other' in the file of 'toy'",
        "gone.jsonl: the book has no chapter of this name",
    ]


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("password")
    (tmp_path / "toy.jsonl").symlink_to(tmp_path / "secret")
    found = archive.read(tmp_path, ["toy"])
    assert len(found.faults) == 1
    assert "password" not in found.faults[0]


def test_runs_are_added_once_in_one_order_and_a_broken_file_is_left_alone(tmp_path):
    folder = tmp_path / "book" / "evidence"
    assert archive.add(folder, [kept(seed=2), kept(seed=0)]) == {folder / "toy.jsonl": (2, 2)}
    assert archive.add(folder, [kept(seed=1), kept(seed=2)]) == {folder / "toy.jsonl": (1, 3)}
    text = (folder / "toy.jsonl").read_text()
    assert [json.loads(line)["run"]["seed"] for line in text.splitlines()] == [0, 1, 2]
    assert archive.add(folder, [kept(seed=seed) for seed in range(3)]) == {folder / "toy.jsonl": (0, 3)}
    assert (folder / "toy.jsonl").read_text() == text
    (folder / "toy.jsonl").write_text(text + "half a li")
    with pytest.raises(ArchiveError, match=r"evidence/toy.jsonl:4: .*\n.*restore it from git"):
        archive.add(folder, [kept(seed=4)])
    assert (folder / "toy.jsonl").read_text() == text + "half a li"
    assert [path.name for path in folder.iterdir()] == ["toy.jsonl"]


# Merging ------------------------------------------------------------------------------------------------------------


def test_the_archive_stands_alone_where_nothing_was_run_and_is_marked(cards):
    found, _ = row(cards, stale=[kept(part(s0=0.3, s1=0.4), **OLD), kept(part(s2=0.35), seed=2, **OLD)])
    assert found["samples"] == {"0": 0.3, "1": 0.4, "2": 0.35}
    assert (found["verdict"], found["archived"]) == ("supported", 3)
    assert found["stale"] == {"seeds": ["0", "1", "2"], "why": [CHANGED], "vouched": []}


def test_todays_code_in_the_archive_is_pooled_with_the_fresh_run_and_nothing_is_stale(cards):
    fresh = [(record(seed=0), part(s0=0.3))]
    found, ledger = row(cards, fresh, current=[kept(part(s0=0.3)), kept(part(s1=0.4), seed=1)])
    assert found["samples"] == {"0": 0.3, "1": 0.4}
    assert (found["archived"], found["stale"]) == (1, None)
    assert [run["seed"] for run in ledger["runs"]] == [0, 1], "what lies in both places is one run"
    assert found["seconds"] == 20


def test_older_code_counts_only_where_a_seed_run_again_gives_the_same(cards):
    fresh = [(record(seed=0), part(s0=0.3))]
    same = [kept(part(s0=0.3), **OLD), kept(part(s1=0.4), seed=1, **OLD)]
    found, _ = row(cards, fresh, same)
    assert found["samples"] == {"0": 0.3, "1": 0.4}
    assert found["stale"] == {"seeds": ["1"], "why": [CHANGED], "vouched": ["0"]}
    other = [kept(part(s0=0.31), **OLD), kept(part(s1=0.4), seed=1, **OLD)]
    found, ledger = row(cards, fresh, other)
    assert found["samples"] == {"0": 0.3}
    assert found["stale"] is None
    assert {run["left_out"] for run in ledger["runs"]} == {None, f"{CHANGED}, and seed 0 now gives another value"}
    found, ledger = row(cards, fresh, same[1:])
    assert found["samples"] == {"0": 0.3}, "no seed was run again"
    assert ledger["runs"][1]["left_out"].startswith(f"{CHANGED}, and no seed of the newest run shows")


def test_a_control_that_changed_speaks_against_the_old_numbers_too(cards):
    fresh = [(record(seed=0), part(s1=0.3))]
    found, _ = row(cards, fresh, [kept(part(s1=0.3, s2=0.4, control=0.002), **OLD)])
    assert found["samples"] == {"1": 0.3}


def test_a_change_that_touched_one_claim_does_not_cost_the_others_their_seeds(cards):
    exact = {"claim": "toy-exact", "rival": None}
    now = (record(seed=0), part(s0=0.3), evidence(**exact, samples={"0": 1e-9}, control={"0": 0.1}))
    old = [
        kept(
            part(s0=0.9, s1=0.8), evidence(**exact, samples={"0": 1e-9, "1": 2e-9}, control={"0": 0.1, "1": 0.2}), **OLD
        )
    ]
    _, ledger = row(cards, [now], old)
    assert [len(row["samples"]) for row in ledger["rows"]] == [1, 2, 0]


@pytest.mark.parametrize("changes", [{"parameters": {"seed": 1, "device": "auto", "n_images": 7}}, {"preset": "smoke"}])
def test_seeds_are_pooled_only_where_everything_else_is_equal(cards, changes):
    found, _ = row(cards, stale=[kept(part(s0=0.3)), kept(part(s1=0.4), seed=1, **{**OLD, **changes})])
    assert found["samples"] == {"0": 0.3}


def test_no_copy_of_a_run_counts_twice(cards):
    """Neither the same line twice, nor another run of the same seed, in either place."""
    again = kept(part(s0=0.3), seconds=99.0, date="2026-02-01T00:00:00Z")
    for fresh in ([], [(record(seed=0), part(s0=0.3))]):
        found, _ = row(cards, fresh, current=[kept(part(s0=0.3)), again, again])
        assert found["n"] == 1


def test_two_values_of_one_seed_by_the_same_code_are_not_reproducible(cards):
    found, _ = row(cards, [(record(seed=0), part(s0=0.3))], current=[kept(part(s0=0.4))])
    assert found["verdict"] == "precondition failed"
    assert found["reason"].startswith("not reproducible: seed 0 gave two values")


def test_claims_that_are_no_longer_on_the_card_are_history(cards):
    gone = evidence(claim="toy-gone")
    found, ledger = row(cards, stale=[kept(part(s0=0.3), gone, **OLD)])
    assert found["samples"] == {"0": 0.3}
    assert ledger["runs"][0]["fault"] is None


# History ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def checkout(tmp_path):
    """A checkout under git: ``commit(day, mapping, *runs)`` writes card and evidence and commits them."""
    book = home(tmp_path / "book")

    def commit(day, mapping, *runs):
        home(book.root, mapping)
        if runs:
            archive.add(book.evidence, list(runs))
        stamp = f"2026-{day}T12:00:00Z"
        env = {"GIT_COMMITTER_DATE": stamp, "GIT_AUTHOR_DATE": stamp, "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        for command in (["init", "-q", "-b", "main"], ["add", "-A"], [*who, "commit", "-qm", day]):
            subprocess.run(["git", "-C", str(book.root), *command], check=True, env=env)
        return book

    return commit


def test_the_history_of_a_verdict_is_judged_from_the_commits(checkout):
    checkout("01-01", CARD)
    checkout("01-02", CARD, kept(part(s0=0.3)))
    checkout("01-03", CARD, kept(part(s1=0.31), seed=1), kept(part(s2=0.32), seed=2))
    checkout("01-04", CARD, kept(part(s3=0.31), seed=3))
    book = checkout("01-05", claim(rule={"exceeds": 0.9}))
    past = histories(book.root, ["toy", "other"], "laptop")[("toy", "toy-wins")]
    assert [(one["day"], one["verdict"], one["n"]) for one in past] == [
        ("2026-01-02", "inconclusive", 1),
        ("2026-01-03", "supported", 3),
        ("2026-01-05", "direction only", 4),
    ]
    assert len({one["commit"] for one in past}) == 3
    then = verdicts_at(book.root, "HEAD~2", "laptop")
    now = verdicts_at(book.root, "main", "laptop")
    rows = [{"chapter": chapter, "claim": name, **one} for (chapter, name), one in now.items()]
    [(chapter, name, before, after)] = list(flips(then, rows))
    assert (chapter, name, before["verdict"], after["verdict"]) == ("toy", "toy-wins", "supported", "direction only")
    first = verdicts_at(book.root, "HEAD~4", "laptop")
    assert first["toy", "toy-wins"]["verdict"] == "not yet run"


def test_a_card_of_the_past_that_breaks_todays_schema_is_passed_over(checkout):
    checkout("01-01", {**CARD, "retired": 1}, kept())
    book = checkout("01-02", CARD)
    [one] = histories(book.root, ["toy"], "laptop")[("toy", "toy-wins")]
    assert one["day"] == "2026-01-02"
    assert verdicts_at(book.root, "HEAD~1", "laptop") == {}


@pytest.mark.parametrize("revision", ["none", "--all", "HEAD:notebooks", "", "a b"])
def test_a_commit_that_git_does_not_know_is_one_clear_line(checkout, revision):
    book = checkout("01-01", CARD)
    with pytest.raises(HistoryError, match="git knows no commit"):
        verdicts_at(book.root, revision, "laptop")


def test_without_git_or_with_a_cut_history_there_is_none(checkout, tmp_path):
    checkout("01-01", CARD, kept(part(s0=0.3)))
    book = checkout("01-02", CARD, kept(part(s1=0.4), seed=1))
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--depth", "1", book.root.as_uri(), str(clone)], check=True)
    assert histories(clone, ["toy"], "laptop") == {}
    bare = home(tmp_path / "bare")
    archive.add(bare.evidence, [kept()])
    assert histories(bare.root, ["toy"], "laptop") == {}
