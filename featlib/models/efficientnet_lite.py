"""EfficientNet-Lite: MobileNetV2's blocks at EfficientNet's sizes, without squeeze-and-excitation.

Layers by name, for pictures of 224 x 224 and Lite0:

============================  ===================  ==========================================
name                          shape                values
============================  ===================  ==========================================
``stem``                      32 x 112 x 112       in [0, 6] (ReLU6)
``blocks.0`` .. ``.15``       16 .. 320, 112 .. 7  **signed**: linear bottlenecks
``blocks.4``                  40 x 28 x 28         signed
``blocks.10``                 112 x 14 x 14        signed
``blocks.15``                 320 x 7 x 7          signed
``blocks.K.depthwise``        wide                 in [0, 6]
``head``                      1280 x 7 x 7         in [0, 6]
``classifier``                1000                 logits, from the mean over positions of ``head``
============================  ===================  ==========================================

Departs from the reference: no stochastic depth while training.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import partial

from jaxtyping import Float
from torch import Tensor, nn

from featlib.models.imagenet import Classifier, Preparation
from featlib.models.layers import ConvNorm, InvertedResidual, divisible

__all__ = ["CONFIGS", "EfficientNetLite", "EfficientNetLiteConfig", "rename"]


@dataclass(frozen=True)
class EfficientNetLiteConfig:
    """Multipliers of width (channels) and depth (blocks) over Lite0, and the side of the picture."""

    width: float = 1.0
    depth: float = 1.0
    size: int = 224
    dropout: float = 0.2
    classes: int = 1000


CONFIGS = {
    "efficientnet-lite0": EfficientNetLiteConfig(),
    "efficientnet-lite4": EfficientNetLiteConfig(width=1.4, depth=1.8, size=300, dropout=0.3),
}
"""Lite0 is the size for a laptop, Lite4 the largest of the family."""

# blocks, kernel, stride of the first, expansion, channels: at width and depth 1
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
STEM, HEAD = 32, 1280  # not scaled in the Lite family


class EfficientNetLite(Classifier):
    """The network; see the module for its layers' names."""

    def __init__(self, config: EfficientNetLiteConfig) -> None:
        super().__init__()
        self.preparation = Preparation(config.size, config.size / (config.size + 32), "bicubic", *_colours())
        norm = partial(nn.BatchNorm2d, eps=1e-3, momentum=0.01)
        self.stem = ConvNorm(3, STEM, 3, 2, same=True, norm=norm, act=nn.ReLU6)
        blocks, channels = [], STEM
        for stage, (repeats, kernel, first_stride, expansion, base) in enumerate(STAGES):
            ends = stage in {0, len(STAGES) - 1}  # first and last stage keep their depth
            outputs = divisible(base * config.width)
            for index in range(repeats if ends else math.ceil(repeats * config.depth)):
                stride = 1 if index else first_stride
                blocks.append(InvertedResidual(channels, outputs, kernel, stride, expansion, same=True, norm=norm))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = ConvNorm(channels, HEAD, same=True, norm=norm, act=nn.ReLU6)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(HEAD, config.classes)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of prepared pictures."""
        maps: Tensor = self.head(self.blocks(self.stem(images)))
        logits: Tensor = self.classifier(self.dropout(maps.mean((2, 3))))
        return logits


def _colours() -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """(255 x - 127) / 128 for x in [0, 1], as a mean and a deviation."""
    mean, std = 127 / 255, 128 / 255
    return (mean, mean, mean), (std, std, std)


def rename(key: str) -> str:
    """Our name for a parameter of the published weights."""
    parts = {
        r"^_conv_stem": "stem.conv",
        r"^_bn0": "stem.norm",
        r"^_conv_head": "head.conv",
        r"^_bn1": "head.norm",
        r"^_fc": "classifier",
        r"^_blocks": "blocks",
        r"_expand_conv": "expand.conv",
        r"_bn0": "expand.norm",
        r"_depthwise_conv": "depthwise.conv",
        r"_bn1": "depthwise.norm",
        r"_project_conv": "project.conv",
        r"_bn2": "project.norm",
    }
    for theirs, ours in parts.items():
        key = re.sub(theirs, ours, key)
    return key
