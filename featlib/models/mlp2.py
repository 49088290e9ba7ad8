"""A perceptron of two layers on pictures whose pixels are normalised: the smallest network that becomes sparse.

Layers by name: ``norm`` (each picture with mean 0 and variance 1, no parameters), ``mlp``, and within it ``mlp.act``,
the hidden activations. One of the architectures of :cite:p:`li2023lazy`; it may keep only the largest activations.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from featlib.models.layers import check_sizes
from featlib.models.relu_mlp import Init, ReluMLP

__all__ = ["CONFIGS", "MLP2", "MLP2Config"]


@dataclass(frozen=True)
class MLP2Config:
    """Sizes and start.

    Attributes:
        inputs: pixels of a picture.
        ff: hidden units.
        classes: outputs.
        init: how the weights start, out of :data:`featlib.models.relu_mlp.INITS`.
        topk: how many hidden units may be active at once on a picture; None for all.

    Raises:
        ValueError: if a size is below 1.
    """

    inputs: int = 784
    ff: int = 512
    classes: int = 10
    init: Init = "he"
    topk: int | None = None

    def __post_init__(self) -> None:
        check_sizes(self)


CONFIGS = {"mlp2": MLP2Config()}
"""The size for a laptop; the paper does not state its own."""


class MLP2(nn.Module):
    """The network; see the module for its layers' names."""

    def __init__(self, config: MLP2Config) -> None:
        super().__init__()
        self.config = config
        self.norm = nn.LayerNorm(config.inputs, elementwise_affine=False)
        self.mlp = ReluMLP(config.inputs, config.ff, config.topk, out=config.classes, init=config.init)

    def forward(self, images: Float[Tensor, "batch *pixels"]) -> Float[Tensor, "batch classes"]:
        """Logits of pictures of any shape.

        Raises:
            ValueError: if they do not have as many pixels as the network has inputs.
        """
        rows = images.flatten(1)
        pixels, inputs = rows.shape[1], self.config.inputs
        if pixels != inputs:
            raise ValueError(f"{pixels} pixels for {inputs} inputs: build the network with inputs={pixels}")
        logits: Tensor = self.mlp(self.norm(rows))
        return logits
