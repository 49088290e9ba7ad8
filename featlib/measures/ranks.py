r"""Ranks of long vectors: exact by sorting, or by counting in :math:`2^{16}` bins where nobody sees the difference."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["average_ranks", "coarse_ranks"]

BINS = 2**16


def average_ranks(values: Float[Tensor, "*rows n"]) -> Float[Tensor, "*rows n"]:
    """Ranks from 1, equal values sharing the mean of theirs, as ``scipy.stats.rankdata`` gives them, in float64."""
    ordered, order = values.sort(-1)
    place = torch.arange(values.shape[-1], device=values.device).expand_as(order)
    fresh = torch.ones_like(order, dtype=torch.bool)
    fresh[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    first = torch.where(fresh, place, 0).cummax(-1).values
    ends = torch.ones_like(fresh)
    ends[..., :-1] = fresh[..., 1:]
    last = torch.where(ends, place, values.shape[-1]).flip(-1).cummin(-1).values.flip(-1)
    ranks = torch.empty(values.shape, dtype=torch.float64, device=values.device)
    return ranks.scatter_(-1, order, (first + last).double() / 2 + 1)


def coarse_ranks(values: Float[Tensor, " n"]) -> tuple[Float[Tensor, " n"], float]:
    r"""Ranks when values that share one of ``BINS`` equal intervals count as equal, and the variance this loses.

    Args:
        values: one vector.

    Returns:
        The ranks, centred, in float64, and the lost share of their variance,
        :math:`\sum_b (m_b^3 - m_b) / (n^3 - n)` with :math:`m_b` the number of values in bin :math:`b`. A correlation
        of ranks is off by about half the shares lost on both sides.
    """
    low, high = values.aminmax()
    scale = (BINS - 1) / (high - low)
    scale = torch.where(torch.isfinite(scale), scale, 0.0)  # values that are all equal share the first bin
    bins = (values - low).mul_(scale).to(torch.int32)
    counts = torch.bincount(bins, minlength=BINS).double()
    n = float(len(values))
    middle = counts.cumsum(0) - (counts + n) / 2  # mean rank of a bin, less the mean of all
    lost = float((counts**3 - counts).sum() / (n**3 - n))
    return middle.index_select(0, bins), lost
