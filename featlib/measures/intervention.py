r"""Push a representation along a feature's direction and see which outputs flip.

For a binary feature :math:`f` the direction is the difference of the two group means,
:math:`\Delta_f = \mathbb{E}[\phi \mid f = 1] - \mathbb{E}[\phi \mid f = 0]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from featlib.measures.checks import check_finite, check_representation

__all__ = ["direction", "flip_rates"]

Phi = Float[Tensor, "*seeds n d"]
Codes = Int[Tensor, "*seeds n"] | Bool[Tensor, "*seeds n"]


def direction(phi: Phi, feature: Codes) -> Float[Tensor, "*seeds d"]:
    r"""The difference :math:`\Delta_f` of the means of both groups.

    Raises:
        ValueError: if the feature is not 0 or 1, or one of the groups is empty.
    """
    there = _binary(phi, feature)
    counts = there.sum(-1, keepdim=True)
    if bool(((counts == 0) | (counts == there.shape[-1])).any()):
        raise ValueError(
            "the feature has the same value for all examples of a seed, so there is no difference of means"
        )
    sums = (there.unsqueeze(-2) @ phi.double()).squeeze(-2)
    difference = sums / counts - (phi.double().sum(-2) - sums) / (there.shape[-1] - counts)
    return difference.to(phi.dtype)


def flip_rates(
    phi: Phi,
    step: Float[Tensor, "*seeds d"],
    feature: Codes,
    head: Callable[[Phi], Float[Tensor, "*seeds n outputs"]],
    alphas: Sequence[float],
) -> Float[Tensor, "alphas *seeds outputs"]:
    r"""How many examples change the sign of each output when they are moved to the feature's other side.

    .. math:: \phi \mapsto \phi + \alpha\, (1 - 2 f)\, \Delta

    so that examples without the feature go along :math:`\Delta` and those with it go back.

    Args:
        phi: representations.
        step: the direction :math:`\Delta`, from :func:`direction` or any other.
        feature: which side each example is on, 0 or 1.
        head: from representations to logits.
        alphas: lengths of the step, in units of ``step``.

    Raises:
        ValueError: if the feature is not 0 or 1, or there is no alpha.
    """
    there = _binary(phi, feature)
    if not len(alphas):
        raise ValueError("alphas is empty: give at least one length of the step")
    before = head(phi) > 0
    towards = (1 - 2 * there).to(phi.dtype).unsqueeze(-1) * step.unsqueeze(-2)
    moved = [((head(phi + alpha * towards) > 0) != before).to(phi.dtype).mean(-2) for alpha in alphas]
    return torch.stack(moved)


def _binary(phi: Tensor, feature: Tensor) -> Float[Tensor, "*seeds n"]:
    """The feature as numbers, once it is known to be 0 or 1.

    Raises:
        ValueError: if it is anything else, or ``phi`` is not finite.
    """
    check_representation(phi)
    check_finite(phi, "phi")
    if bool(((feature != 0) & (feature != 1)).any()):
        raise ValueError("the feature must be 0 or 1 for each example: an intervention has two sides")
    return feature.double()
