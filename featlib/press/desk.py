"""The press as the command line works it: a request goes in, finished runs, the ledger and the book come out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from featlib.data import sources
from featlib.press.cache import Cache, CachedRun, writing
from featlib.press.card import LAPTOP, Card, load_cards
from featlib.press.collect import collect, write
from featlib.press.home import Home
from featlib.press.plan import current_runs, missing_data, plan
from featlib.press.report import Estimate, Reporter, broken_promises, summary
from featlib.press.run import Outcome, run_jobs
from featlib.press.site import check_site, print_site, stage


@dataclass(frozen=True)
class Request:
    """What to run, and how."""

    chapters: tuple[str, ...] = ()
    """Empty: all."""
    preset: str = LAPTOP
    seeds: tuple[int, ...] = (0,)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    workers: int = 2
    timeout: float | None = None
    force: bool = False


class Desk:
    """One checkout with its cards and its cache."""

    def __init__(self, home: Home, console: Console) -> None:
        self.home = home
        self.console = console
        self.cards: dict[str, Card] = load_cards(home)
        self.cache = Cache(home.cache)

    def run(self, request: Request) -> list[Outcome]:
        """Run what is asked for and is not in the cache; tell of it, and write the ledger.

        Everything that can be refused is refused before the first kernel starts.
        """
        jobs = plan(self.home, self.cards, request.chapters, request.preset, request.seeds, request.overrides)
        self.cache.prepare()
        self.fetch(missing_data(self.cards, {job.chapter for job in jobs}))
        estimate = Estimate(
            jobs, self.cards, request.workers, lambda digest: self.cache.has(digest) and not request.force
        )
        with Reporter(self.console, estimate, self.home.root, len(jobs)) as tell:
            outcomes = run_jobs(
                jobs, self.home, self.cache, request.workers, request.timeout, request.force, on_event=tell
            )
        self.console.print(summary(outcomes, self._rows_of(outcomes, request.preset)))
        for line in broken_promises(outcomes, self.cards):
            self.console.print(f"note: {line}", soft_wrap=True)
        with writing(self.home.build):
            write(self.ledger(request.preset), self.home.ledger)
        return outcomes

    def ledger(self, preset: str) -> dict[str, Any]:
        """The evidence of all runs in the cache that today's code would give again."""
        runs = current_runs(self.home, self.cards, self.cache)
        return collect(self.cards, [(run.record, run.notebook()) for run in runs], preset)

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
        return html, check_site(html, self.home, self.cards)

    def fetch(self, names: Sequence[str]) -> list[str]:
        """Bring data and weights that are not here, with a progress bar; the names of what came."""
        if names:
            self.console.print(f"fetching {', '.join(names)}", soft_wrap=True)
        return sources.fetch(names, progress=self.console.is_terminal) if names else []

    def missing(self) -> list[str]:
        """Data and weights that the chapters read and this machine lacks."""
        return missing_data(self.cards, self.cards)

    def _rows_of(self, outcomes: Sequence[Outcome], preset: str) -> list[dict[str, Any]]:
        """The claims by these runs alone; parameters given by hand, which the ledger leaves out, are let in here."""
        runs = [
            (outcome.record.model_copy(update={"overrides": {}}), CachedRun(outcome.record, outcome.path).notebook())
            for outcome in outcomes
            if outcome.record is not None and outcome.path is not None
        ]
        rows: list[dict[str, Any]] = collect(self.cards, runs, preset)["rows"]
        return rows
