r"""What two sets of points over the same examples share, without a matrix of examples by examples.

With :math:`x_i, y_i` the centred points of :math:`n` examples, :math:`a_i = \lVert x_i \rVert^2` and
:math:`b_i = \lVert y_i \rVert^2`, both representational similarity and linear CKA come down to

.. math:: S = \sum_{i \neq j} x_i^\top x_j \; y_i^\top y_j = \lVert X^\top Y \rVert_F^2 - \sum_i a_i b_i

where :math:`X^\top Y` has as many entries as there are pairs of *units*.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from featlib.kernels.precision import fast_matmul
from featlib.measures.checks import check_representation

__all__ = ["Points", "check_pair", "off_diagonal", "points", "ratio", "result_type"]

SMALL = 2**16
"""Numbers in a representation up to which its products are made in float64 whatever its type."""
CONSTANT = 1e-12
"""Variance over mean square up to which a set of numbers counts as constant."""


@dataclass(frozen=True)
class Points:
    """Centred points in the type in which they are multiplied, and their squared lengths in float64."""

    x: Float[Tensor, "*seeds n d"]
    a: Float[Tensor, "*seeds n"]


def points(x: Tensor, phi: Tensor) -> Points:
    """From points in float64, not yet centred; ``phi`` decides the type."""
    x = x - x.mean(-2, keepdim=True)
    exact = phi.dtype == torch.float64 or x.shape[-2] * x.shape[-1] <= SMALL
    return Points(x if exact else x.float(), x.square().sum(-1))


def off_diagonal(first: Points, second: Points) -> Tensor:
    """The sum S of the equation, by pairs of units or, where they are fewer, pairs of examples."""
    dtype = torch.promote_types(first.x.dtype, second.x.dtype)
    x, y = first.x.to(dtype), second.x.to(dtype)
    n, p, q = x.shape[-2], x.shape[-1], y.shape[-1]
    with fast_matmul():
        if n * (p + q) < p * q:
            kernels = (x @ x.mT) * (y @ y.mT)
            kernels.diagonal(dim1=-2, dim2=-1).zero_()  # before the sum, for most of it may lie there
            return kernels.sum((-2, -1), dtype=torch.float64)
        across = x.mT @ y
    norm: Tensor = torch.linalg.vector_norm(across, dim=(-2, -1), dtype=torch.float64)
    return norm.square() - (first.a * second.a).sum(-1)


def ratio(across: Tensor, of_x: Tensor, of_y: Tensor, raw_x: Tensor, raw_y: Tensor) -> Tensor:
    """Correlation from sums of products; NaN where one side does not vary."""
    varies = (of_x > CONSTANT * raw_x) & (of_y > CONSTANT * raw_y)
    return torch.where(varies, across / (of_x * of_y).clamp_min(0).sqrt(), torch.nan)


def result_type(first: Tensor, second: Tensor) -> torch.dtype:
    """Type of a result."""
    return torch.float64 if torch.float64 in {first.dtype, second.dtype} else torch.float32


def check_pair(first: Tensor, second: Tensor) -> None:
    """Require two representations of the same examples.

    Raises:
        ValueError: if they are not, or fewer than three.
    """
    for phi in (first, second):
        check_representation(phi)
    n, others = first.shape[-2], second.shape[-2]
    if n != others or n < 3:
        raise ValueError(f"{n} examples cannot be compared with {others}: give the same 3 or more to both networks")
