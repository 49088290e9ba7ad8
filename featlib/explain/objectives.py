"""What an ascent climbs: one number for each picture, with a gradient back to its pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from featlib.explain.hooks import LayerError, find_layer

__all__ = ["Channel", "Objective", "Unit", "total_variation"]

Images = Float[Tensor, "batch colours height width"]
Values = Float[Tensor, " batch"]
Objective = Callable[[nn.Module, Tensor, str], Tensor]
"""From a network, prepared pictures and ``unit`` or ``probability`` to a number for each picture."""


@dataclass(frozen=True)
class Unit:
    """An output neuron: the logit of a class, or its softmax probability."""

    target: int

    def __call__(self, model: nn.Module, images: Images, through: str = "unit") -> Values:
        """Its value on prepared pictures."""
        logits = model(images)
        values = logits.softmax(1) if through == "probability" else logits
        chosen: Tensor = values[:, self.target]
        return chosen


@dataclass(frozen=True)
class Channel:
    """A channel of a layer: in the middle of its map as in the paper, or its mean over positions.

    Where the layer's activation is flat on the start (a ReLU that is shut has no gradient), name the module *before*
    the activation: its values are what the unit would have to overcome.
    """

    layer: str
    index: int
    position: str = "middle"

    def __call__(self, model: nn.Module, images: Images, through: str = "unit") -> Values:
        """Its value on prepared pictures.

        Raises:
            LayerError: if the layer does not run or gives no such channel.
        """
        with _output(find_layer(model, self.layer)) as seen:
            model(images)
        if not seen or seen[-1].ndim not in {2, 4} or seen[-1].shape[1] <= self.index:
            shape = tuple(seen[-1].shape) if seen else "nothing"
            raise LayerError(f"layer {self.layer!r} gives {shape}: no channel {self.index} there")
        maps = seen[-1][:, self.index]
        if maps.ndim == 1:
            return maps
        height, width = maps.shape[1:]
        return maps.mean((1, 2)) if self.position == "mean" else maps[:, height // 2, width // 2]


@contextmanager
def _output(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect a module's outputs with their graph; the hook is gone on leaving."""
    seen: list[Tensor] = []
    # a copy, because an activation that works in place would change what we saw
    handle = module.register_forward_hook(lambda _module, _inputs, output: seen.append(output.clone()))
    try:
        yield seen
    finally:
        handle.remove()


def total_variation(images: Images) -> Values:
    """Mean length of the differences to the pixels below and to the right: a prior; the paper denoises instead."""
    down = images[..., 1:, :-1] - images[..., :-1, :-1]
    right = images[..., :-1, 1:] - images[..., :-1, :-1]
    return torch.sqrt(down.square() + right.square() + 1e-8).mean((1, 2, 3))
