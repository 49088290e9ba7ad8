"""How an ascent proceeds: octaves, each with its size, steps and smoothing; and both schedules of the paper's code."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

__all__ = ["CENTRE_BIASED", "OFFICIAL", "OFFICIAL_SIDE", "Octave", "shorter"]

Ends = tuple[float | int, float | int]
OFFICIAL_SIDE = 227
"""Side of the input for which margins and steps of the paper's code are meant."""


@dataclass(frozen=True)
class Octave:
    """One stretch of an ascent. Pairs go linearly from the first to the second value over the octave.

    Attributes:
        iterations: steps.
        step: mean change of a pixel by one step, in grey levels (of 255).
        fidelity: weight of staying near the picture against smoothness, per grey level: the denoiser's weight is
            ``1 / (255 * fidelity)`` in units of [0, 1]. None leaves the denoiser out.
        zoom: the picture is enlarged by it before the octave.
        window: where the picture is larger than what the network sees, the seen part lies around the middle with this
            deviation, in units of the room there is.
        margin: pixels at each side of the seen part that do not move.
        roll: the picture is shifted by up to so many pixels, around its border, and back after the step.
        through: ``unit`` climbs the objective as it is, ``probability`` its softmax (where it has one).
    """

    iterations: int
    step: Ends
    fidelity: Ends | None = None
    zoom: float | int = 1.0
    window: float | int = 0.3
    margin: int = 0
    roll: int = 0
    through: str = "unit"

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.zoom < 1 or min(self.margin, self.roll, self.window, *self.step) < 0:
            raise ValueError(f"iterations from 1, zoom from 1, the rest not negative: {self}")
        if self.fidelity is not None and min(self.fidelity) <= 0:
            raise ValueError(f"fidelity must be positive, or None for no denoiser; got {self.fidelity}")
        if self.through not in {"unit", "probability"}:
            raise ValueError(f"through must be 'unit' or 'probability', got {self.through!r}")

    def at(self, i: int) -> tuple[float, float | None]:
        """Step (in units of [0, 1]) and denoiser's weight of iteration ``i``."""
        share = i / self.iterations
        step = (self.step[0] + (self.step[1] - self.step[0]) * share) / 255
        if self.fidelity is None:
            return step, None
        return step, 1 / (255 * (self.fidelity[0] + (self.fidelity[1] - self.fidelity[0]) * share))


OFFICIAL = (
    Octave(190, (1, 2), (0.4, 0.4)),
    Octave(150, (1, 1), (0.01, 2), zoom=1.2),
    Octave(20, (2, 2), (0.1, 2), window=0.2, margin=50),
    Octave(10, (2, 2), (0.4, 2)),
)
"""From a mean image :cite:p:`nguyen2016multifaceted`: 370 iterations.

A slip in the authors' formula lets the fidelity end at the *sum* of both ends (0.8, 2.01, 2.1, 2.4); here it ends where
their configuration says.
"""

CENTRE_BIASED = (
    Octave(190, (11, 11), (0.001, 0.05), through="probability"),
    Octave(150, (6, 6), (0.01, 0.08), zoom=1.2, through="probability"),
    Octave(150, (1, 1), (0.01, 2), zoom=1.2),
    Octave(30, (3, 3), (0.1, 2), window=0.1, margin=50),
    Octave(10, (6, 3), (0.01, 2)),
)
"""Centre-biased regularisation: coarse over all, then late changes in the middle only, so that one object remains."""


def shorter(schedule: tuple[Octave, ...], share: float, side: int = OFFICIAL_SIDE) -> tuple[Octave, ...]:
    """The same schedule with a share of its iterations, for another input side: margins shrink with it.

    The last of several octaves keeps at least one iteration.

    Raises:
        ValueError: if ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}")
    return tuple(
        dataclasses.replace(
            octave,
            iterations=max(1, round(share * octave.iterations)),
            margin=round(octave.margin * side / OFFICIAL_SIDE),
        )
        for octave in schedule
    )
