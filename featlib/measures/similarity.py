r"""Do two representations arrange the same examples alike? Correlations of their dissimilarity matrices.

The Pearson correlation of two matrices of *squared* distances needs no matrix (correlation and cosine distances are
squared distances too, of normalised points): with :math:`S, a, b` of :mod:`featlib.measures.overlap`, bars for means,

.. math:: \sum_{i \neq j} (d^x_{ij} - \bar d^x)(d^y_{ij} - \bar d^y)
          = (2n + 4) \sum_i (a_i - \bar a)(b_i - \bar b) + 4 \Big( S - \frac{n \bar a \bar b}{n - 1} \Big) .
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from featlib.measures.checks import check_finite
from featlib.measures.dissimilarity import Metric, embedded, rdm
from featlib.measures.overlap import Points, check_pair, off_diagonal, points, ratio, result_type
from featlib.measures.ranks import average_ranks, coarse_ranks

__all__ = ["COMPARISONS", "Comparison", "compare_rdms", "rsa"]

Comparison = Literal["pearson", "spearman", "cosine"]
COMPARISONS = ("pearson", "spearman", "cosine")
"""Ways to compare two matrices."""

PAIRS = 2**18
"""Pairs that are summed at once, and from which on ranks may be counted in bins."""
LOST = 1e-7
"""Share of the ranks' variance that bins may lose; above it they are sorted."""


def rsa(
    phi_a: Float[Tensor, "*#seeds n p"],
    phi_b: Float[Tensor, "*#seeds n q"],
    metric: Metric = "euclidean",
    compare: Comparison = "pearson",
) -> Float[Tensor, "*seeds"]:
    r"""Correlation :cite:p:`kriegeskorte2008rsa` of two representations' dissimilarity matrices.

    .. math:: \rho = \operatorname{corr}\big( (d^a_{ij})_{i<j}, (d^b_{ij})_{i<j} \big)

    with :math:`d` the distances of :func:`rdm`. With ``pearson`` or ``cosine`` and any metric but ``euclidean`` no
    matrix is formed and the work grows with :math:`n`, not :math:`n^2`. Leading axes are broadcast, so that
    ``rsa(phi[:, None], phi[None])`` compares all seeds with each other.

    Example:
        >>> phi = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 3.0]])
        >>> rsa(phi, 2 * phi.flip(1) + 1)
        tensor(1.)

    Args:
        phi_a: one representation of the examples.
        phi_b: the other, of the same examples in the same order; it may have other units.
        metric: of the distances, as in :func:`rdm`.
        compare: ``pearson``, ``spearman`` (ties share their mean rank) or ``cosine`` (without centring).

    Returns:
        One number a seed, float64 if one of both is; NaN where all distances of a representation are equal.

    Raises:
        ValueError: for an unknown name, different numbers of examples, fewer than three, or what :func:`rdm` refuses.
        TypeError: if a representation is not floating point.
    """
    check_pair(phi_a, phi_b)
    _check_comparison(compare)
    if compare == "spearman" or metric == "euclidean":
        return compare_rdms(rdm(phi_a, metric), rdm(phi_b, metric), compare)
    a, b = (points(embedded(phi, metric), phi) for phi in (phi_a, phi_b))
    moments = [_moments(*pair) for pair in ((a, b), (a, a), (b, b))]
    across, of_a, of_b = (raw if compare == "cosine" else central for raw, central in moments)
    return ratio(across, of_a, of_b, moments[1][0], moments[2][0]).to(result_type(phi_a, phi_b))


def compare_rdms(
    first: Float[Tensor, "*#seeds pairs"], second: Float[Tensor, "*#seeds pairs"], compare: Comparison = "pearson"
) -> Float[Tensor, "*seeds"]:
    r"""Correlation of condensed dissimilarity matrices, as in :func:`rsa`; all sums are float64.

    The ranks of ``PAIRS`` pairs or more are counted in :math:`2^{16}` bins, unless that would lose more than ``LOST``
    of their variance; then, and below, they are exact. Leading axes are broadcast.

    Args:
        first: matrices as :func:`rdm` returns them.
        second: those to compare them with.
        compare: ``pearson``, ``spearman`` or ``cosine``.

    Returns:
        One number for each two matrices; NaN where one of them is constant.

    Raises:
        ValueError: for an unknown name, different numbers of pairs, fewer than two, or a number that is not finite.
    """
    _check_comparison(compare)
    if first.shape[-1] != second.shape[-1] or first.shape[-1] < 2:
        raise ValueError(
            f"{first.shape[-1]} pairs cannot be compared with {second.shape[-1]}: give 2 or more of the same"
        )
    dtype, pairs = result_type(first, second), first.shape[-1]
    for name, matrix in {"the first matrix": first, "the second matrix": second}.items():
        check_finite(matrix[..., None, :], name)
    if compare == "spearman":
        first, second = _ranked(first), _ranked(second)
    means = [matrix.mean(-1, keepdim=True, dtype=torch.float64) for matrix in (first, second)]
    shifts = [0 * mean if compare == "cosine" else mean for mean in means]
    step = max(1, PAIRS // max(1, first[..., 0].numel() + second[..., 0].numel()))
    across, of_x, of_y = torch.zeros(3, dtype=torch.float64, device=first.device)
    for parts in zip(torch.split(first, step, -1), torch.split(second, step, -1), strict=True):
        x, y = (part.double() - shift for part, shift in zip(parts, shifts, strict=True))
        across, of_x, of_y = across + (x * y).sum(-1), of_x + x.square().sum(-1), of_y + y.square().sum(-1)
    raw_x, raw_y = (square + pairs * mean[..., 0] ** 2 for square, mean in zip((of_x, of_y), means, strict=True))
    return ratio(across, of_x, of_y, raw_x, raw_y).to(dtype)


def _moments(first: Points, second: Points) -> tuple[Tensor, Tensor]:
    """Sum over ordered pairs of the product of both squared distances, as they are and about their means."""
    a, b, n = first.a, second.a, first.a.shape[-1]
    total_a, total_b = a.sum(-1), b.sum(-1)
    products = off_diagonal(first, second)
    raw = (2 * n + 4) * (a * b).sum(-1) + 2 * total_a * total_b + 4 * products
    spread = ((a - a.mean(-1, keepdim=True)) * (b - b.mean(-1, keepdim=True))).sum(-1)
    return raw, (2 * n + 4) * spread + 4 * (products - total_a * total_b / (n * (n - 1)))


def _ranked(matrix: Tensor) -> Tensor:
    """Ranks less their mean."""
    pairs = matrix.shape[-1]
    if pairs < PAIRS:
        return average_ranks(matrix) - (pairs + 1) / 2
    rows = []
    for row in matrix.reshape(-1, pairs):
        ranks, lost = coarse_ranks(row)
        rows.append(ranks if lost <= LOST else average_ranks(row) - (pairs + 1) / 2)
    return torch.stack(rows).reshape(matrix.shape)


def _check_comparison(compare: str) -> None:
    """Refuse a name that is not known."""
    if compare not in COMPARISONS:
        raise ValueError(f"compare must be one of {', '.join(COMPARISONS)}; got {compare!r}")
