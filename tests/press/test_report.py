"""What a press tells people, where a press in a pipe does not show it."""

import io

import pytest
from conftest import TALLY
from example_card import record
from rich.console import Console

from featlib.press.report import Estimate, Reporter, about, broken_promises
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
