r"""Projection heads: what is put between a representation and its loss, and thrown away after training.

A head maps the representation :math:`r` to :math:`h(r)`, which the loss sees. :cite:p:`chen2020simclr` found a layer
below the loss the better representation; :cite:p:`xue2024projection` asks why. With ``seeds`` every parameter has an
axis of seeds in front, and so must the representation: many heads then train in the same calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["MLP", "FixedReweight", "Linear", "SReLU", "soft_threshold"]

R = Float[Tensor, "*many batch d"]
H = Float[Tensor, "*many batch out"]
Seeds = Sequence[int] | None

OWN = 2**31
"""Added to a seed, of which torch's generator reads 32 bits: a head must not repeat an encoder's numbers."""


def soft_threshold(x: Float[Tensor, "*any"], b: float | Float[Tensor, "*#any"]) -> Float[Tensor, "*any"]:
    r"""Symmetric ReLU :math:`\mathrm{SReLU}_b(x) = \max(0, x - b) - \max(0, -x - b)`, zero for :math:`|x| \le b`.

    Example:
        >>> soft_threshold(torch.tensor([-2.0, -0.5, 0.5, 2.0]), 1.0).tolist()
        [-1.0, 0.0, 0.0, 1.0]
    """
    return (x - b).relu() - (-x - b).relu()


class Linear(nn.Module):
    r"""One linear map :math:`h(r) = W r + c`, at the start uniform in :math:`\pm 1 / \sqrt{d}`.

    Args:
        d: width of the representation.
        out: width of the output; None for ``d``.
        seeds: one for each network of a stack; None for one network without an axis, from torch's own generator.
        bias: whether there is a :math:`c`.
    """

    bias: nn.Parameter | None

    def __init__(self, d: int, out: int | None = None, seeds: Seeds = None, bias: bool = True) -> None:
        super().__init__()
        self._start(d, d if out is None else out, _generators(seeds), bias)

    def _start(self, d: int, out: int, generators: Sequence[torch.Generator | None], bias: bool) -> None:
        """Draw the first weights, those of each seed from its own generator."""
        drawn = [(_uniform(g, d, out, d), _uniform(g, d, 1, out)) for g in generators]
        weight, offset = (torch.stack(part) if generators[0] else part[0] for part in zip(*drawn, strict=True))
        self.weight = nn.Parameter(weight)
        self.register_parameter("bias", nn.Parameter(offset) if bias else None)

    def forward(self, r: R) -> H:
        """The output for each row."""
        h: Tensor = r @ self.weight.mT
        return h if self.bias is None else h + self.bias


class MLP(nn.Module):
    r"""Linear maps with ReLU between them, :math:`h(r) = W_b \max(0, W_a r + c_a) + c_b` with one hidden layer.

    Example:
        >>> sum(p.numel() for p in MLP(2048, 2048, 2048).parameters())
        8392704

    Args:
        d: width of the representation.
        hidden: units of each hidden layer; None for ``d``.
        out: width of the output; None for ``d``.
        depth: number of hidden layers.
        seeds: as in :class:`Linear`.

    Raises:
        ValueError: for no hidden layer.
    """

    def __init__(
        self, d: int, hidden: int | None = None, out: int | None = None, depth: int = 1, seeds: Seeds = None
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"an MLP has at least one hidden layer, got depth={depth}: without any it is Linear")
        hidden = d if hidden is None else hidden
        sizes = (d, *[hidden] * depth, d if out is None else out)
        generators = _generators(seeds)
        self.layers = nn.ModuleList()
        for inputs, outputs in pairwise(sizes):
            layer = Linear.__new__(Linear)
            nn.Module.__init__(layer)
            layer._start(inputs, outputs, generators, bias=True)  # generators go on: layers differ
            self.layers.append(layer)

    def forward(self, r: R) -> H:
        """The output for each row."""
        for layer in self.layers[:-1]:
            r = layer(r).relu()
        h: Tensor = self.layers[-1](r)
        return h


class SReLU(nn.Module):
    r"""A square map and a learnable symmetric threshold, :math:`h(r) = \mathrm{SReLU}_b(W r)`, first :math:`W = I`.

    A feature whose part of :math:`W r` stays within :math:`\pm b` is exactly zero in the output, and as there is no
    gradient below the threshold, it stays so.

    Args:
        d: width of the representation and of the output.
        b: threshold at the start, not negative.
        seeds: as in :class:`Linear`.

    Raises:
        ValueError: for a negative threshold.
    """

    def __init__(self, d: int, b: float = 0.1, seeds: Seeds = None) -> None:
        super().__init__()
        if b < 0:
            raise ValueError(f"the threshold must not be negative, got {b}")
        many = () if seeds is None else (len(seeds),)
        self.weight = nn.Parameter(torch.eye(d).repeat(*many, 1, 1))
        self.threshold = nn.Parameter(torch.full((*many, 1, 1), float(b)))

    def forward(self, r: R) -> R:
        """The output for each row."""
        return soft_threshold(r @ self.weight.mT, self.threshold)


class FixedReweight(nn.Module):
    r"""No parameter at all: :math:`h(r)_i = \kappa^{-i} r_i` for :math:`i = 0, \dots, d - 1`.

    Early units are in the loss at full size and late ones hardly, so that the encoder must choose what goes where. In
    float32 :math:`1.05^{-2047} \approx 4 \times 10^{-44}` is nearly nothing: of 2048 units the first few hundred learn.

    Args:
        d: width of the representation.
        kappa: :math:`\kappa`, 1 or more; 1 is no head.

    Raises:
        ValueError: for a kappa below 1.
    """

    gain: Tensor

    def __init__(self, d: int, kappa: float = 1.05) -> None:
        super().__init__()
        if not kappa >= 1:
            raise ValueError(f"kappa must be 1 or more, got {kappa}")
        gain = torch.tensor(kappa, dtype=torch.float64) ** -torch.arange(d)
        self.register_buffer("gain", gain.float())

    def forward(self, r: R) -> R:
        """The output for each row."""
        return r * self.gain


def _generators(seeds: Seeds) -> list[torch.Generator | None]:
    """One for each seed, or none.

    Raises:
        ValueError: for an empty list of seeds.
    """
    if seeds is None:
        return [None]
    if not len(seeds):
        raise ValueError("no seeds given: leave them out for one head without an axis of seeds")
    return [torch.Generator().manual_seed(OWN + seed) for seed in seeds]


def _uniform(generator: torch.Generator | None, fan_in: int, *shape: int) -> Tensor:
    """Numbers in +-1 / sqrt(fan in), as ``nn.Linear`` starts; a bias has one row less."""
    shape = shape[1:] if generator is None and shape[0] == 1 else shape
    drawn: Tensor = torch.rand(*shape, generator=generator, device=None if generator is None else "cpu")
    bound: float = fan_in**-0.5
    return (2 * drawn - 1) * bound
