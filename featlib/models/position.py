r"""Where tokens stand to each other, as T5 :cite:p:`raffel2020t5` tells its attention: by distance, in coarse steps."""

from __future__ import annotations

from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["PositionBias", "distance_buckets"]


@cache
def distance_buckets(buckets: int, furthest: int) -> tuple[int, ...]:
    r"""Bucket of every distance from 0 to ``furthest``; those beyond belong to the last.

    With :math:`n` buckets and :math:`e = n / 2`, a distance :math:`r < e` has a bucket of its own, and

    .. math:: e + \left\lfloor (n - e) \frac{\log (r / e)}{\log (r_\text{max} / e)} \right\rfloor,
        \quad \text{at most } n - 1,

    is that of a larger one. Computed in whole numbers, so that no boundary hangs on a rounded logarithm.

    Example:
        >>> distance_buckets(8, 16)
        (0, 1, 2, 3, 4, 4, 5, 5, 6, 6, 6, 6, 7, 7, 7, 7, 7)
    """
    near, far = buckets // 2, buckets - buckets // 2

    def bucket(distance: int) -> int:
        if distance < near:
            return distance
        # far log(r/e) >= j log(m/e), without the logarithms
        return near + max(j for j in range(far) if distance**far >= near ** (far - j) * furthest**j)

    return tuple(bucket(distance) for distance in range(furthest + 1))


class PositionBias(nn.Module):
    """What is added to the scores of attention for the way from query to key, head by head.

    An encoder has half of the buckets for keys before the query and half for keys behind; a decoder has all for keys
    before, and those behind are closed to it.
    """

    def __init__(self, heads: int, buckets: int, furthest: int, causal: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(buckets, heads))
        self.causal, self.furthest = causal, furthest

    def forward(self, queries: int, keys: int) -> Float[Tensor, "heads queries keys"]:
        """For the last ``queries`` of ``keys`` positions."""
        places = torch.arange(keys, device=self.weight.device)
        way = places - places[keys - queries :, None]
        sides = 1 if self.causal else 2
        buckets = len(self.weight) // sides
        table = torch.tensor(distance_buckets(buckets, self.furthest), device=self.weight.device)
        index = table[way.abs().clamp_max(self.furthest)]
        if not self.causal:
            index = index + buckets * (way > 0)
        bias = self.weight[index].permute(2, 0, 1)
        return bias.masked_fill(way > 0, -torch.inf) if self.causal else bias
