"""What runs have cost: a profile of each chapter and preset, and whether the chapter keeps what its card promises."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from featlib.press.card import LAPTOP, Card, Promise
from featlib.press.plan import Job
from featlib.press.record import RunRecord

SLACK = 1.25
"""A promise is broken by a run that takes more than this many times what was promised: machines differ by less."""
REMEMBERED = 10
"""Of the runs of one kind, so many of the newest tell what the next will cost."""


@dataclass(frozen=True)
class Cost:
    """What the runs of one kind took: medians of the times, the largest memory."""

    runs: int
    seconds: float
    cpu_seconds: float
    peak_memory_mb: float


class Profile:
    """The costs of all runs that are known, also of code that has changed since: it changes cost less than numbers."""

    def __init__(self, records: Iterable[RunRecord] = ()) -> None:
        self._by_kind: dict[tuple[str, str, str], list[RunRecord]] = {}
        for record in sorted(records, key=lambda record: record.date):
            key = (record.chapter, record.preset, _words(record.overrides))
            self._by_kind[key] = [*self._by_kind.get(key, []), record][-REMEMBERED:]

    def of(self, chapter: str, preset: str, overrides: Mapping[str, object] | None = None) -> Cost | None:
        """What such a run takes, or ``None`` if there was none. Without one under these overrides, any will do."""
        same = self._by_kind.get((chapter, preset, _words(overrides or {})))
        near = [record for key, kept in self._by_kind.items() if key[:2] == (chapter, preset) for record in kept]
        return _cost(same or near)

    def seconds(self, job: Job, cards: Mapping[str, Card]) -> float:
        """How long a job is likely to take: as its like did, or else as its card promises."""
        known = self.of(job.chapter, job.preset, job.overrides)
        return known.seconds if known else float(cards[job.chapter].promise.seconds)

    def longest_first(self, jobs: Iterable[Job], cards: Mapping[str, Card]) -> list[Job]:
        """The jobs in the order that leaves no long one to the end, while all other workers are idle."""
        return sorted(jobs, key=lambda job: -self.seconds(job, cards))


@dataclass(frozen=True)
class Overrun:
    """Something that took more than was promised."""

    name: str
    took: float
    promised: float
    unit: str

    @property
    def times(self) -> float:
        """How many times the promise it took."""
        return self.took / self.promised

    @property
    def broken(self) -> bool:
        """Whether that is more than a difference of machines explains."""
        return self.times > SLACK

    def __str__(self) -> str:
        """In words."""
        figures = f"{self.took:.3g} {self.unit}, promised {self.promised:g} {self.unit}"
        return f"{self.name} {figures} ({100 * (self.times - 1):.0f} % over)"


def overruns(promise: Promise, seconds: float, memory_gb: float) -> list[Overrun]:
    """What of a promise was overrun, by however little."""
    found = [
        Overrun("wall time", seconds, promise.seconds, "s"),
        Overrun("memory", memory_gb, promise.memory_gb, "GB"),
    ]
    return [one for one in found if one.took > one.promised]


def broken(cards: Mapping[str, Card], records: Iterable[RunRecord]) -> dict[str, list[Overrun]]:
    """The promises that these runs broke, by chapter; a promise speaks of the laptop preset as it is."""
    kept = [record for record in records if record.preset == LAPTOP and not record.overrides]
    found: dict[str, list[Overrun]] = {}
    for slug, card in cards.items():
        own = [record for record in kept if record.chapter == slug]
        if own:
            over = overruns(
                card.promise,
                max(record.seconds for record in own),
                max(record.peak_memory_mb for record in own) / 1024,
            )
            found[slug] = [one for one in over if one.broken]
    return {slug: over for slug, over in found.items() if over}


def _words(overrides: Mapping[str, object]) -> str:
    """Overrides as a key."""
    return json.dumps(overrides, sort_keys=True, default=str)


def _cost(records: list[RunRecord]) -> Cost | None:
    """The costs of these runs as one."""
    if not records:
        return None
    return Cost(
        runs=len(records),
        seconds=median(record.seconds for record in records),
        cpu_seconds=median(record.cpu_seconds for record in records),
        peak_memory_mb=max(record.peak_memory_mb for record in records),
    )
