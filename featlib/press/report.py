"""What the press tells people: one line per job, an estimate, and tables. Plain lines where there is no terminal."""

from __future__ import annotations

import json
import logging
import platform
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

import featlib
from featlib.press.card import LAPTOP, Card
from featlib.press.costs import Profile
from featlib.press.git import commit_of
from featlib.press.history import flips
from featlib.press.plan import Job
from featlib.press.run import Event, Outcome, cores

PIPE_WIDTH = 180
"""Columns where there is no terminal: room for a table's longest line, so that nothing is cut off."""


def console_for(stderr: bool = False) -> Console:
    """A console that cuts nothing off in a pipe and never colours numbers by itself."""
    console = Console(stderr=stderr, highlight=False, markup=False)
    if not console.is_terminal:
        console.width = PIPE_WIDTH
    return console


class Estimate:
    """How long the rest takes.

    By the runs that have ended; before there is one by what earlier runs took, and else by the cards' promises.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        cards: Mapping[str, Card],
        workers: int,
        cached: Callable[[str], bool],
        profile: Profile | None = None,
    ) -> None:
        known = profile or Profile()
        self._expected = {job.digest: 0.0 if cached(job.digest) else known.seconds(job, cards) for job in jobs}
        self.cached = sum(cached(job.digest) for job in jobs)
        self._waiting = {job.digest: job for job in jobs}
        self._started: dict[str, float] = {}
        self._seen: dict[str, list[float]] = {}
        self._workers = workers

    def start(self, job: Job, now: float) -> None:
        """A job has started."""
        self._started[job.digest] = now

    def end(self, outcome: Outcome) -> None:
        """A job has ended."""
        self._waiting.pop(outcome.job.digest, None)
        if outcome.record is not None and not outcome.cached:
            self._seen.setdefault(_kind(outcome.job), []).append(outcome.record.seconds)

    def seconds_left(self, now: float) -> float:
        """Seconds until the last job ends."""
        left = [self._of(job, now) for job in self._waiting.values()]
        return max(sum(left) / self._workers, max(left, default=0.0))

    def _of(self, job: Job, now: float) -> float:
        seen = self._seen.get(_kind(job))
        whole = self._expected[job.digest]
        if seen and whole:
            whole = sum(seen) / len(seen)
        return max(0.0, whole - (now - self._started.get(job.digest, now)))


def _kind(job: Job) -> str:
    """What jobs share that take about as long as each other: all but the seed."""
    return f"{job.chapter} {job.preset} {json.dumps(job.overrides, sort_keys=True, default=str)}"


class Reporter:
    """Tells of jobs as they start and end; a context, since a bar at the foot of a terminal must be taken away."""

    def __init__(self, console: Console, estimate: Estimate, home: Path, total: int) -> None:
        self._console = console
        self._estimate = estimate
        self._home = home
        self._total = total
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
        )
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("starting", total=total, left="")
        self._running: dict[str, str] = {}
        self._handler = _ToConsole(console)

    def __enter__(self) -> Reporter:
        logging.getLogger("featlib").addHandler(self._handler)
        cached, left = self._estimate.cached, about(self._estimate.seconds_left(time.monotonic()))
        known = f" ({cached} in the cache)" if cached else ""
        self._console.print(f"{self._total} to run{known}, {left}", soft_wrap=True)
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()
        logging.getLogger("featlib").removeHandler(self._handler)

    def __call__(self, event: Event) -> None:
        """Tell of one event."""
        now = time.monotonic()
        if event.outcome is None:
            self._running[event.job.digest] = event.job.name
            self._estimate.start(event.job, now)
        else:
            self._running.pop(event.job.digest, None)
            self._estimate.end(event.outcome)
        left = about(self._estimate.seconds_left(now)) if event.done < event.total else ""
        if event.outcome is not None:
            line = f"[{event.done}/{event.total}] {event.job.name}: {self._ended(event.outcome)}"
            self._console.print(f"{line}; {left} left" if left else line, soft_wrap=True)
        names = ", ".join(self._running.values())
        self._bar.update(
            self._task, completed=event.done, description=names or "done", left=f"{left} left" if left else ""
        )

    def _ended(self, outcome: Outcome) -> str:
        """How a job ended, in one line."""
        if not outcome.ok:
            kept = f" (see {_short(outcome.path, self._home)})" if outcome.path else ""
            return f"FAILED: {outcome.error}{kept}"
        record = outcome.record
        if outcome.cached or record is None:
            return "from the cache"
        return f"{record.seconds:.1f} s ({record.cpu_seconds:.1f} s CPU, {record.peak_memory_mb:.0f} MB)"


class _ToConsole(logging.Handler):
    """Sends warnings through the console, so that they do not tear the bar apart."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print one warning."""
        self._console.print(f"note: {record.getMessage()}", soft_wrap=True)


