"""The press as the command line works it: a request goes in, finished runs, the ledger and the book come out."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from featlib.data import sources
from featlib.press import archive
from featlib.press.cache import Cache, CachedRun, writing
from featlib.press.card import LAPTOP, Card, load_cards
from featlib.press.collect import collect, write
from featlib.press.costs import Profile
from featlib.press.evidence import evidence_of, parse_evidence
from featlib.press.git import commit_of
from featlib.press.history import histories
from featlib.press.home import Home
from featlib.press.log import JsonLog
from featlib.press.plan import Job, Planner, current_runs, missing_data, plan, refuse_unknown
from featlib.press.pool import setting
from featlib.press.record import RunRecord
from featlib.press.report import Estimate, Reporter, broken_promises, pasted, planned, summary
from featlib.press.run import Outcome, Work, run_jobs
from featlib.press.site import check_site, print_site, stage

WORKERS = 2
"""Notebooks at once on this machine, unless another number is asked for."""


@dataclass(frozen=True)
class Request:
    """What to run, and how."""

    chapters: tuple[str, ...] = ()
    """Empty: all."""
    preset: str = LAPTOP
    seeds: tuple[int, ...] = (0,)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    workers: int | None = None
    """Jobs at once; by default two here, and as many as a cluster's workers take."""
    timeout: float | None = None
    force: bool = False
    log: Literal["plain", "json"] = "plain"
    scheduler: str | None = None
    """Address of a Dask scheduler; without one the jobs run on this machine."""


