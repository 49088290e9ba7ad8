"""A stack of networks that are computed one by one, behind the interface of a stack that is computed at once.

Up to a width of about 64 one batched product for all seeds pays, as in :mod:`featlib.models.mlp`; convolutions have no
such product, and there a loop is the faster way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["OneByOne"]


class OneByOne(nn.Module):
    """Networks of one architecture, one for each seed, each on its own batch.

    Example:
        >>> stack = OneByOne(lambda: nn.Linear(5, 3), seeds=[0, 7])
        >>> tuple(stack(torch.zeros(2, 11, 5)).shape)
        (2, 11, 3)

    Args:
        make: draws one network from torch's own generator.
        seeds: one for each network, which depends on no other. The generator is left as it was found.

    Raises:
        ValueError: for no seed.
    """

    def __init__(self, make: Callable[[], nn.Module], seeds: Sequence[int]) -> None:
        super().__init__()
        if not len(seeds):
            raise ValueError("no seeds given: one makes one network")
        self.networks = nn.ModuleList()
        for seed in seeds:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                self.networks.append(make())

    def __len__(self) -> int:
        """How many networks there are."""
        return len(self.networks)

    def forward(self, x: Float[Tensor, "networks batch ..."]) -> Float[Tensor, "networks batch ..."]:
        """The output of each network on its own batch.

        Raises:
            ValueError: if there are not as many batches as networks.
        """
        if len(x) != len(self):
            raise ValueError(
                f"{len(x)} batches for {len(self)} networks: give each its own, or x.expand({len(self)}, ...)"
            )
        return torch.stack([network(rows) for network, rows in zip(self.networks, x, strict=True)])
