r"""Newton steps of logistic regression without a matrix: conjugate gradients, for all problems at once.

A product with the second derivative costs two products with the examples, which one representation shares between any
number of targets. In the basis of the examples' principal axes the second derivative is nearly diagonal, so that its
diagonal, with the mean weight of the examples in the place of each one's, is a good preconditioner.
:cite:p:`boyd2004convex`
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["conjugate_step", "product"]

MOST = 1000
"""Products with the second derivative for one step; ten are usual."""
LOOSE, TIGHT = 0.1, 1e-2
"""A step may be off by this share of its length, and need not be nearer than that: the next one mends it."""
TINY = torch.finfo(torch.float64).tiny


def conjugate_step(
    rows: Float[Tensor, "sets n p"],
    chances: Float[Tensor, "problems n k"],
    gradient: Float[Tensor, "problems p k"],
    penalty: Float[Tensor, "p 1"],
    spectrum: Float[Tensor, "#sets p 1"],
) -> tuple[Float[Tensor, "problems p k"], Bool[Tensor, " problems"]]:
    r"""Solve :math:`H s = -g` for the step :math:`s` of each problem, nearly.

    Args:
        rows: the examples, one set for all problems or one for each.
        chances: of each class, by the present weights.
        gradient: :math:`g`.
        penalty: of each unit.
        spectrum: :math:`\sum_i x_{ij}^2`; the units are uncorrelated.

    Returns:
        The steps, each of which leads downwards, and which of them are near enough.
    """
    spread = (chances * (1 - chances)).mean(-2, keepdim=True)
    scale = 1 / (spread * spectrum + penalty).clamp_min(TINY)
    step, left = torch.zeros_like(gradient), -gradient
    ahead = scale * left
    size = (left * ahead).sum((-2, -1), keepdim=True)
    goal = size * (size / rows.shape[-2]).sqrt().clamp(TIGHT, LOOSE) ** 2
    for _ in range(MOST):
        bent = product(rows.mT, _weighed(chances, product(rows, ahead))) + penalty * ahead
        far = size > goal
        length = torch.where(far, size / (ahead * bent).sum((-2, -1), keepdim=True).clamp_min(TINY), 0.0)
        step, left = step + length * ahead, left - length * bent
        fresh = (left * scale * left).sum((-2, -1), keepdim=True)
        ahead = scale * left + fresh / size.clamp_min(TINY) * ahead
        size = torch.where(far, fresh, size)
        if not bool((size > goal).any()):
            break
    return step, (size <= goal).flatten()


def product(rows: Float[Tensor, "sets a b"], columns: Float[Tensor, "problems b k"]) -> Float[Tensor, "problems a k"]:
    """The product for each problem; with one set of rows all problems are columns of one matrix."""
    if len(rows) == len(columns):
        return rows @ columns
    flat: Tensor = rows[0] @ columns.permute(1, 0, 2).flatten(1)
    return flat.reshape(-1, len(columns), columns.shape[-1]).permute(1, 0, 2)


def _weighed(chances: Tensor, values: Tensor) -> Tensor:
    """The second derivative of the loss in the logits, times values."""
    if chances.shape[-1] == 1:
        return chances * (1 - chances) * values
    weighed = chances * values
    return weighed - chances * weighed.sum(-1, keepdim=True)
