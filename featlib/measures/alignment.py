"""How alike two representations are up to rotation and scale: linear CKA."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from featlib.measures.dissimilarity import embedded
from featlib.measures.overlap import Points, check_pair, off_diagonal, points, ratio, result_type

__all__ = ["linear_cka"]


def linear_cka(
    x: Float[Tensor, "*#seeds n p"], y: Float[Tensor, "*#seeds n q"], debiased: bool = False
) -> Float[Tensor, "*seeds"]:
    r"""Centred kernel alignment :cite:p:`kornblith2019similarity` with linear kernels, ignoring rotation and scale.

    .. math:: \mathrm{CKA}(X, Y) = \frac{h(X, Y)}{\sqrt{h(X, X)\, h(Y, Y)}}, \quad
              h(X, Y) = \lVert X^\top Y \rVert_F^2

    with columns centred over the :math:`n` examples; in [0, 1]. With few examples for many units it is near 1 for any
    two representations. Debiased, :math:`h` is the unbiased estimate :cite:p:`song2012feature` of the dependence,

    .. math:: h(X, Y) = S - \frac{2}{n - 2} \sum_i a_i b_i + \frac{\sum_i a_i \sum_i b_i}{(n - 1)(n - 2)}

    with :math:`S, a, b` of :mod:`featlib.measures.overlap`: about 0 for independent representations, maybe below.

    Args:
        x: one representation of the examples.
        y: the other, of the same examples in the same order.
        debiased: whether to take off what chance contributes.

    Returns:
        One number a seed, float64 if one of both is; NaN where a representation does not vary (debiased: not more than
        by chance).

    Raises:
        ValueError: for different numbers of examples, fewer than three (debiased: four) or a number that is not finite.
        TypeError: if a representation is not floating point.
    """
    check_pair(x, y)
    n = x.shape[-2]
    if debiased and n < 4:
        raise ValueError(f"the debiased form needs 4 examples, got {n}: give more or take debiased=False")
    a, b = (points(embedded(phi, "sqeuclidean"), phi) for phi in (x, y))
    across, of_x, of_y = (_dependence(*pair, debiased) for pair in ((a, b), (a, a), (b, b)))
    return ratio(across, of_x, of_y, 0 * of_x, 0 * of_y).to(result_type(x, y))


def _dependence(first: Points, second: Points, debiased: bool) -> Tensor:
    """The h of :func:`linear_cka`."""
    a, b, n = first.a, second.a, first.a.shape[-1]
    products, same = off_diagonal(first, second), (a * b).sum(-1)
    if not debiased:
        return products + same
    return products - 2 / (n - 2) * same + a.sum(-1) * b.sum(-1) / ((n - 1) * (n - 2))
