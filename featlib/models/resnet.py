"""ResNet :cite:p:`he2016resnet`: blocks that are each added to their input, of two or of three convolutions.

Layers by name, for pictures of 224 x 224 at the paper's sizes:

============================  ====================  ==========================================
name                          shape                 values
============================  ====================  ==========================================
``stem``                      64 x 112 x 112        non-negative (ReLU)
``layer1`` .. ``layer4``      256 x 56 x 56 ..      non-negative: the ReLU follows the sum
``layer4`` = ``layer4.2``     2048 x 7 x 7          non-negative
``layerS.K.expand``           the same              **signed**: the residual before the sum
``features()``                2048                  non-negative: ``layer4``, mean over positions
``classifier``                1000                  logits
============================  ====================  ==========================================

ResNet-50 has bottlenecks, as above. ResNet-18 has basic blocks: a quarter of these channels from ``layer1`` on, and the
residual is called ``layerS.K.second``. With the small stem, for pictures of about 32 x 32, ``stem`` and ``layer1`` keep
the side of the picture.

No weights come with the book; :func:`featlib.models.build` takes a file of yours, with these names or with
torchvision's. Departs from the paper: a bottleneck's stride lies in its 3 x 3 convolution, as in the
versions that are in use; where a shape changes, the shortcut is always a projection (the paper's option B).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from featlib.models.imagenet import Classifier, Preparation
from featlib.models.layers import ConvNorm

__all__ = ["CONFIGS", "Basic", "Bottleneck", "ResNet", "ResNetConfig", "rename"]

Maps = Float[Tensor, "batch channels height width"]
Out = Float[Tensor, "batch out rows columns"]


@dataclass(frozen=True)
class ResNetConfig:
    """Sizes.

    Attributes:
        width: channels of the stem, doubled from stage to stage.
        depths: blocks by stage.
        block: two convolutions of 3 x 3, or three of which only the middle one is.
        stem: ``large`` is 7 x 7 with stride 2 and pooling, ``small`` 3 x 3 at the side of the picture.
        size: side of the picture.
        classes: logits.
    """

    width: int = 64
    depths: tuple[int, int, int, int] = (3, 4, 6, 3)
    block: Literal["basic", "bottleneck"] = "bottleneck"
    stem: Literal["large", "small"] = "large"
    size: int = 224
    classes: int = 1000


CONFIGS = {
    "resnet50": ResNetConfig(),
    "resnet50-small": ResNetConfig(width=16),
    "resnet18": ResNetConfig(depths=(2, 2, 2, 2), block="basic"),
    "resnet18-tiny": ResNetConfig(width=8, depths=(2, 2, 2, 2), block="basic", stem="small", size=32, classes=2),
}
"""The paper's networks, each followed by one of the same depth at a laptop's width."""


class Basic(nn.Module):
    """``first`` and ``second`` by 3x3; the sum with the input, or its ``shortcut``; ReLU."""

    expansion = 1

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, outputs, 3, stride, act=nn.ReLU)
        self.second = ConvNorm(outputs, outputs, 3)
        self.shortcut = _shortcut(inputs, outputs, stride)
        self.act = nn.ReLU()

    def forward(self, maps: Maps) -> Out:
        """Residual plus shortcut."""
        out: Tensor = self.act(self.second(self.first(maps)) + self.shortcut(maps))
        return out


class Bottleneck(nn.Module):
    """``reduce`` by 1x1, ``filter`` by 3x3, ``expand`` by 1x1; the sum with the input, or its ``shortcut``; ReLU."""

    expansion = 4

    def __init__(self, inputs: int, middle: int, stride: int) -> None:
        super().__init__()
        outputs = middle * self.expansion
        self.reduce = ConvNorm(inputs, middle, act=nn.ReLU)
        self.filter = ConvNorm(middle, middle, 3, stride, act=nn.ReLU)
        self.expand = ConvNorm(middle, outputs)
        self.shortcut = _shortcut(inputs, outputs, stride)
        self.act = nn.ReLU()

    def forward(self, maps: Maps) -> Out:
        """Residual plus shortcut."""
        out: Tensor = self.act(self.expand(self.filter(self.reduce(maps))) + self.shortcut(maps))
        return out


BLOCKS: dict[str, type[Basic] | type[Bottleneck]] = {"basic": Basic, "bottleneck": Bottleneck}
PARTS = {"basic": ("first", "second"), "bottleneck": ("reduce", "filter", "expand")}
"""A block's convolutions, in their order."""


class ResNet(Classifier):
    """The network; see the module for its layers' names.

    Raises:
        ValueError: if the block or the stem is not one of the two.
    """

    def __init__(self, config: ResNetConfig) -> None:
        super().__init__()
        if config.block not in BLOCKS or config.stem not in {"large", "small"}:
            given = f"{config.block!r} and {config.stem!r}"
            raise ValueError(f"block must be 'basic' or 'bottleneck' and stem 'large' or 'small'; got {given}")
        self.pools = config.stem == "large"
        self.preparation = Preparation(config.size, config.size / (config.size + 32) if self.pools else 1.0)
        kernel, stride = (7, 2) if self.pools else (3, 1)
        self.stem = ConvNorm(3, config.width, kernel, stride, act=nn.ReLU)
        block = BLOCKS[config.block]
        stages, channels = [], config.width
        for stage, depth in enumerate(config.depths):
            middle, blocks = config.width * 2**stage, []
            for index in range(depth):
                blocks.append(block(channels, middle, 2 if stage and not index else 1))
                channels = middle * block.expansion
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.classifier = nn.Linear(channels, config.classes)

    def features(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch channels"]:
        """What the classifier reads of prepared pictures: the last maps, averaged over positions."""
        maps: Tensor = self.stem(images)
        if self.pools:
            maps = functional.max_pool2d(maps, 3, 2, 1)
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        return maps.mean((2, 3))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of prepared pictures."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """The identity, or where the shape changes a 1x1 convolution."""
    return ConvNorm(inputs, outputs, stride=stride) if stride != 1 or inputs != outputs else nn.Identity()


def rename(key: str, block: Literal["basic", "bottleneck"] = "bottleneck") -> str:
    """Our name for a parameter of torchvision's ResNet with these blocks.

    There, convolutions and norms are counted: ``conv1`` and ``bn1`` of the network and of each block, and so on; a
    block's shortcut is ``downsample.0`` and ``.1``; the classifier is called ``fc``.

    Raises:
        KeyError: for any other name.
    """
    found = re.fullmatch(r"(layer\d\.\d+\.)?(.+)\.(\w+)", key)
    if found is None:
        raise KeyError(key)
    where, layer, parameter = found.groups("")
    names = {"conv1": "stem.conv", "bn1": "stem.norm", "fc": "classifier"}
    if where:
        names = {"downsample.0": "shortcut.conv", "downsample.1": "shortcut.norm"}
        for number, part in enumerate(PARTS[block], 1):
            names |= {f"conv{number}": f"{part}.conv", f"bn{number}": f"{part}.norm"}
    return f"{where}{names[layer]}.{parameter}"
