"""A plain convolutional network for small pictures: convolution, ReLU and pooling a few times, then one linear map.

Layers by name, for pictures of 32 x 32:

============================  ====================  ==========================================
name                          shape                 values
============================  ====================  ==========================================
``stage1``                    16 x 16 x 16          non-negative: convolution, ReLU, max pooling
``stage2``                    32 x 8 x 8            non-negative
``stage3``                    64 x 4 x 4            non-negative
``stage4``                    128 x 4 x 4           non-negative; the last stage does not pool
``features()``                128                   non-negative: ``stage4``, mean over positions
``classifier``                2                     logits
============================  ====================  ==========================================

Neither normalisation nor shortcuts: the plain rival of :mod:`featlib.models.resnet`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from featlib.models.imagenet import Classifier, Preparation

__all__ = ["CONFIGS", "ConvNet", "ConvNetConfig"]


@dataclass(frozen=True)
class ConvNetConfig:
    """Channels of the first stage (doubled from stage to stage), stages, side of the picture, logits."""

    width: int = 16
    stages: int = 4
    size: int = 32
    classes: int = 2


CONFIGS = {"convnet-small": ConvNetConfig()}
"""The size for a laptop."""


class ConvNet(Classifier):
    """The network; see the module for its layers' names.

    Kernels start as suits a ReLU behind them (He's normal, by their inputs), so that four stages without normalisation
    neither fade nor grow.
    """

    def __init__(self, config: ConvNetConfig) -> None:
        super().__init__()
        self.preparation = Preparation(config.size, keep=1.0)
        channels = 3
        for stage in range(config.stages):
            outputs = config.width * 2**stage
            self.add_module(f"stage{stage + 1}", _stage(channels, outputs, pools=stage < config.stages - 1))
            channels = outputs
        self.stages = config.stages
        self.classifier = nn.Linear(channels, config.classes)

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels"]:
        """What the classifier reads of prepared pictures: the last maps, averaged over positions."""
        maps = images
        for stage in range(self.stages):
            maps = self.get_submodule(f"stage{stage + 1}")(maps)
        return maps.mean((2, 3))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of prepared pictures."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def _stage(inputs: int, outputs: int, pools: bool) -> nn.Sequential:
    """Convolution ``conv`` of 3x3, ReLU ``act``, and ``pool`` if the side is to be halved."""
    conv = nn.Conv2d(inputs, outputs, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
    nn.init.zeros_(conv.get_parameter("bias"))
    layers: list[tuple[str, nn.Module]] = [("conv", conv), ("act", nn.ReLU())]
    return nn.Sequential(OrderedDict([*layers, ("pool", nn.MaxPool2d(2))] if pools else layers))
