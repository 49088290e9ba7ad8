"""MobileNetV2 :cite:p:`sandler2018mobilenetv2`: inverted residuals with linear bottlenecks.

Layers by name, for pictures of 224 x 224 and width 1:

============================  ===================  ==========================================
name                          shape                values
============================  ===================  ==========================================
``stem``                      32 x 112 x 112       in [0, 6] (ReLU6)
``blocks.0`` .. ``.16``       16 .. 320, 112 .. 7  **signed**: linear bottlenecks
``blocks.K.expand``           wide                 in [0, 6]; absent in ``blocks.0``
``blocks.K.depthwise``        wide                 in [0, 6]
``head``                      1280 x 7 x 7         in [0, 6]
``classifier``                1000                 logits, from the mean over positions of ``head``
============================  ===================  ==========================================
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from featlib.models.imagenet import Classifier, Preparation
from featlib.models.layers import ConvNorm, InvertedResidual, divisible

__all__ = ["CONFIGS", "MobileNetV2", "MobileNetV2Config", "rename"]


@dataclass(frozen=True)
class MobileNetV2Config:
    """Multiplier of all widths, and the side of the picture."""

    width: float = 1.0
    size: int = 224
    dropout: float = 0.2
    classes: int = 1000


CONFIGS = {"mobilenet-v2": MobileNetV2Config(), "mobilenet-v2-1.4": MobileNetV2Config(width=1.4)}
"""Width 1 is the size for a laptop, 1.4 the paper's largest."""

# blocks, stride of the first, expansion, channels at width 1
STAGES = (
    (1, 1, 1, 16),
    (2, 2, 6, 24),
    (3, 2, 6, 32),
    (4, 2, 6, 64),
    (3, 1, 6, 96),
    (3, 2, 6, 160),
    (1, 1, 6, 320),
)
STEM, HEAD = 32, 1280


class MobileNetV2(Classifier):
    """The network; see the module for its layers' names."""

    def __init__(self, config: MobileNetV2Config) -> None:
        super().__init__()
        self.preparation = Preparation(config.size, config.size / (config.size + 32))
        channels = divisible(STEM * config.width)
        self.stem = ConvNorm(3, channels, 3, 2, act=nn.ReLU6)
        blocks = []
        for repeats, first_stride, expansion, base in STAGES:
            outputs = divisible(base * config.width)
            for index in range(repeats):
                blocks.append(InvertedResidual(channels, outputs, 3, 1 if index else first_stride, expansion))
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        last = divisible(HEAD * max(1.0, config.width))
        self.head = ConvNorm(channels, last, act=nn.ReLU6)
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Linear(last, config.classes)

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of prepared pictures."""
        maps: Tensor = self.head(self.blocks(self.stem(images)))
        logits: Tensor = self.classifier(self.dropout(maps.mean((2, 3))))
        return logits


def rename(key: str) -> str:
    """Our name for a parameter of the published weights."""
    part, *rest = key.split(".")
    if part == "classifier":
        return f"classifier.{rest[-1]}"
    index = int(rest[0])
    if index in {0, 18}:
        return f"{'head' if index else 'stem'}.{_conv_or_norm(rest[1])}.{rest[2]}"
    stage, *inner = rest[2:]  # after "conv": 0 and 1 hold convolution and norm, the last two lie flat
    names = ["depthwise", "project"] if index == 1 else ["expand", "depthwise", "project"]
    if len(inner) == 2:
        return f"blocks.{index - 1}.{names[int(stage)]}.{_conv_or_norm(inner[0])}.{inner[1]}"
    return f"blocks.{index - 1}.project.{'conv' if int(stage) == len(names) - 1 else 'norm'}.{inner[0]}"


def _conv_or_norm(position: str) -> str:
    """The name of the first or second module in a pair."""
    return ("conv", "norm")[int(position)]
