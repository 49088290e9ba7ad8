"""What a press tells people, where a press in a pipe does not show it."""

import io
import json
import logging

import pytest
from conftest import TALLY
from example_card import record
from rich.console import Console

from featlib.press.costs import Profile, broken, overruns
from featlib.press.log import JsonLog
from featlib.press.report import Estimate, Reporter, about, broken_promises, pasted, planned
from featlib.press.run import Event, Outcome


def ended(job, seconds=10.0, memory=1000.0, cached=False):
    """The outcome of a job that took so long."""
    return Outcome(job, True, cached, record=record(chapter=job.chapter, seconds=seconds, peak_memory_mb=memory))


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        ({"seconds": 59.0, "memory": 2000.0}, []),
        ({"seconds": 100.0}, ["alpha laptop seed 0 took 100 s, its card promises 60 s"]),
        ({"memory": 2100.0}, ["alpha laptop seed 0 took 2100 MB, its card promises 2 GB"]),
        ({"seconds": 100.0, "cached": True}, []),
    ],
)
def test_a_broken_promise_is_told_once(book, outcome, told):
    [job] = book.add("alpha", TALLY).plan()
    assert broken_promises([ended(job, **outcome)], book.cards) == told


def test_a_promise_is_for_the_laptop_preset_as_it_is(book):
    [job] = book.add("alpha", TALLY).plan()
    for change in ({"preset": "gpu"}, {"overrides": {"n_images": 4}}):
        outcome = Outcome(job, True, record=record(chapter="alpha", seconds=100.0, **change))
        assert broken_promises([outcome], book.cards) == []


def test_the_estimate_starts_from_the_promise_and_learns(book):
    jobs = book.add("alpha", TALLY).add("beta", TALLY).plan(seeds=range(4))
    estimate = Estimate(jobs, book.cards, 2, lambda digest: digest == jobs[7].digest)
    assert estimate.seconds_left(0.0) == 7 * 60 / 2
    estimate.start(jobs[0], 0.0)
    assert estimate.seconds_left(30.0) == (6 * 60 + 30) / 2
    estimate.end(ended(jobs[0]))
    assert estimate.seconds_left(30.0) == (3 * 10 + 3 * 60) / 2
    for job in jobs[1:]:
        estimate.end(ended(job))
    assert estimate.seconds_left(30.0) == 0


def test_the_last_job_is_not_shared_out_among_the_workers(book):
    estimate = Estimate(book.add("alpha", TALLY).plan(), book.cards, 4, lambda digest: False)
    assert estimate.seconds_left(0.0) == 60


def test_a_terminal_gets_a_bar_with_what_is_running(book):
    [job] = book.add("alpha", TALLY).plan()
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, highlight=False, markup=False)
    with Reporter(console, Estimate([job], book.cards, 1, lambda digest: False), book.home.root, 1) as tell:
        tell(Event(job, 0, 1))
        tell._bar.refresh()
        running = screen.getvalue()
        tell(Event(job, 1, 1, ended(job)))
    assert "alpha laptop seed 0" in running
    assert "about 60 s left" in running
    assert "1 to run, about 60 s" in running
    assert "[1/1] alpha laptop seed 0: 10.0 s" in screen.getvalue()


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "about 0 s"), (89.0, "about 89 s"), (91.0, "about 2 min"), (7200.0, "about 2.0 h")]
)
def test_a_length_of_time_is_said_as_people_say_it(seconds, said):
    assert about(seconds) == said


# What earlier runs cost ---------------------------------------------------------------------------------------------


def took(chapter="alpha", seconds=10.0, **changes):
    """The record of a run that took so long."""
    return record(chapter=chapter, seconds=seconds, **changes)


def test_the_profile_knows_the_newest_runs_of_each_kind():
    old = [took(seconds=1000.0, date=f"2025-01-01T00:00:{n:02}Z") for n in range(5)]
    new = [took(seconds=float(n), date=f"2026-01-01T00:00:{n:02}Z", peak_memory_mb=100.0 * n) for n in range(10)]
    profile = Profile([*new, *old])
    known = profile.of("alpha", "laptop")
    assert (known.runs, known.seconds, known.peak_memory_mb) == (10, 4.5, 900.0)
    assert profile.of("alpha", "smoke") is None
    assert profile.of("beta", "laptop") is None