def summary(outcomes: Sequence[Outcome], rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line per chapter: what its runs cost and what its claims came to, by the rows of a ledger of these runs."""
    table = plain_table("chapter", "runs", "seconds", "CPU seconds", "peak MB", "claims")
    for chapter in dict.fromkeys(outcome.job.chapter for outcome in outcomes):
        own = [outcome for outcome in outcomes if outcome.job.chapter == chapter]
        records = [outcome.record for outcome in own if outcome.record is not None]
        failed = sum(not outcome.ok for outcome in own)
        table.add_row(
            chapter,
            f"{len(own) - failed} of {len(own)}" if failed else str(len(own)),
            f"{sum(record.seconds for record in records):.1f}",
            f"{sum(record.cpu_seconds for record in records):.1f}",
            f"{max((record.peak_memory_mb for record in records), default=0):.0f}",
            verdicts(row for row in rows if row["chapter"] == chapter) if records else "the chapter failed",
        )
    return table


def planned(jobs: Sequence[Job], cards: Mapping[str, Card], profile: Profile, cached: Callable[[str], bool]) -> Table:
    """What is to run: one line for each chapter and setting, the longest first."""
    table = plain_table("chapter", "preset", "runs", "in the cache", "seconds", "known from")
    groups: dict[str, list[Job]] = {}
    for job in profile.longest_first(jobs, cards):
        groups.setdefault(_kind(job), []).append(job)
    for group in groups.values():
        first = group[0]
        known = profile.of(first.chapter, first.preset, first.overrides)
        given = "".join(f" {name}={json.dumps(value)}" for name, value in first.overrides.items())
        table.add_row(
            first.chapter,
            first.preset + given,
            str(len(group)),
            str(sum(cached(job.digest) for job in group)),
            f"{profile.seconds(first, cards):.0f} each",
            f"{known.runs} earlier runs" if known else "its card",
        )
    return table


def pasted(outcomes: Sequence[Outcome], seconds: float, root: Path) -> list[str]:
    """Lines that say by themselves what was run and how it ended, to paste into a message: the failures come last."""
    failed = [outcome for outcome in outcomes if not outcome.ok]
    cached = sum(outcome.cached for outcome in outcomes)
    commit = commit_of(root)
    at = f" at {commit[:9]}{'+' * commit.endswith('+')}" if commit else ""
    where = f"featlib {featlib.__version__}{at}, Python {platform.python_version()}, {cores()} cores"
    counts = f"{len(outcomes) - cached - len(failed)} run, {cached} cached, {len(failed)} failed"
    lines = [f"{len(outcomes)} jobs in {seconds:.0f} s: {counts} ({where})"]
    return lines + [f"  failed: {outcome.job.name}: {outcome.error}" for outcome in failed]


def broken_promises(outcomes: Sequence[Outcome], cards: Mapping[str, Card]) -> list[str]:
    """What the laptop runs of just now took more of than their cards promise; runs from the cache were told once."""
    told = []
    for outcome in outcomes:
        record, promise = outcome.record, cards[outcome.job.chapter].promise
        if record is None or outcome.cached or record.preset != LAPTOP or record.overrides:
            continue
        if record.seconds > promise.seconds:
            told.append(f"{outcome.job.name} took {record.seconds:.0f} s, its card promises {promise.seconds:g} s")
        if record.peak_memory_mb > promise.memory_gb * 1024:
            told.append(
                f"{outcome.job.name} took {record.peak_memory_mb:.0f} MB, its card promises {promise.memory_gb:g} GB"
            )
    return told


def verdicts(rows: Any) -> str:
    """``"2 supported, 1 inconclusive"``, most frequent first."""
    counted = Counter(row["verdict"] for row in rows)
    return ", ".join(f"{n} {verdict}" for verdict, n in counted.most_common()) or "no claims"


def score_table(rows: Iterable[Mapping[str, Any]]) -> Table:
    """One line per claim."""
    table = plain_table("chapter", "claim", "verdict", "mean", "interval", "seeds", "rests on")
    for row in rows:
        table.add_row(row["chapter"], row["claim"], row["verdict"], *_numbers(row), _basis(row))
    return table


def _basis(row: Mapping[str, Any]) -> str:
    """On what the samples of a row rest."""
    if not row["samples"]:
        return ""
    archived = f"{row['archived']} archived" if row["archived"] else "fresh runs"
    if row["stale"] is None:
        return archived
    why = "; ".join(row["stale"]["why"])
    vouched = row["stale"]["vouched"]
    again = f"; seed {', '.join(vouched)} run again agrees" if vouched else ""
    return f"{archived}, {len(row['stale']['seeds'])} stale ({why}{again})"


def sweep_table(jobs: Iterable[Job], ledger: Mapping[str, Any]) -> Table:
    """One line for each claim at each point of a sweep, and for the claims under the plain preset if it is a point."""
    table = plain_table("chapter", "parameters", "claim", "verdict", "mean", "interval", "seeds")
    points = {(job.chapter, _given(job.overrides)): job for job in jobs}
    for chapter, given in points:
        rows = ledger["sweeps"] if given else ledger["rows"]
        for row in rows:
            if row["chapter"] == chapter and row["samples"] and given == _given(row.get("overrides", {})):
                told = [row["claim"], row["verdict"], *_numbers(row)]
                table.add_row(chapter, given or "as the preset", *told)
    return table


def _given(overrides: Mapping[str, Any]) -> str:
    """Overrides as people read them, in one order."""
    return ", ".join(f"{name}={json.dumps(value)}" for name, value in sorted(overrides.items()))


def _numbers(row: Mapping[str, Any]) -> tuple[str, str, str]:
    """Mean, interval and number of seeds of a row."""
    interval = " to ".join("unbounded" if end is None else f"{end:.3g}" for end in row["interval"] or ())
    mean = "" if row["mean"] is None else f"{row['mean']:.3g}"
    return mean, interval, str(len(row["samples"])) if row["samples"] else ""


def flip_lines(
    then: Mapping[tuple[str, str], Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], revision: str
) -> list[str]:
    """What flipped since a commit, one line each."""
    lines = [
        f"{chapter}/{claim}: {_told(before)} -> {_told(after)}" for chapter, claim, before, after in flips(then, rows)
    ]
    return [*lines, f"{len(lines)} of {len(rows)} claims have another verdict than at {revision}"]


def _told(row: Mapping[str, Any]) -> str:
    """A verdict with its numbers."""
    return row["verdict"] if row["mean"] is None else f"{row['verdict']} ({row['mean']:.3g}, n={row['n']})"


def plain_table(*columns: str) -> Table:
    """A table without lines; columns of numbers stand to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, justify="right" if name in {"seconds", "CPU seconds", "peak MB", "runs"} else "left")
    return table


def about(seconds: float) -> str:
    """A length of time as people say it."""
    if seconds < 90:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:.1f} h"


def _short(path: Path, home: Path) -> Path:
    """A path as one would type it in the checkout."""
    return path.relative_to(home) if path.is_relative_to(home) else path
