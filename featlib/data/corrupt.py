r"""Noise on pictures at five published strengths: Gaussian, impulse and shot noise :cite:p:`hendrycks2019corruptions`.

================  ==================================================  ==============================================
kind              what happens to a value :math:`x` in [0, 1]         strength :math:`c`, severities 1 to 5
================  ==================================================  ==============================================
``gaussian``      :math:`x + c z`, :math:`z \sim \mathcal{N}(0, 1)`   ImageNet: .08 .12 .18 .26 .38;
                                                                      CIFAR: .04 .06 .08 .09 .10
``impulse``       with probability :math:`c` it becomes 0 or 1,       ImageNet: .03 .06 .09 .17 .27;
                  either as likely                                    CIFAR: .01 .02 .03 .05 .07
``shot``          :math:`k / c`, :math:`k \sim \mathrm{Poisson}(cx)`  ImageNet: 60 25 12 5 3;
                                                                      CIFAR: 500 250 100 75 50
================  ==================================================  ==============================================

each cut off at 0 and 1. Both tables are the paper's, one for pictures of 224 and one for pictures of 32 pixels, where
the same noise hides more. Departs from it: no rounding to 256 levels and no JPEG compression afterwards.
"""

from __future__ import annotations

import difflib
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["KINDS", "STRENGTHS", "corrupt"]

KINDS = ("gaussian", "impulse", "shot")
"""Names of the corruptions."""

STRENGTHS = {
    "imagenet": {
        "gaussian": (0.08, 0.12, 0.18, 0.26, 0.38),
        "impulse": (0.03, 0.06, 0.09, 0.17, 0.27),
        "shot": (60.0, 25.0, 12.0, 5.0, 3.0),
    },
    "cifar": {
        "gaussian": (0.04, 0.06, 0.08, 0.09, 0.10),
        "impulse": (0.01, 0.02, 0.03, 0.05, 0.07),
        "shot": (500.0, 250.0, 100.0, 75.0, 50.0),
    },
}
"""The published strengths by table and kind, mildest first."""


def corrupt(
    images: Float[Tensor, "batch *pixels"],
    kind: str,
    severity: int,
    seed: int = 0,
    start: int = 0,
    table: Literal["imagenet", "cifar"] = "imagenet",
) -> Float[Tensor, "batch *pixels"]:
    """Pictures with noise, as a new tensor; see the module for the kinds and strengths.

    What is random about a picture depends on the seed and its number, not on the others. Severities share it: Gaussian
    noise only grows, and a value that is hit by an impulse is hit by the same one at each higher severity.

    Example:
        >>> corrupt(torch.full((5, 3, 8, 8), 0.5), "impulse", severity=5).unique()
        tensor([0.0000, 0.5000, 1.0000])

    Args:
        images: in [0, 1]; any number of channels, any order of axes behind the first.
        kind: out of ``KINDS``.
        severity: from 1 to 5.
        seed: of everything random.
        start: number of the first picture, to go through a set in parts.
        table: the strengths for large (``imagenet``) or small (``cifar``) pictures.

    Raises:
        ValueError: for an unknown kind or table (the nearest kind is given), a severity outside 1..5, or values outside
            [0, 1].
    """
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, KINDS, n=1, cutoff=0.0)
        raise ValueError(f"unknown corruption {kind!r}; did you mean {near[0]!r}? Known: {', '.join(KINDS)}")
    if table not in STRENGTHS:
        raise ValueError(f"table must be one of {', '.join(STRENGTHS)}, got {table!r}")
    if severity not in range(1, 6):
        raise ValueError(f"severity must be 1, 2, 3, 4 or 5, got {severity}")
    if images.numel() and not (0 <= float(images.min()) and float(images.max()) <= 1):
        raise ValueError("pictures must lie in [0, 1] and hold no NaN: corrupt them before they are normalised")
    strength = STRENGTHS[table][kind][severity - 1]
    noisy = images.detach().clone()
    for index, image in enumerate(noisy):
        random = np.random.default_rng([seed, 3, KINDS.index(kind), start + index])
        values = _noisy(image.double().cpu().numpy(), kind, strength, random)
        image.copy_(torch.from_numpy(values.clip(0, 1)))
    return noisy


def _noisy(image: np.ndarray, kind: str, strength: float, random: np.random.Generator) -> np.ndarray:
    """One picture, not yet cut off."""
    if kind == "gaussian":
        return image + strength * random.standard_normal(image.shape)
    if kind == "shot":
        return random.poisson(image * strength) / strength
    draw = random.random(image.shape)
    salt = random.random(image.shape) < 0.5
    return np.where(draw < strength, salt, image)
