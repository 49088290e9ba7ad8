"""Does the network use what a map shows? Answers by taking pixels away: ROAD, and the change of confidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from featlib.measures.imputation import impute

__all__ = ["PERCENTS", "Confidence", "Road", "confidence", "removed", "road"]

PERCENTS = tuple(range(10, 100, 10))
"""Shares of the pixels that ROAD takes away."""

Maps = Float[Tensor, "batch height width"]
PerImage = Float[Tensor, " batch"]


@dataclass(frozen=True)
class Road:
    """Confidence in the target after taking pixels away.

    Attributes:
        percents: how many.
        most: the most relevant ones went first, a row for each of ``percents``: low is good.
        least: the least relevant ones went first: high is good.
    """

    percents: tuple[int | float, ...]
    most: Float[Tensor, "percents batch"]
    least: Float[Tensor, "percents batch"]

    @property
    def score(self) -> PerImage:
        """Half the mean difference between both: 0 for a map that says nothing, at most one half."""
        return (self.least - self.most).mean(0) / 2


@dataclass(frozen=True)
class Confidence:
    """What is left of the confidence when only the map's region is shown.

    Attributes:
        drop: relative fall, 0 where it rose.
        increase: 1 where it rose, else 0.
    """

    drop: PerImage
    increase: PerImage


def road(
    model: Callable[[Tensor], Tensor],
    images: Float[Tensor, "batch colours height width"],
    maps: Maps,
    targets: Int[Tensor, " batch"] | Sequence[int],
    percents: Sequence[int | float] = PERCENTS,
    noise: float = 0.01,
    seed: int = 0,
    chunk: int = 16,
) -> Road:
    """ROAD :cite:p:`rong2022road`: remove pixels by the map's order, impute them, ask the network again.

    Confidence is the softmax probability of the target. Pixels of equal relevance go in random order.

    Args:
        model: from prepared images to logits, in evaluation mode.
        images: prepared images.
        maps: relevance, any range.
        targets: class of each image.
        percents: shares to remove, above 0 and below 100.
        noise: of the imputation.
        seed: of noise and ties.
        chunk: images that go through the network together.

    Returns:
        Confidences in both orders.

    Raises:
        ValueError: if shapes do not fit, a share is out of range or the network is in training mode.
    """
    classes = _check(model, images, maps, targets)
    if not percents or not all(0 < percent < 100 for percent in percents):
        raise ValueError(f"percents must lie above 0 and below 100, got {tuple(percents)}")
    ties = torch.from_numpy(np.random.default_rng([seed, 1]).random(maps.shape)).to(maps.device)
    curves = []
    for relevance in (maps, -maps):
        rows = [
            _probability(model, impute(images, removed(relevance, percent, ties), noise, seed), classes, chunk)
            for percent in percents
        ]
        curves.append(torch.stack(rows))
    return Road(tuple(percents), curves[0], curves[1])


def removed(
    maps: Maps, percent: int | float, ties: Float[Tensor, "batch height width"] | None = None
) -> Bool[Tensor, "batch height width"]:
    """The ``percent`` highest pixels of each map, exactly as many; ``ties`` orders equal ones."""
    flat = maps.flatten(1)
    order = (
        torch.arange(flat.shape[1], device=maps.device).expand_as(flat) if ties is None else ties.flatten(1).argsort(1)
    )
    order = order.gather(1, flat.gather(1, order).argsort(dim=1, descending=True, stable=True))
    chosen = torch.zeros_like(flat, dtype=torch.bool)
    count = round(flat.shape[1] * percent / 100)
    return chosen.scatter(1, order[:, :count], value=True).reshape(maps.shape)


def confidence(
    model: Callable[[Tensor], Tensor],
    images: Float[Tensor, "batch colours height width"],
    maps: Maps,
    targets: Int[Tensor, " batch"] | Sequence[int],
    chunk: int = 16,
) -> Confidence:
    r"""Drop and increase in confidence :cite:p:`chattopadhay2018gradcampp`.

    .. math:: \mathrm{drop} = \frac{\max(0,\, p(X) - p(X \odot L))}{p(X)}, \quad
              \mathrm{increase} = [p(X \odot L) > p(X)]

    with :math:`p` the softmax probability of the target and :math:`L` the map in [0, 1]. What the map hides becomes 0
    in the *prepared* picture: the mean colour, not black.

    Raises:
        ValueError: if shapes do not fit, a map leaves [0, 1] or the network is in training mode.
    """
    classes = _check(model, images, maps, targets)
    if maps.numel() and not (0 <= float(maps.min()) and float(maps.max()) <= 1):
        raise ValueError("maps must lie in [0, 1] and hold no NaN: rescale them before measuring")
    whole = _probability(model, images, classes, chunk)
    shown = _probability(model, images * maps[:, None], classes, chunk)
    return Confidence((whole - shown).clamp_min(0) / whole, (shown > whole).to(whole))


@torch.no_grad()
def _probability(model: Callable[[Tensor], Tensor], images: Tensor, targets: Tensor, chunk: int) -> PerImage:
    """Softmax probability of the target in each image."""
    parts = [
        model(part).softmax(1).gather(1, wanted[:, None])[:, 0]
        for part, wanted in zip(torch.split(images, chunk), torch.split(targets, chunk), strict=True)
    ]
    return torch.cat(parts)


def _check(model: Any, images: Tensor, maps: Tensor, targets: Tensor | Sequence[int]) -> Tensor:
    """Refuse what cannot be measured; the targets as a tensor."""
    if getattr(model, "training", False):
        raise ValueError("the network is in training mode: call model.eval() first")
    if images.ndim != 4 or maps.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"maps {tuple(maps.shape)} must be (batch, height, width) of the images {tuple(images.shape)}: "
            "resize the maps"
        )
    if not bool(torch.isfinite(maps).all()):
        raise ValueError("maps hold NaN or infinity")
    classes = torch.as_tensor(targets, device=images.device, dtype=torch.long)
    if classes.shape != (len(images),):
        raise ValueError(f"{len(images)} images need {len(images)} targets, got {tuple(classes.shape)}")
    return classes
