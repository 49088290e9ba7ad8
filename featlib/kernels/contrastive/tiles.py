r"""The denominators and their gradient by torch's matrix products, through the upper triangle of tiles.

:math:`S = z z^\top / \tau` is symmetric: one tile serves its rows and its columns, so half of the products and of the
exponentials are enough.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["backward", "forward"]

Rows = Float[Tensor, "batch d"]
PerRow = Float[Tensor, " batch"]

SIDE = 512
"""Rows of a tile: 1 MB of float32, which a core's cache holds."""
SPREAD = 60.0
"""Largest exponent below a common shift at which float32 still has all its digits: e^-87 is its smallest number."""


def forward(z: Rows, temperature: float) -> PerRow:
    r"""Denominators :math:`\lambda_i = \log \sum_{a \neq i} e^{S_{ia}}`; of a batch of one, minus infinity."""
    shift = _shift(z, temperature)
    if shift is None:
        return _online(z, temperature)
    sums = z.new_zeros(len(z))
    for rows, columns, tile in _tiles(z, temperature):
        # the diagonal is minus infinity, and adds nothing
        tile.sub_(shift).exp_()
        sums[rows] += tile.sum(1)
        if rows != columns:
            sums[columns] += tile.sum(0)
    return sums.log_().add_(shift)


def _online(z: Rows, temperature: float) -> PerRow:
    """The same where one shift does not fit all rows: a running maximum for each."""
    found = z.new_full((len(z),), -math.inf)
    for rows, columns, tile in _tiles(z, temperature):
        found[rows] = torch.logaddexp(found[rows], tile.logsumexp(1))
        if rows != columns:
            found[columns] = torch.logaddexp(found[columns], tile.logsumexp(0))
    return found


def backward(z: Rows, denominators: PerRow, weight: PerRow, temperature: float) -> Rows:
    r"""Gradient :math:`\sum_i w_i\, \partial \lambda_i / \partial z = (H z) / \tau`.

    .. math:: H_{ij} = w_i\, e^{S_{ij} - \lambda_i} + w_j\, e^{S_{ij} - \lambda_j} = H_{ji}, \qquad H_{ii} = 0
    """
    shift = _shift(z, temperature)
    grad = z.new_zeros(z.shape)
    scaled = None if shift is None else weight * (shift - denominators).exp()
    for rows, columns, tile in _tiles(z, temperature):
        if shift is None or scaled is None:
            h = (tile - denominators[rows, None]).exp_().mul_(weight[rows, None])
            h += tile.sub_(denominators[columns]).exp_().mul_(weight[columns])
        else:
            h = tile.sub_(shift).exp_().mul_(scaled[rows, None] + scaled[columns])
        grad[rows].addmm_(h, z[columns])
        if rows != columns:
            grad[columns].addmm_(h.T, z[rows])
    return grad.div_(temperature)


def _shift(z: Rows, temperature: float) -> Tensor | None:
    r"""A number that no similarity exceeds and none is far below, by Cauchy and Schwarz; None if there is none."""
    if not len(z):
        return z.new_zeros(())
    largest = z.square().sum(1).amax() / temperature
    return largest if float(2 * largest) <= SPREAD else None


def _tiles(z: Rows, temperature: float) -> Iterator[tuple[slice, slice, Float[Tensor, "rows columns"]]]:
    """Rows, columns and similarities of the upper triangle's tiles; the diagonal is minus infinity."""
    for first in range(0, len(z), SIDE):
        rows = slice(first, first + SIDE)
        scaled = z[rows] / temperature
        for second in range(first, len(z), SIDE):
            tile = scaled @ z[second : second + SIDE].T
            if second == first:
                tile.fill_diagonal_(-math.inf)
            yield rows, slice(second, second + SIDE), tile
