"""Which neurons of each token are kept, by torch."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

Selection = tuple[Float[Tensor, "tokens k"], Int[Tensor, "tokens k"]]


def select(before: Float[Tensor, "tokens d_ff"], k: int) -> Selection:
    """The ``k`` largest numbers of each row after ReLU and where they stand, for ``k`` below ``d_ff``. In any order.

    Of equal numbers the first are kept. ``torch.topk`` leaves that choice open, so it is asked for one number more: it
    matters only where that one equals the last kept (and is not zero, which adds nothing), and such rows are sorted.
    """
    activations = torch.relu(before)
    values, index = activations.topk(k + 1, dim=1)
    tied = (values[:, k - 1] == values[:, k]) & (values[:, k] > 0)
    values, index = values[:, :k].contiguous(), index[:, :k].contiguous()
    if not tied.is_meta and bool(tied.any()):
        rows = activations[tied]
        index[tied] = first = rows.sort(dim=1, descending=True, stable=True).indices[:, :k]
        values[tied] = rows.gather(1, first)
    return values, index
