r"""A deep linear network :math:`f(x) = W_L \cdots W_1 x`: what a projection head does to features, without the rest.

With balanced weights, :math:`W_{l+1}^\top W_{l+1} = W_l W_l^\top`, all layers share their singular values, and gradient
flow keeps them balanced :cite:p:`saxe2014exact`. Every parameter has an axis of starts in front.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["DeepLinear", "gains", "maps"]

Weight = Float[Tensor, "starts d d"]


def maps(weights: Iterable[Weight]) -> list[Weight]:
    r"""What each layer has made of the input: :math:`W_l \cdots W_1` for :math:`l = 1, \dots, L`."""
    return list(accumulate(weights, lambda product, weight: weight @ product))


def gains(weights: Iterable[Weight]) -> Float[Tensor, "starts layers d"]:
    r"""How much of each feature is left after each layer: the length of :math:`W_l \cdots W_1 v_i`."""
    return torch.stack([made.norm(dim=-2) for made in maps(weights)], 1)


class DeepLinear(nn.Module):
    r"""A stack of deep linear networks of square layers, in float64.

    A balanced start is :math:`W_l = Q_l D Q_{l-1}^\top` with random rotations :math:`Q` and :math:`D` diagonal, its
    entries uniform in :math:`(1 \pm \tfrac12)` times the scale; otherwise entries are normal with that standard
    deviation over :math:`\sqrt d`.

    Args:
        d: features, and units of each layer.
        layers: :math:`L`, of which the last is the head.
        scale: size of the first weights.
        seeds: one for each network.
        balanced: whether they start balanced.

    Raises:
        ValueError: for no layer, no seed or a scale that is not positive.
    """

    def __init__(
        self, d: int, layers: int = 2, scale: float = 0.3, seeds: Sequence[int] = (0,), balanced: bool = True
    ) -> None:
        super().__init__()
        if layers < 1 or not len(seeds) or not scale > 0:
            raise ValueError(
                f"layers, seeds and scale must be positive, got {layers} layers, {len(seeds)} seeds and scale {scale}"
            )
        drawn = [_start(d, layers, scale, seed, balanced) for seed in seeds]
        self.weights = nn.ParameterList([torch.stack(layer) for layer in zip(*drawn, strict=True)])

    def maps(self) -> list[Weight]:
        """What each layer has made of the input: :func:`maps` of the weights."""
        return maps(self.weights)

    def forward(self, x: Float[Tensor, "*starts batch d"]) -> Float[Tensor, "*starts batch d"]:
        """The output for each row."""
        return x @ self.maps()[-1].mT

    def gains(self) -> Float[Tensor, "starts layers d"]:
        """How much of each feature is left after each layer: :func:`gains` of the weights."""
        return gains(self.weights)

    def imbalance(self) -> Float[Tensor, " starts"]:
        r"""The largest :math:`\lVert W_{l+1}^\top W_{l+1} - W_l W_l^\top \rVert_F` of two neighbouring layers."""
        found = [(b.mT @ b - a @ a.mT).flatten(1).norm(dim=1) for a, b in pairwise(self.weights)]
        return torch.stack([torch.zeros_like(self.weights[0][:, 0, 0]), *found]).amax(0)


def _start(d: int, layers: int, scale: float, seed: int, balanced: bool) -> list[Tensor]:
    """The first weights of one network."""
    generator = torch.Generator().manual_seed(seed)

    def normal() -> Tensor:
        return torch.randn(d, d, generator=generator, dtype=torch.float64)

    if not balanced:
        return [scale * normal() / d**0.5 for _ in range(layers)]
    turns: list[Tensor] = [torch.linalg.qr(normal())[0] for _ in range(layers + 1)]
    sizes = scale * (0.5 + torch.rand(d, generator=generator, dtype=torch.float64))
    return [after * sizes @ before.T for before, after in pairwise(turns)]
