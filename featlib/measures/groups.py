"""One pass over a representation: the sums from which group means and variances of any number of features follow."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["GroupSums", "columns_of", "group_sums", "values_of"]

BLOCK = {"cpu": 2**18, "cuda": 2**24}
"""Elements summed at once: on a CPU a block stays in the cache, a GPU wants fewer calls."""

Table = Int[Tensor, "*#seeds n features"] | Bool[Tensor, "*#seeds n features"]


@dataclass(frozen=True)
class GroupSums:
    """Sums over the examples of ``phi - shift``, in float64; a group is a value of a feature.

    Attributes:
        n: number of examples.
        shift: the first example, so that no offset costs digits and a constant unit is exactly zero.
        sums: of everything.
        squares: of the squares.
        groups: of each group.
        counts: examples in each group.
    """

    n: int
    shift: Float[Tensor, "*seeds 1 d"]
    sums: Float[Tensor, "*seeds 1 d"]
    squares: Float[Tensor, "*seeds 1 d"]
    groups: Float[Tensor, "*seeds groups d"]
    counts: Float[Tensor, "*#seeds groups 1"]


def values_of(features: Table) -> list[Tensor]:
    """The values that each feature takes, in any seed."""
    return [torch.unique(feature) for feature in features.unbind(-1)]


def columns_of(features: Table, values: list[Tensor]) -> Int[Tensor, "*#seeds n features"]:
    """Number of the group of each example and feature, when the groups of all features are counted through.

    Raises:
        ValueError: for a value that is not in the list.
    """
    columns, offset = [], 0
    for index, (feature, known) in enumerate(zip(features.unbind(-1), values, strict=True)):
        place = torch.searchsorted(known.long(), feature.long().contiguous())
        place = place.clamp_max(max(len(known) - 1, 0))
        unknown = known[place] != feature
        if bool(unknown.any()):
            value = int(feature[unknown][0])
            raise ValueError(
                f"feature {index} is {value} somewhere in the test set, never in the fitting set: fit on more"
            )
        columns.append(place + offset)
        offset += len(known)
    return torch.stack(columns, -1)


def group_sums(phi: Float[Tensor, "*seeds n d"], columns: Int[Tensor, "*#seeds n features"], groups: int) -> GroupSums:
    """Sum blocks of rows, each multiplied once with the indicators of all groups; no copy of ``phi`` is made.

    Args:
        phi: representations.
        columns: from :func:`columns_of`.
        groups: how many there are.

    Returns:
        The sums; NaN or infinity in ``phi`` shows in ``squares``.
    """
    *seeds, n, d = phi.shape
    shift = phi[..., :1, :].double()
    sums, squares, total = torch.zeros_like(shift), torch.zeros_like(shift), shift.new_zeros(*seeds, groups, d)
    counts = shift.new_zeros(*columns.shape[:-2], groups, 1)
    width = prod(seeds) * d + prod(columns.shape[:-2]) * groups
    rows = max(1, BLOCK.get(phi.device.type, BLOCK["cuda"]) // max(1, width))
    for block, column in zip(torch.split(phi, rows, -2), torch.split(columns, rows, -2), strict=True):
        part = block.double() - shift
        indicators = part.new_zeros(*column.shape[:-1], groups).scatter_(-1, column, 1.0)
        sums += part.sum(-2, keepdim=True)
        squares += part.square().sum(-2, keepdim=True)
        total += indicators.mT @ part
        counts += indicators.sum(-2)[..., None]
    return GroupSums(n, shift, sums, squares, total, counts)
