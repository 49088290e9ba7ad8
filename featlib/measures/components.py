r"""What the principal components of a representation are about, and how many of them it takes to read a feature.

All functions take representations :math:`\phi \in \mathbb{R}^{n \times d}` with any leading axes, which are seeds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from featlib.measures.checks import check_finite, check_representation
from featlib.measures.variance import unit_variance_of_features

__all__ = ["Axes", "component_shares", "principal_axes", "rank_needed", "reconstruct"]

Phi = Float[Tensor, "*seeds n d"]


class Axes(NamedTuple):
    """Principal axes of a representation, the longest first.

    Attributes:
        mean: of all examples.
        directions: orthonormal rows.
        variances: along each, with n - 1 in the denominator.
    """

    mean: Float[Tensor, "*seeds d"]
    directions: Float[Tensor, "*seeds k d"]
    variances: Float[Tensor, "*seeds k"]


def principal_axes(phi: Phi) -> Axes:
    r"""Principal component analysis of each seed: eigenvectors of the :math:`d \times d` covariance.

    There are as many axes as units; those beyond the rank have no variance and an arbitrary direction. The sign of an
    axis is fixed: its component of largest size is positive.

    Raises:
        ValueError: for fewer than two examples or values that are not finite.
    """
    check_representation(phi)
    check_finite(phi, "phi")
    mean = phi.mean(-2)
    centred = (phi - mean.unsqueeze(-2)).double()
    variances, vectors = torch.linalg.eigh(centred.mT @ centred / (phi.shape[-2] - 1))
    directions = vectors.mT.flip(-2)
    largest = directions.gather(-1, directions.abs().argmax(-1, keepdim=True))
    directions = directions * torch.where(largest < 0, -1.0, 1.0)
    return Axes(mean, directions.to(phi.dtype), variances.flip(-1).clamp_min(0).to(phi.dtype))


def component_shares(
    phi: Phi, features: Int[Tensor, "*seeds n features"], axes: Axes | None = None
) -> Float[Tensor, "*seeds k features"]:
    """Share of each component's variance that each feature explains.

    Args:
        phi: representations to look at.
        features: a whole number for each example and feature.
        axes: found on other examples, for instance; without them, those of ``phi``.

    Raises:
        ValueError: as :func:`principal_axes` and :func:`featlib.measures.unit_variance_of_features`.
    """
    axes = principal_axes(phi) if axes is None else axes
    scores = (phi - axes.mean.unsqueeze(-2)) @ axes.directions.mT
    return unit_variance_of_features(scores, features).mT


def reconstruct(phi: Phi, k: int, axes: Axes | None = None) -> Phi:
    """The representation with all but its ``k`` leading components set to their mean.

    Raises:
        ValueError: if ``k`` is negative or more than there are axes.
    """
    axes = principal_axes(phi) if axes is None else axes
    most = axes.directions.shape[-2]
    if not 0 <= k <= most:
        raise ValueError(f"k must lie in 0..{most}, got {k}")
    leading = axes.directions[..., :k, :]
    mean = axes.mean.unsqueeze(-2)
    return mean + (phi - mean) @ leading.mT @ leading


def rank_needed(
    phi: Phi,
    head: Callable[[Phi], Float[Tensor, "*seeds n features"]],
    labels: Float[Tensor, "*seeds n features"] | Bool[Tensor, "*seeds n features"],
    accuracy: float = 0.99,
) -> Int[Tensor, "*seeds features"]:
    """The fewest leading components from which ``head`` reads each feature to this accuracy.

    Fewer can by chance do better than more, so that the number asked for is that from which on it stays: all ranks
    above reach the accuracy as well.

    Args:
        phi: representations.
        head: from representations to logits; positive means that the feature is there.
        labels: whether it is.
        accuracy: to be reached.

    Returns:
        A number from 0 to the number of units; one more than that if all of them are not enough.

    Raises:
        ValueError: if ``accuracy`` is not in (0, 1], or as :func:`principal_axes`.
    """
    if not 0 < accuracy <= 1:
        raise ValueError(f"accuracy must lie in (0, 1], got {accuracy}")
    axes, there = principal_axes(phi), labels > 0.5
    needed = torch.full_like(there[..., 0, :], phi.shape[-1] + 1, dtype=torch.long)
    open_ = torch.ones_like(needed, dtype=torch.bool)
    for k in range(phi.shape[-1], -1, -1):
        right = ((head(reconstruct(phi, k, axes)) > 0) == there).double().mean(-2)
        open_ = open_ & (right >= accuracy)
        needed = needed.where(~open_, k)
        if not bool(open_.any()):
            break
    return needed
