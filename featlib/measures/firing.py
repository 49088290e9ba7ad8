"""Counts of firing units, one layer's over any number of calls, and their histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["FiringHistogram", "LayerDensity", "firing_histogram"]


class LayerDensity:
    """Counts of one layer; :meth:`add` takes activations in and forgets them.

    Attributes:
        calls: outputs taken in.
        tokens: activation maps in them, less those left out by a mask.
        fired: how often each unit was above 0.
        histogram: tokens by the number of their active units, from 0 to all.
        lowest: smallest value seen.
        highest: largest value seen.
    """

    def __init__(
        self, threshold: float = 0.0, ceiling: float | None = None, axis: int | None = None, name: str = "layer"
    ) -> None:
        """Begin with nothing seen.

        Args:
            threshold: values up to this size are near zero.
            ceiling: values from here on are saturated.
            axis: of the units; None for 1 in four axes, else the last.
            name: for messages.

        Raises:
            ValueError: if the threshold is negative.
        """
        if not threshold >= 0:
            raise ValueError(f"threshold must not be negative, got {threshold}")
        self.threshold, self.ceiling, self.axis, self.name = threshold, ceiling, axis, name
        self.calls = self.tokens = self._zeros = self._near = self._full = 0
        self.lowest, self.highest = float("inf"), float("-inf")
        self.fired, self.histogram = torch.zeros(0, dtype=torch.long), torch.zeros(1, dtype=torch.long)

    @torch.no_grad()
    def add(self, values: Tensor, mask: Bool[Tensor, "*tokens"] | None = None) -> None:
        """Count one output, or the part of it where the mask is true.

        Raises:
            ValueError: if the units are not as many as before, the mask does not fit, or a value is NaN.
            TypeError: for a mask that is not boolean.
        """
        values = values.detach()
        axis = self._unit_axis(values)
        units = values.shape[axis]
        self._prepare(units, values.device)
        if mask is not None:
            values, axis = self._masked(values, axis, mask), -1
        self.calls += 1
        if not values.numel():
            return
        lowest, highest = (float(value) for value in torch.aminmax(values))
        if math.isnan(lowest):
            raise ValueError(f"{self.name!r} gives NaN, which neither fires nor rests: look for it before counting")
        self.lowest, self.highest = min(self.lowest, lowest), max(self.highest, highest)
        active = values > 0
        others = [index for index in range(values.ndim) if index != axis % values.ndim]
        # 32 bits hold any count of one call, and are summed several times as fast as 64
        fired = active.sum(others, dtype=torch.int32) if others else active.int()
        by_token = active.sum(axis, dtype=torch.int32).flatten()
        self.fired += fired
        self.histogram += torch.bincount(by_token, minlength=units + 1)
        self.tokens += len(by_token)
        # without negative values, what does not fire is zero
        self._zeros += values.numel() - int(fired.sum()) if lowest >= 0 else int((values == 0).sum())
        if self.threshold:
            self._near += int((values.abs() <= self.threshold).sum())
        if self.ceiling is not None:
            self._full += int((values >= self.ceiling).sum())

    @property
    def units(self) -> int:
        """Width of the layer."""
        return len(self.fired)

    @property
    def density(self) -> float:
        """Mean share of units that fire on a token."""
        return self.mean_active / self.units

    @property
    def frequencies(self) -> Float[Tensor, " units"]:
        """Share of the tokens on which each unit fires."""
        return self.fired.double() / self._seen()

    @property
    def mean_active(self) -> float:
        """Mean number of units that fire on a token."""
        tokens = self._seen()
        return int(self.fired.sum()) / tokens

    @property
    def max_active(self) -> int:
        """Largest number of units that fire on one token."""
        self._seen()
        return int(self.histogram.nonzero().max())

    @property
    def zeros(self) -> float:
        """Share of values that are exactly zero: what could be skipped without any error."""
        return self._zeros / (self._seen() * self.units)

    @property
    def near_zeros(self) -> float:
        """Share of values not above ``threshold`` in size, exact zeros included: laziness without exact zeros."""
        return self._near / (self._seen() * self.units) if self.threshold else self.zeros

    @property
    def saturation(self) -> float | None:
        """Share of values at the ceiling; None if there is none."""
        return None if self.ceiling is None else self._full / (self._seen() * self.units)

    def _seen(self) -> int:
        """Number of tokens, to divide by."""
        if not self.tokens:
            raise ValueError(f"{self.name!r} has seen no token: run the model inside the with block")
        return self.tokens

    def _unit_axis(self, values: Tensor) -> int:
        """Where the units are."""
        axis = self.axis if self.axis is not None else 1 if values.ndim == 4 else -1
        if not -values.ndim <= axis < values.ndim:
            raise ValueError(f"{self.name!r} gives {tuple(values.shape)}, which has no axis {axis}: choose another")
        return axis

    def _prepare(self, units: int, device: torch.device) -> None:
        """Make room at the first call; later require the same width."""
        if not self.calls:
            self.fired = torch.zeros(units, dtype=torch.long, device=device)
            self.histogram = torch.zeros(units + 1, dtype=torch.long, device=device)
        if units != self.units:
            raise ValueError(
                f"{self.name!r} gives {units} units where it gave {self.units}: one module serves layers of different "
                "width; give each its own, or watch others with modules="
            )

    def _masked(self, values: Tensor, axis: int, mask: Tensor) -> Float[Tensor, "tokens units"]:
        """The activation maps of the tokens that count."""
        rows = values.movedim(axis, -1)
        if mask.dtype != torch.bool:
            raise TypeError(f"a mask must hold truth values, got {mask.dtype}: convert with .bool()")
        if mask.shape != rows.shape[:-1]:
            raise ValueError(
                f"the mask {tuple(mask.shape)} does not fit {self.name!r} with tokens {tuple(rows.shape[:-1])}"
            )
        return rows[mask]


@dataclass(frozen=True)
class FiringHistogram:
    """How many units fire how often.

    Attributes:
        counts: units in each bin; the last bin includes its upper edge.
        edges: of the bins.
        dead: units that never fire (they are in the first bin, too).
        always: units that fire on every token (they are in the last bin, too).
    """

    counts: Int[Tensor, " bins"]
    edges: Float[Tensor, " edges"]
    dead: int
    always: int


def firing_histogram(frequencies: Float[Tensor, " units"], bins: int | Sequence[float | int] = 20) -> FiringHistogram:
    """Sort units by how often they fire: is a sparse layer a few busy units, or all of them now and then?

    Args:
        frequencies: as :attr:`LayerDensity.frequencies`.
        bins: number of equal bins from 0 to 1, or their edges.

    Raises:
        ValueError: if a frequency leaves [0, 1], or edges do not rise or leave one out.
    """
    if frequencies.numel() and not (0 <= float(frequencies.min()) and float(frequencies.max()) <= 1):
        raise ValueError("frequencies must lie in [0, 1] and hold no NaN: divide the counts by the number of tokens")
    edges = np.linspace(0, 1, bins + 1) if isinstance(bins, int) else np.asarray(bins, float)
    if len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError("bins must be a positive number or at least two rising edges")
    counts, _ = np.histogram(frequencies.double().cpu().numpy(), edges)
    if counts.sum() != len(frequencies):
        raise ValueError(f"bins from {edges[0]:g} to {edges[-1]:g} leave units out: begin at 0 and end at 1")
    dead, always = (int((frequencies == end).sum()) for end in (0, 1))
    return FiringHistogram(torch.from_numpy(counts), torch.from_numpy(edges), dead, always)
