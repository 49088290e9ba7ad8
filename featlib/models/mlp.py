r"""Multilayer perceptrons, many at once: every parameter carries a leading axis, one network for each entry.

Small networks leave a processor waiting for calls; a stack of them keeps it busy. The networks share nothing: each has
its own seed, its own data and its own loss.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

__all__ = ["CONFIGS", "MLP", "MLPConfig", "keep_largest"]


@dataclass(frozen=True)
class MLPConfig:
    """Sizes of one network, and what its outputs mean.

    Attributes:
        inputs: how many.
        widths: units in each hidden layer.
        outputs: how many.
        classes: whether the outputs are the logits of classes, of which one is right; otherwise each is that of a
            feature that is there or not.
        topk: how many units of each hidden layer may be active at once, those with the largest values; None for all.
    """

    inputs: int = 16
    widths: tuple[int, ...] = (64, 64, 64)
    outputs: int = 2
    classes: bool = False
    topk: int | None = None

    @property
    def sizes(self) -> tuple[int, ...]:
        """Units of all layers, the input's first."""
        return (self.inputs, *self.widths, self.outputs)

    @property
    def parameters(self) -> int:
        """Parameters of one network."""
        return sum(fan_in * fan_out + fan_out for fan_in, fan_out in zip(self.sizes, self.sizes[1:], strict=False))


CONFIGS = {"mlp-laptop": MLPConfig(), "mlp-paper": MLPConfig(inputs=32, widths=(256, 128, 64, 64))}
"""The laptop's size, and the one that is recalled of the paper :cite:p:`lampinen2024learned`."""


class MLP(nn.Module):
    r"""A stack of ReLU networks :math:`h_l = \max(0, h_{l-1} W_l^\top + b_l)`, the last layer without the maximum.

    Attributes:
        weights: :math:`W_l` of all networks, (networks, out, in) each.
        biases: :math:`b_l` of all networks, (networks, 1, out) each.
    """

    def __init__(self, config: MLPConfig, seeds: Sequence[int] = (0,), gain: float | Sequence[float] = 1.0) -> None:
        r"""Draw :math:`W_l \sim \mathcal{N}(0, 2 g^2 / \mathrm{fan\,in})` with the gain :math:`g`; biases are zero.

        A network depends on its own seed alone, not on what else is in the stack; equal seeds with different gains
        start from the same directions.

        Args:
            config: sizes.
            seeds: one for each network.
            gain: for all, or one for each network.

        Raises:
            ValueError: for no seed, or gains that are not as many as the seeds.
        """
        super().__init__()
        gains = [float(gain)] * len(seeds) if isinstance(gain, int | float) else [float(value) for value in gain]
        if not seeds or len(gains) != len(seeds):
            raise ValueError(f"{len(gains)} gains for {len(seeds)} seeds: give one gain, or one for each network")
        self.config = config
        shapes = [(out, into) for into, out in zip(config.sizes, config.sizes[1:], strict=False)]
        drawn = [_draw(shapes, seed, gain) for seed, gain in zip(seeds, gains, strict=True)]
        self.weights = nn.ParameterList([torch.stack(layer) for layer in zip(*drawn, strict=True)])
        self.biases = nn.ParameterList([torch.zeros(len(seeds), 1, out) for out, _ in shapes])

    def __len__(self) -> int:
        """How many networks there are."""
        return len(self.weights[0])

    def forward(self, x: Float[Tensor, "networks batch inputs"]) -> Float[Tensor, "networks batch outputs"]:
        """Logits, each network on its own batch."""
        return self.readout(self.hidden(x)[-1])

    def hidden(self, x: Float[Tensor, "networks batch inputs"]) -> list[Float[Tensor, "networks batch width"]]:
        """What each hidden layer says, after its nonlinearity, the first one first; the input itself if there is none.

        Raises:
            ValueError: if there are not as many batches as networks.
        """
        if len(x) != len(self):
            raise ValueError(
                f"{len(x)} batches for {len(self)} networks: give each its own, or x.expand({len(self)}, ...)"
            )
        layers = [x]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            layers.append(keep_largest(torch.baddbmm(bias, layers[-1], weight.mT).relu(), self.config.topk))
        return layers[1:] or layers

    def readout(self, phi: Float[Tensor, "networks batch width"]) -> Float[Tensor, "networks batch outputs"]:
        """Logits from the last hidden layer."""
        return torch.baddbmm(self.biases[-1], phi, self.weights[-1].mT)

    def select(self, rows: slice | Sequence[int]) -> MLP:
        """Some of the networks, as a stack of their own that shares no memory with this one."""
        chosen = MLP.__new__(MLP)
        nn.Module.__init__(chosen)
        chosen.config = self.config
        chosen.weights = nn.ParameterList([weight.detach()[rows].clone() for weight in self.weights])
        chosen.biases = nn.ParameterList([bias.detach()[rows].clone() for bias in self.biases])
        return chosen

    def twin(self, index: int) -> nn.Sequential:
        """One network as plain modules with a copy of its weights: the slow, obviously right form.

        Raises:
            ValueError: with a top-k, for which there is no plain module.
        """
        if self.config.topk is not None:
            raise ValueError("no plain module keeps the k largest units: select([index]) gives the network alone")
        layers: list[nn.Module] = []
        for weight, bias in zip(self.weights, self.biases, strict=True):
            linear = nn.Linear(weight.shape[2], weight.shape[1])
            linear.weight.data = weight.detach()[index].clone()
            linear.bias.data = bias.detach()[index, 0].clone()
            layers += [linear, nn.ReLU()]
        return nn.Sequential(*layers[:-1])


def keep_largest(layer: Float[Tensor, "networks batch width"], k: int | None) -> Float[Tensor, "networks batch width"]:
    """A non-negative layer with all but its ``k`` largest units set to zero, example by example."""
    if k is None or k >= layer.shape[-1]:
        return layer
    values, places = layer.topk(k, sorted=False)
    return torch.zeros_like(layer).scatter(-1, places, values)


def _draw(shapes: Sequence[tuple[int, int]], seed: int, gain: float) -> list[Tensor]:
    """The weights of one network, layer by layer, from its seed."""
    generator = torch.Generator().manual_seed(seed)
    return [gain * math.sqrt(2 / into) * torch.randn(out, into, generator=generator) for out, into in shapes]