def test_overrides_of_their_own_cost_what_they_cost():
    wide = {"n_images": 400}
    profile = Profile([took(), took(seconds=90.0, overrides=wide)])
    assert profile.of("alpha", "laptop", wide).seconds == 90
    assert profile.of("alpha", "laptop").seconds == 10
    assert profile.of("alpha", "laptop", {"n_images": 7}).seconds == 50, "any run of the preset is a better guess"


def test_the_longest_job_goes_first_and_the_estimate_knows_the_past(book):
    jobs = book.add("alpha", TALLY).add("beta", TALLY).add("gamma", TALLY).plan(seeds=[0, 1])
    profile = Profile([took("alpha", 10.0), took("beta", 200.0)])
    assert [(job.chapter, job.seed) for job in profile.longest_first(jobs, book.cards)] == [
        ("beta", 0),
        ("beta", 1),
        ("gamma", 0),  # never run: its card promises 60 s
        ("gamma", 1),
        ("alpha", 0),
        ("alpha", 1),
    ]
    estimate = Estimate(jobs, book.cards, 2, lambda digest: False, profile)
    assert estimate.seconds_left(0.0) == 2 * (10 + 200 + 60) / 2
    screen = io.StringIO()
    Console(file=screen, width=100).print(planned(jobs, book.cards, profile, lambda digest: digest == jobs[0].digest))
    lines = [line.split() for line in screen.getvalue().splitlines()]
    assert lines[1] == ["beta", "laptop", "2", "0", "200", "each", "1", "earlier", "runs"]
    assert lines[2] == ["gamma", "laptop", "2", "0", "60", "each", "its", "card"]
    assert lines[3] == ["alpha", "laptop", "2", "1", "10", "each", "1", "earlier", "runs"]


def test_a_promise_is_broken_by_more_than_a_quarter(book):
    cards = book.add("alpha", TALLY).add("beta", TALLY).cards
    promise = cards["alpha"].promise
    assert overruns(promise, 60.0, 2.0) == []
    [little] = overruns(promise, 75.0, 2.0)
    assert not little.broken
    time, memory = overruns(promise, 75.1, 2.6)
    assert time.broken
    assert memory.broken
    assert str(memory) == "memory 2.6 GB, promised 2 GB (30 % over)"
    slow, by_hand = took(seconds=90.0), took("beta", 90.0, overrides={"n_images": 4})
    found = broken(cards, [took(), slow, by_hand, took("beta", 90.0, preset="gpu")])
    assert {slug: list(map(str, over)) for slug, over in found.items()} == {
        "alpha": ["wall time 90 s, promised 60 s (50 % over)"]
    }


# For programs, and to paste -----------------------------------------------------------------------------------------


def test_every_line_for_programs_is_an_object(book):
    one, two = book.add("alpha", TALLY).plan(seeds=[0, 1])
    file = io.StringIO()
    with JsonLog(Estimate([one, two], book.cards, 1, lambda digest: False), 2, file) as tell:
        tell(Event(one, 0, 2))
        tell(Event(one, 1, 2, ended(one)))
        tell(Event(two, 1, 2))
        logging.getLogger("featlib.press.cache").warning("damaged\nand more")
        tell(Event(two, 2, 2, Outcome(two, False, error='no "room"\u2028')))
        tell.summary([ended(one), Outcome(two, False, error="no")])
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["plan", "start", "end", "start", "note", "end", "summary"]
    assert lines[0]["seconds_left"] == 120
    assert lines[2] | {"job": "alpha laptop seed 0", "seconds": 10.0, "ok": True, "seconds_left": 10.0} == lines[2]
    assert lines[4]["text"] == "damaged\nand more"
    assert lines[5]["error"] == 'no "room"\u2028'
    assert (lines[6]["ok"], lines[6]["failed"]) == (1, [{"job": "alpha laptop seed 1", "error": "no"}])


def test_the_lines_to_paste_say_what_ran_where_and_what_failed(book):
    one, two = book.add("alpha", TALLY).plan(seeds=[0, 1])
    first, *others = pasted([ended(one, cached=True), Outcome(two, False, error="no room")], 12.3, book.home.root)
    assert first.startswith("2 jobs in 12 s: 0 run, 1 cached, 1 failed (featlib ")
    assert others == ["  failed: alpha laptop seed 1: no room"]
