"""A sweep: a grid of parameters for each chapter, in one file.

.. code-block:: yaml

    preset: laptop
    seeds: 0..4
    chapters:
      complexity_bias:
        width: [16, 64]
        init_scale: [0.5, 1.0, 2.0]

Evidence is keyed by its parameters: the point of the grid that changes nothing is the ordinary run, and every other one
stays off the scoreboard's own verdicts and stands beside them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from featlib.press.card import LAPTOP, Card, CardError, Text, read_mapping
from featlib.press.home import Home
from featlib.press.plan import OWN_OPTIONS, Job, PlanError, Planner, parse_seeds, refuse_unknown


class SweepError(ValueError):
    """A file that is no sweep, or asks for what the chapters do not have; the message names file and field."""


class Sweep(BaseModel):
    """What the file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    preset: Text = LAPTOP
    seeds: tuple[int, ...] = (0,)
    chapters: dict[str, dict[str, list[Any]]] = Field(min_length=1)

    @field_validator("seeds", mode="before")
    @classmethod
    def _seeds(cls, value: Any) -> Any:
        texts = value if isinstance(value, list) else [value]
        if not texts or any(isinstance(text, bool) or not isinstance(text, int | str) for text in texts):
            raise ValueError("write seeds as 3, as 0..4 or as a list of these")
        return parse_seeds([str(text) for text in texts])

    @field_validator("chapters")
    @classmethod
    def _values(cls, chapters: dict[str, dict[str, list[Any]]]) -> dict[str, dict[str, list[Any]]]:
        for slug, grid in chapters.items():
            for name, values in grid.items():
                if not values:
                    raise ValueError(f"{slug}.{name}: no values; list at least one")
                if name in OWN_OPTIONS:
                    raise ValueError(f"{slug}.{name}: has no place in a grid; the field {name}s sets it for all")
        return chapters

    def points(self, slug: str) -> Iterator[dict[str, Any]]:
        """Every point of a chapter's grid."""
        grid = self.chapters[slug]
        for values in itertools.product(*grid.values()):
            yield dict(zip(grid, values, strict=True))


def read_sweep(path: Path) -> Sweep:
    """The sweep in a file.

    Raises:
        SweepError: if there is none; one line per fault.
    """
    try:
        return Sweep.model_validate(read_mapping(path))
    except CardError as error:
        raise SweepError(str(error)) from None
    except ValidationError as error:
        faults = [(".".join(map(str, fault["loc"])), fault["msg"]) for fault in error.errors()]
        lines = [f"{path.name}: {place}: {said.removeprefix('Value error, ')}" for place, said in faults]
        raise SweepError("\n".join(lines)) from None


def plan_sweep(home: Home, cards: Mapping[str, Card], sweep: Sweep) -> list[Job]:
    """The jobs of a sweep, chapter by chapter in the order of the book, each point with all its seeds.

    Raises:
        PlanError: for an unknown chapter, preset or parameter, or a value of the wrong type.
    """
    refuse_unknown(cards, sweep.chapters)
    planner = Planner(home, cards)
    jobs: dict[str, Job] = {}
    for slug in (slug for slug in cards if slug in sweep.chapters):
        plain = planner.job(slug, sweep.preset, sweep.seeds[0], {}).parameters
        for point in sweep.points(slug):
            for seed in sweep.seeds:
                full = planner.job(slug, sweep.preset, seed, point)
                other = {name: full.parameters[name] for name in point if full.parameters[name] != plain[name]}
                job = planner.job(slug, sweep.preset, seed, other)
                jobs[job.digest] = job
    return list(jobs.values())


__all__ = ["PlanError", "Sweep", "SweepError", "plan_sweep", "read_sweep"]
