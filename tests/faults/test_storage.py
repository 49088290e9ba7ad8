"""What can happen to the files of a press: flipped bytes, a clock that jumps back, a disk without room."""

import json
import os
import random
import resource
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import nbformat
import pytest
from example_card import evidence, home, notebook, record
from tiny_book import TALLY, Book

from featlib.press import archive
from featlib.press import run as running
from featlib.press.archive import ArchivedRun
from featlib.press.cache import NOTEBOOK, RECORD, SUMS, Cache
from featlib.press.card import load_cards
from featlib.press.collect import collect
from featlib.press.costs import Profile
from featlib.press.evidence import parse_evidence
from featlib.press.run import run_jobs

FLIPS = 1000


def test_a_thousand_flipped_bytes_in_entries_are_all_detected(tmp_path):
    """Each at a random place of a random file of one of three entries; none is served, the two others always are."""
    cache, chance = Cache(tmp_path / "cache"), random.Random(0)
    for seed in range(3):
        note = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"words {seed} " * 50, id="a")])
        cache.put(record(seed=seed), note)
    missed = []
    for _ in range(FLIPS):
        seed, name = chance.randrange(3), chance.choice([NOTEBOOK, RECORD, SUMS])
        file = cache.root / f"digest-{seed}" / name
        whole = file.read_bytes()
        place = chance.randrange(len(whole))
        file.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << chance.randrange(8))]) + whole[place + 1 :])
        served = [run.record.seed for run in cache.entries()]
        quick = [one.seed for one in cache.records()]
        if served != [other for other in range(3) if other != seed] or (name == RECORD and seed in quick):
            missed.append((seed, name, place))
        file.write_bytes(whole)
    assert missed == []
    assert [run.record.seed for run in cache.entries()] == [0, 1, 2]


def test_a_clock_that_jumps_back_loses_nothing_and_confuses_no_order(tmp_path, monkeypatch):
    book = Book(tmp_path / "a book")
    book.add("alpha", TALLY)
    now = datetime(2030, 1, 1, tzinfo=UTC)

    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return now

    monkeypatch.setattr(running, "datetime", Clock)
    for seed in range(3):
        [outcome] = run_jobs(book.plan(seeds=[seed]), book.home, book.cache)
        assert outcome.ok
        assert outcome.record.seconds > 0, "lengths of time come from another clock"
        now -= timedelta(days=400)
    again = run_jobs(book.plan(seeds=range(3)), book.home, book.cache)
    assert [outcome.cached for outcome in again] == [True] * 3
    assert book.runs == ["0 20", "1 20", "2 20"]
    ledger = collect(book.cards, [(run.record, run.notebook()) for run in book.cache.entries()], "laptop")
    assert [run["pooled"] for run in ledger["runs"]] == [True] * 3
    assert Profile(book.cache.records()).of("alpha", "laptop").runs == 3


def test_evidence_of_the_past_with_a_date_of_the_future_does_not_win_over_todays_code(tmp_path):
    cards = load_cards(home(tmp_path))
    old = ArchivedRun(
        run=record(code_digest="older", date="2099-01-01T00:00:00Z"),
        evidence=[parse_evidence(evidence(samples={"0": 9.0, "1": 9.1, "2": 9.3}))],
    )
    ledger = collect(cards, [(record(), notebook(evidence()))], "laptop", [(old, "featlib changed since")])
    assert ledger["rows"][0]["samples"] == evidence()["samples"]


@contextmanager
def files_no_larger_than(size):
    """What a full disk does to a write, for any user and without a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_archive_without_room_stays_as_it_was(tmp_path):
    def kept(seed):
        return ArchivedRun(run=record(seed=seed), evidence=[parse_evidence(evidence())])

    archive.add(tmp_path, [kept(0)])
    before = (tmp_path / "toy.jsonl").read_text()
    with files_no_larger_than(len(before) + 10), pytest.raises(OSError, match="too large"):
        archive.add(tmp_path, [kept(1)])
    assert (tmp_path / "toy.jsonl").read_text() == before
    assert [path.name for path in tmp_path.iterdir()] == ["toy.jsonl"]
    assert archive.add(tmp_path, [kept(1)]) == {tmp_path / "toy.jsonl": (1, 2)}


def test_what_a_killed_press_left_half_written_is_swept_away(tmp_path):
    """A file of a process that is gone goes; one of a process that lives stays."""
    book = Book(tmp_path / "a book")
    book.add("alpha", TALLY)
    gone, alive = 2**22 + 1, os.getpid()
    for folder in (book.home.failed, book.home.cache / "tmp"):
        folder.mkdir(parents=True)
    for owner in (gone, alive):
        (book.home.failed / f"alpha.{owner}-.tmp").write_text("half")
        (book.home.cache / "tmp" / f"probe.{owner}-").write_text("half")
        (book.home.build / f".ledger.json.{owner}-abc").write_text("half")
    code, _, complaint = book.featlib("run")
    assert (code, complaint) == (0, "")
    left = sorted(path.name for path in book.home.build.rglob("*") if str(gone) in path.name)
    assert left == []
    kept = sorted(path.name for path in book.home.build.rglob("*") if str(alive) in path.name)
    assert kept == [f".ledger.json.{alive}-abc", f"alpha.{alive}-.tmp", f"probe.{alive}-"]
    assert json.loads(book.home.ledger.read_text())["runs"]