class Desk:
    """One checkout with its cards and its cache."""

    def __init__(self, home: Home, console: Console) -> None:
        self.home = home
        self.console = console
        self.cards: dict[str, Card] = load_cards(home)
        self.cache = Cache(home.cache)

    def jobs(self, request: Request) -> list[Job]:
        """What a request comes to; whatever can be refused is refused here, before the first kernel starts."""
        return plan(self.home, self.cards, request.chapters, request.preset, request.seeds, request.overrides)

    def show_plan(self, jobs: Sequence[Job], request: Request) -> None:
        """Say what would be run and how long it would take, by earlier runs and else by the promises."""
        profile = Profile(self.cache.records())
        self.console.print(planned(jobs, self.cards, profile, lambda digest: self._cached(digest, request)))
        with Reporter(
            self.console, self._estimate(jobs, request, profile, request.workers or WORKERS), self.home.root, len(jobs)
        ):
            pass

    def run(self, request: Request) -> list[Outcome]:
        """Run what is asked for and is not in the cache; tell of it, and write the ledger."""
        return self.press(self.jobs(request), request)

    def press(self, jobs: Sequence[Job], request: Request) -> list[Outcome]:
        """Run these jobs, the longest first, and say what came of each, in the order in which they were given."""
        began = time.monotonic()
        self.cache.prepare()
        self.fetch(missing_data(self.cards, {job.chapter for job in jobs}))
        profile = Profile(self.cache.records())
        queue = profile.longest_first(jobs, self.cards)
        with self._workers(request) as (work, workers):
            estimate = self._estimate(jobs, request, profile, workers)
            json_log = JsonLog(estimate, len(jobs)) if request.log == "json" else None
            with json_log or Reporter(self.console, estimate, self.home.root, len(jobs)) as tell:
                ended = run_jobs(
                    queue, self.home, self.cache, workers, request.timeout, request.force, on_event=tell, work=work
                )
        by_digest = {outcome.job.digest: outcome for outcome in ended}
        outcomes = [by_digest[job.digest] for job in jobs]
        if json_log:
            json_log.summary(outcomes)
        self._tell(outcomes, request.preset, time.monotonic() - began)
        with writing(self.home.build):
            write(self.ledger(request.preset), self.home.ledger)
        return outcomes

    def ledger(self, preset: str) -> dict[str, Any]:
        """The evidence of all runs in the cache that today's code would give again, with the archive and its past."""
        runs = current_runs(self.home, self.cards, self.cache)
        kept = archive.read(self.home.evidence, self.cards)
        planner = Planner(self.home, self.cards)
        archived = [(run, planner.changes(run.run)) for run in kept.runs]
        ledger = collect(self.cards, [(run.record, run.notebook()) for run in runs], preset, archived)
        past = histories(self.home.root, self.cards, preset)
        for row in ledger["rows"]:
            row["history"] = past.get((row["chapter"], row["claim"]), [])
        return ledger | {"archive": {"runs": len(kept.runs), "faults": kept.faults}}

    def archive(self, chapters: Sequence[str], preset: str, by_hand: bool, stale: bool) -> dict[Path, tuple[int, int]]:
        """Export the evidence of runs in the cache to the archive; for each file what was new, and what it holds.

        Args:
            chapters: of which chapters; none for all.
            preset: of which preset.
            by_hand: whether runs go along whose parameters were set by a sweep or by hand.
            stale: whether runs of code that has changed since go along; they stay marked as such.
        """
        refuse_unknown(self.cards, chapters)
        found = self.cache.entries() if stale else current_runs(self.home, self.cards, self.cache)
        commit = commit_of(self.home.root)
        runs = []
        for run in found:
            record = run.record
            wanted = record.chapter in (chapters or self.cards) and record.preset == preset
            if wanted and (by_hand or not record.overrides):
                evidence = [parse_evidence(payload) for payload in evidence_of(run.notebook())]
                if evidence:
                    runs.append(archive.ArchivedRun(run=record, evidence=evidence, commit=commit))
        with writing(self.home.evidence):
            return archive.add(self.home.evidence, runs)

    def print_book(self, outcomes: Sequence[Outcome], preset: str) -> tuple[Path, list[str]]:
        """Print the book and look it over.

        Each chapter shows the run that was just asked for, of the lowest seed, or else an earlier one with this preset.

        Returns:
            The folder of the site, and its faults.
        """
        just = sorted((o for o in outcomes if o.ok), key=lambda outcome: outcome.job.seed)
        shown = {outcome.job.chapter: outcome.path for outcome in reversed(just) if outcome.path is not None}
        for run in sorted(current_runs(self.home, self.cards, self.cache), key=lambda run: run.record.seed):
            if run.record.preset == preset and not run.record.overrides:
                shown.setdefault(run.record.chapter, run.path)
        stage(self.home, self.cards, shown)
        self.console.print("printing the book")
        html = print_site(self.home)
        return html, archive.read(self.home.evidence, self.cards).faults + check_site(html, self.home, self.cards)

    def fetch(self, names: Sequence[str]) -> list[str]:
        """Bring data and weights that are not here, with a progress bar; the names of what came."""
        if names:
            self.console.print(f"fetching {', '.join(names)}", soft_wrap=True)
        return sources.fetch(names, progress=self.console.is_terminal) if names else []

    def missing(self) -> list[str]:
        """Data and weights that the chapters read and this machine lacks."""
        return missing_data(self.cards, self.cards)

    def _cached(self, digest: str, request: Request) -> bool:
        """Whether a job will be served from the cache."""
        return self.cache.has(digest) and not request.force

    @contextmanager
    def _workers(self, request: Request) -> Iterator[tuple[Work | None, int]]:
        """What runs the notebooks, and how many at once."""
        if request.scheduler is None:
            yield None, request.workers or WORKERS
            return
        from featlib.press.remote import cluster

        with cluster(request.scheduler, self.home, request.timeout) as found:
            yield found, request.workers or found.slots()

    def _estimate(self, jobs: Sequence[Job], request: Request, profile: Profile, workers: int) -> Estimate:
        """How long these jobs will take."""
        return Estimate(jobs, self.cards, workers, lambda digest: self._cached(digest, request), profile)

    def _tell(self, outcomes: Sequence[Outcome], preset: str, seconds: float) -> None:
        """The table of the runs, what they took too much of, and lines to paste."""
        self.console.print(summary(outcomes, self._rows_of(outcomes, preset)))
        for line in broken_promises(outcomes, self.cards):
            self.console.print(f"note: {line}", soft_wrap=True)
        for line in pasted(outcomes, seconds, self.home.root):
            self.console.print(line, soft_wrap=True)

    def _rows_of(self, outcomes: Sequence[Outcome], preset: str) -> list[dict[str, Any]]:
        """The claims by these runs alone, each setting by itself; what was set by hand counts here too."""
        settings: dict[str, list[tuple[RunRecord, Any]]] = {}
        for outcome in outcomes:
            if outcome.record is not None and outcome.path is not None:
                plain = outcome.record.model_copy(update={"overrides": {}})
                run = plain, CachedRun(plain, outcome.path).notebook()
                settings.setdefault(f"{plain.chapter} {setting(plain)}", []).append(run)
        rows: list[dict[str, Any]] = []
        for runs in settings.values():
            rows += collect({runs[0][0].chapter: self.cards[runs[0][0].chapter]}, runs, preset)["rows"]
        return rows
