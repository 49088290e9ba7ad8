"""ResNet-50 :cite:p:`he2016resnet`: bottleneck blocks, each added to its input.

Layers by name, for pictures of 224 x 224 at the paper's size:

============================  ====================  ==========================================
name                          shape                 values
============================  ====================  ==========================================
``stem``                      64 x 112 x 112        non-negative (ReLU)
``layer1`` .. ``layer4``      256 x 56 x 56 ..      non-negative: the ReLU follows the sum
``layer4`` = ``layer4.2``     2048 x 7 x 7          non-negative
``layerS.K.expand``           the same              **signed**: the residual before the sum
``classifier``                1000                  logits, from the mean over positions
============================  ====================  ==========================================

No weights come with the book. Departs from the paper: the stride lies in the 3 x 3 convolution, as in the versions
that are in use.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from featlib.models.imagenet import Classifier, Preparation
from featlib.models.layers import ConvNorm

__all__ = ["CONFIGS", "Bottleneck", "ResNet", "ResNetConfig"]

EXPANSION = 4


@dataclass(frozen=True)
class ResNetConfig:
    """Channels of the stem (doubled from stage to stage) and blocks by stage."""

    width: int = 64
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    size: int = 224
    classes: int = 1000


CONFIGS = {"resnet50": ResNetConfig(), "resnet50-small": ResNetConfig(width=16)}
"""The paper's network, and the same depth at a laptop's width."""


class Bottleneck(nn.Module):
    """``reduce`` by 1x1, ``filter`` by 3x3, ``expand`` by 1x1; the sum with the input, or its ``shortcut``; ReLU."""

    def __init__(self, inputs: int, middle: int, stride: int) -> None:
        super().__init__()
        outputs = middle * EXPANSION
        self.reduce = ConvNorm(inputs, middle, act=nn.ReLU)
        self.filter = ConvNorm(middle, middle, 3, stride, act=nn.ReLU)
        self.expand = ConvNorm(middle, outputs)
        changes = stride != 1 or inputs != outputs
        self.shortcut = ConvNorm(inputs, outputs, stride=stride) if changes else nn.Identity()
        self.act = nn.ReLU()

    def forward(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out rows columns"]:
        """Residual plus shortcut."""
        out: Tensor = self.act(self.expand(self.filter(self.reduce(maps))) + self.shortcut(maps))
        return out


class ResNet(Classifier):
    """The network; see the module for its layers' names."""

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        self.preparation = Preparation(config.size, config.size / (config.size + 32))
        self.stem = ConvNorm(3, config.width, 7, 2, act=nn.ReLU)
        stages, channels = [], config.width
        for stage, depth in enumerate(config.depths):
            middle, blocks = config.width * 2**stage, []
            for index in range(depth):
                blocks.append(Bottleneck(channels, middle, 2 if stage and not index else 1))
                channels = middle * EXPANSION
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.classifier = nn.Linear(channels, config.classes)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of prepared pictures."""
        maps: Tensor = functional.max_pool2d(self.stem(images), 3, 2, 1)
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        logits: Tensor = self.classifier(maps.mean((2, 3)))
        return logits
