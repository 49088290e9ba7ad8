r"""Gradient descent that goes on until it has arrived: the steps follow the network, not the other way round.

A network whose descent has not arrived says nothing about a theorem of its end. A fixed number of steps suits most
starts and misses the few that wait beside a saddle, where the loss hardly falls: neither a small gradient nor a flat
loss tells such a place from the end. What does is a pace that is measured direction by direction, in relative terms,
against the time that is left.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["Descent", "descend", "relative_change"]

Weight = Float[Tensor, "networks d d"]

Loss: TypeAlias = Callable[[list[Weight], Int[Tensor, " networks"]], Float[Tensor, " networks"]]
"""The loss of each network, from the weights of those that are on their way and their places in the stack."""


@dataclass(frozen=True)
class Descent:
    """Where each network of a stack came to rest, or was when its steps were over.

    Attributes:
        weights: of all layers.
        steps: how many each network took.
        arrived: whether it came to rest.
    """

    weights: list[Weight]
    steps: Int[Tensor, " networks"]
    arrived: Bool[Tensor, " networks"]


def relative_change(before: Weight, after: Weight) -> Float[Tensor, " networks"]:
    r"""The most that any direction was changed, relative to what the weight made of it before.

    .. math:: \max_x \frac{\lVert (W' - W) x \rVert}{\lVert W x \rVert} = \lVert (W' - W) W^{-1} \rVert_2

    with :math:`W` before and :math:`W'` after; infinite where :math:`W` loses a direction. A direction that is nearly
    lost counts as much as any other, so that its slow return is seen long before the loss shows it.
    """
    inverse, failed = torch.linalg.inv_ex(before)
    change: Tensor = torch.linalg.matrix_norm((after - before) @ inverse.where(failed[:, None, None] == 0, 0), 2)
    return change.where(failed == 0, torch.inf)


def descend(
    weights: Sequence[Weight],
    loss: Loss,
    rate: float,
    ceiling: int,
    every: int = 250,
    tolerance: float = 0.01,
) -> Descent:
    r"""Go down the loss by plain gradient descent, each network of a stack until it has arrived.

    A network has arrived when, at the pace of its last ``every`` steps, as many steps as the ``ceiling`` would change
    no direction of any layer by more than the ``tolerance``:

    .. math:: \frac{\text{ceiling}}{\text{every}} \max_l \lVert (W_l' - W_l) W_l^{-1} \rVert_2 \le \tau

    Only weights are looked at. Near a saddle of :math:`L` layers a lost direction comes back as a power of the time
    :math:`T` that it still needs, in each layer at a pace of :math:`1 / (2 (L - 1) T)`: what is taken for an arrival
    would wait for :math:`1 / (2 (L - 1) \tau)` ceilings or more. Networks that have arrived leave the stack, keep their
    weights and cost nothing; no network depends on what else is in the stack.

    Args:
        weights: first weights of all layers, which are not changed.
        loss: of each network, from the weights of those that are on their way and their places in the stack.
        rate: step size.
        ceiling: the most steps that a network may take.
        every: steps between two looks.
        tolerance: :math:`\tau`.

    Raises:
        ValueError: if a number is not positive, or a weight stops being finite.
    """
    if not (rate > 0 and ceiling > 0 and every > 0 and tolerance > 0):
        raise ValueError(
            f"all must be positive, got rate {rate}, ceiling {ceiling}, every {every}, tolerance {tolerance}"
        )
    ends = [weight.detach().clone() for weight in weights]
    rows = torch.arange(len(ends[0]), device=ends[0].device)
    steps, arrived = torch.zeros_like(rows), torch.zeros_like(rows, dtype=torch.bool)
    done = 0
    while len(rows) and done < ceiling:
        before = [end[rows] for end in ends]
        block = min(every, ceiling - done)
        after = _steps(before, loss, rows, rate, block)
        done += block
        if not all(bool(weight.isfinite().all()) for weight in after):
            raise ValueError(f"a weight is not finite after {done} steps: lower the rate")
        for end, weight in zip(ends, after, strict=True):
            end[rows] = weight
        pairs = zip(before, after, strict=True)
        pace = torch.stack([relative_change(*pair) for pair in pairs]).amax(0) / block
        steps[rows] = done
        arrived[rows] = (pace * ceiling <= tolerance) & (block == every)
        rows = rows[~arrived[rows]]
    return Descent(ends, steps, arrived)


def _steps(before: list[Weight], loss: Loss, rows: Tensor, rate: float, count: int) -> list[Weight]:
    """The weights after some steps; those that are given stay as they are."""
    moving = [weight.clone().requires_grad_() for weight in before]
    for _ in range(count):
        slopes = torch.autograd.grad(loss(moving, rows).sum(), moving)
        with torch.no_grad():
            torch._foreach_add_(moving, slopes, alpha=-rate)
    return [weight.detach() for weight in moving]
