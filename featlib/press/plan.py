"""The plan: which jobs a request comes to, each with a digest of everything that its result depends on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from featlib.data import sources
from featlib.press.cache import Cache, CachedRun
from featlib.press.card import LAPTOP, Card, nearest
from featlib.press.digests import digest, library_digest, library_root, notebook_digest, versions
from featlib.press.home import Home
from featlib.press.notebooks import read_notebook
from featlib.press.parameters import Parameter, ParameterError, check, read_parameters
from featlib.press.record import RunRecord

OWN_OPTIONS = {"seed": "--seed"}
"""Parameters that have an option of their own, which ``-p`` must not go round."""
MOST_SEEDS = 100_000
REQUIRED = {"seed": "int", "device": "str"}


class PlanError(ValueError):
    """A request that cannot be met; refused before any kernel starts."""


def parse_seeds(texts: Iterable[str]) -> tuple[int, ...]:
    """``["0..2", "7"]`` as ``(0, 1, 2, 7)``.

    Raises:
        PlanError: if one is neither a seed nor a rising range, or there are absurdly many.
    """
    seeds: list[int] = []
    for text in texts:
        found = re.fullmatch(r"(\d{1,18})(?:\.\.(\d{1,18}))?", text)
        first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, -1)
        if last < first or last - first >= MOST_SEEDS:
            raise PlanError(f"cannot read {text!r}: write a seed as 3, a range as 0..4")
        seeds += range(first, last + 1)
    return tuple(dict.fromkeys(seeds))


@dataclass(frozen=True)
class Job:
    """One run of one chapter, fully decided."""

    chapter: str
    preset: str
    seed: int
    parameters: dict[str, Any]
    overrides: dict[str, Any]
    digest: str
    notebook_digest: str
    code_digest: str
    data_digests: dict[str, str]
    versions: dict[str, str]

    @property
    def name(self) -> str:
        """What people call it; no two jobs of one plan share it."""
        given = "".join(f" {name}={json.dumps(value)}" for name, value in self.overrides.items())
        return f"{self.chapter} {self.preset} seed {self.seed}{given}"

    @property
    def file(self) -> str:
        """A file name for what is kept of it: overrides may hold anything, so a digest stands for them."""
        given = f"-{self.digest[:8]}" if self.overrides else ""
        return f"{self.chapter}-{self.preset}-seed-{self.seed}{given}.ipynb"


def plan(
    home: Home,
    cards: Mapping[str, Card],
    chapters: Sequence[str] = (),
    preset: str = LAPTOP,
    seeds: Sequence[int] = (0,),
    overrides: Mapping[str, Any] | None = None,
) -> list[Job]:
    """The jobs for these chapters (default: all), one per seed, in the order of the book.

    Raises:
        PlanError: for an unknown chapter, preset or parameter, or a value of the wrong type.
    """
    refuse_unknown(cards, chapters)
    for name, option in OWN_OPTIONS.items():
        if overrides and name in overrides:
            raise PlanError(f"{name} is not set with -p: use {option}")
    chosen = [slug for slug in cards if slug in chapters or not chapters]
    planner = Planner(home, cards)
    return [planner.job(slug, preset, seed, overrides or {}) for slug in chosen for seed in dict.fromkeys(seeds)]


def refuse_unknown(cards: Mapping[str, Card], chapters: Iterable[str]) -> None:
    """Refuse the name of a chapter that the book does not have.

    Raises:
        PlanError: if there is one; the message holds the nearest.
    """
    for name in chapters:
        if name not in cards:
            raise PlanError(f"no chapter {name}{nearest(name, cards)}; there are {', '.join(cards) or 'none'}")


@dataclass
class Planner:
    """Makes jobs; remembers what several of them share (the library is read once, a notebook once)."""

    home: Home
    cards: Mapping[str, Card]
    library: Path = field(default_factory=library_root)
    _chapters: dict[str, tuple[str, dict[str, Parameter]]] = field(default_factory=dict)

    @cached_property
    def code_digest(self) -> str:
        """Digest of the library."""
        return library_digest(self.library)

    @cached_property
    def versions(self) -> dict[str, str]:
        """Versions of what the library stands on."""
        return versions()

    def job(self, chapter: str, preset: str, seed: int, overrides: Mapping[str, Any]) -> Job:
        """One job.

        Raises:
            PlanError: for an unknown preset or parameter, or a value of the wrong type.
        """
        code, known = self._chapter(chapter)
        preset_values = self._preset(chapter, preset, known)
        try:
            given = {**preset_values, **check(known, overrides), **check(known, {"seed": seed})}
        except ParameterError as error:
            raise PlanError(f"{chapter}: {error}") from None
        parameters = {name: given.get(name, parameter.default) for name, parameter in known.items()}
        data = {name: _data_digest(chapter, name) for name in self.cards[chapter].data}
        key = digest([code, self.code_digest, parameters, self.versions, data])
        return Job(
            chapter=chapter,
            preset=preset,
            seed=seed,
            parameters=parameters,
            overrides={name: given[name] for name in overrides},
            # The labels belong to the key too: the ledger keeps runs with overrides and other presets apart.
            digest=digest([key, chapter, preset, sorted(overrides)]),
            notebook_digest=code,
            code_digest=self.code_digest,
            data_digests=data,
            versions=self.versions,
        )

    def _chapter(self, chapter: str) -> tuple[str, dict[str, Parameter]]:
        """Code digest and parameters of a chapter's notebook.

        Raises:
            PlanError: if its parameters cell does not hold what every chapter's must.
        """
        if chapter not in self._chapters:
            path = self.home.notebooks / f"{chapter}.ipynb"
            try:
                known = read_parameters(path)
            except ParameterError as error:
                raise PlanError(str(error)) from None
            for (name, kind), own in zip(REQUIRED.items(), [*known.values(), None, None], strict=False):
                if own is None or (own.name, own.annotation) != (name, kind):
                    raise PlanError(
                        f'{path.name}: its parameters cell must start with seed: int = 0, device: str = "auto"'
                    )
            self._chapters[chapter] = notebook_digest(read_notebook(path)), known
        return self._chapters[chapter]

    def _preset(self, chapter: str, preset: str, known: Mapping[str, Parameter]) -> dict[str, Any]:
        """What a preset sets, checked against the notebook that it is for.

        Raises:
            PlanError: if the card has no such preset or the preset does not fit the notebook.
        """
        presets = {LAPTOP: {}, **self.cards[chapter].presets}
        if preset not in presets:
            raise PlanError(
                f"{chapter} has no preset {preset}{nearest(preset, presets)}; there are {', '.join(presets)}"
            )
        for name, option in OWN_OPTIONS.items():
            if name in presets[preset]:
                raise PlanError(f"{chapter}.yml, preset {preset}: {name} has no place there, it is set with {option}")
        try:
            return check(known, presets[preset])
        except ParameterError as error:
            raise PlanError(f"{chapter}.yml, preset {preset}: {error}") from None

    def changes(self, record: RunRecord) -> str:
        """What has changed since a run, in words; empty if today's code, data and packages would give it again."""
        try:
            job = self.job(record.chapter, record.preset, record.seed, record.overrides)
        except (PlanError, KeyError) as error:
            return f"it cannot be run today ({error})"
        if job.digest == record.digest:
            return ""
        changed = {
            "the notebook": job.notebook_digest != record.notebook_digest,
            "featlib": job.code_digest != record.code_digest,
            "its parameters": job.parameters != record.parameters,
            "its data": job.data_digests != record.data_digests,
            "the packages": job.versions != record.versions,
        }
        return f"{' and '.join(name for name, did in changed.items() if did) or 'its labels'} changed since"


def current_runs(home: Home, cards: Mapping[str, Card], cache: Cache) -> list[CachedRun]:
    """The runs in the cache that today's notebooks, code and data would give again; all others are history."""
    planner = Planner(home, cards)
    return [run for run in cache.entries() if _is_current(run, planner)]


def missing_data(cards: Mapping[str, Card], chapters: Iterable[str]) -> list[str]:
    """The data that these chapters read and this machine does not have, or not as it should be."""
    names = dict.fromkeys(name for slug in chapters for name in cards[slug].data)
    return [name for name in names if sources.present(name) is not sources.State.PRESENT]


def _is_current(run: CachedRun, planner: Planner) -> bool:
    """Whether the job of this run, planned today, has the same digest."""
    record = run.record
    if record.chapter not in planner.cards or record.code_digest != planner.code_digest:
        return False
    return planner.changes(record) == ""


def _data_digest(chapter: str, name: str) -> str:
    """Digest of one source.

    Raises:
        PlanError: if the card names a source that does not exist.
    """
    try:
        return sources.digest(name)
    except sources.DataError as error:
        raise PlanError(f"{chapter}.yml, data: {error}") from None
