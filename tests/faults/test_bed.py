"""Many jobs, some bad, under a press that is killed three times: every good one counts once, every bad one is named.

``FEATLIB_FAULTS=200`` runs that many jobs; ``FEATLIB_FAULTS_SEED`` deals them otherwise.
"""

import json
import os
import sys
import time

import pytest
from bed import BAD, Bed
from tiny_book import Book

JOBS = int(os.environ.get("FEATLIB_FAULTS", "24"))
SEED = int(os.environ.get("FEATLIB_FAULTS_SEED", "0"))
LIMIT = 12
"""Seconds that a job may take: far more than a kernel needs to start, also where others are at work."""


@pytest.fixture
def bed(tmp_path):
    temporary = tmp_path / "t"
    temporary.mkdir()
    book = Book(tmp_path / "a book")
    yield Bed(book, JOBS, SEED, temporary)
    for process in [*book.presses, *book.kernels()]:
        process.kill()


@pytest.mark.timeout(1800)
def test_every_good_job_counts_once_and_every_bad_one_is_named(bed):
    started = time.monotonic()
    part = max(1, len(bed.good) // 5)
    bed.kill_in_the_middle([bed.press(LIMIT)], part)
    bed.kill_in_the_middle([bed.press(LIMIT), bed.press(LIMIT)], part)  # two at once, on one cache
    said, missing = {}, bed.good
    for _ in range(3):  # a job that a busy machine held up is done by the next press, like any that is missing
        process = bed.press(LIMIT)
        out, complaint = process.communicate(timeout=1200)
        assert process.returncode == 1, complaint
        lines = [json.loads(line) for line in out.splitlines()]
        said = {(line["chapter"], line["seed"]): line for line in lines if line["event"] == "end"}
        missing = {job for job in bed.good if not said[job]["ok"]}
        if not missing:
            break
    assert not missing, [said[job]["error"] for job in missing]

    runs = [(run.record.chapter, run.record.seed) for run in bed.book.cache.entries()]
    assert len(runs) == len(set(runs)), "no job is stored twice"
    assert set(runs) == bed.good
    ledger = json.loads(bed.book.home.ledger.read_text())
    counted = [(row["chapter"], int(seed)) for row in ledger["rows"] for seed in row["samples"]]
    assert sorted(counted) == sorted(bed.good), "every good job counts once"
    for row in ledger["rows"]:
        own = sorted(seed for slug, seed in bed.good if slug == row["chapter"])
        assert row["samples"] == {str(seed): 1 + 0.01 * seed for seed in own}
    for job, kind in bed.bad.items():
        assert not said[job]["ok"], (job, kind)
        assert BAD[kind] in said[job]["error"], (job, kind)
    summary = lines[-1]
    assert summary["event"] == "summary"
    assert len(summary["failed"]) == len(bed.bad)
    assert bed.book.kernels() == []
    assert bed.temporary_files() == []
    told = f"{JOBS} jobs ({len(bed.good)} good, {len(bed.bad)} bad), {dict(bed.counts)}, 0 lost, 0 counted twice"
    sys.stdout.write(f"\nfault bed, seed {SEED}: {told}, {time.monotonic() - started:.0f} s\n")  # pytest -s shows it
