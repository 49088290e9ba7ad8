"""CaffeNet, the AlexNet :cite:p:`krizhevsky2012imagenet` of the Caffe framework: it pools before it normalises.

Layers by name, for pictures of 227 x 227:

============================  ===================  ==========================================
name                          shape                values
============================  ===================  ==========================================
``features.conv1``            96 x 55 x 55         **signed**: before the ReLU
``features.conv2``            256 x 27 x 27        signed; two groups
``features.conv3``            384 x 13 x 13        signed
``features.conv4``            384 x 13 x 13        signed; two groups
``features.conv5``            256 x 13 x 13        signed; two groups
``features.reluK``            the same             non-negative
``features.pool5``            256 x 6 x 6          non-negative
``classifier.fc6`` .. ``8``   4096, 4096, 1000     signed; ``relu6``, ``relu7`` non-negative
============================  ===================  ==========================================

No weights come with the book: it is here to be counted.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from featlib.models.imagenet import Classifier, Preparation
from featlib.models.layers import check_sizes

__all__ = ["CONFIGS", "CaffeNet", "CaffeNetConfig"]


@dataclass(frozen=True)
class CaffeNetConfig:
    """Channels of conv1 (the others are multiples), width of fc6 and fc7."""

    width: int = 96
    hidden: int = 4096
    size: int = 227
    dropout: float = 0.5
    classes: int = 1000


CONFIGS = {"caffenet": CaffeNetConfig(), "caffenet-small": CaffeNetConfig(width=12, hidden=128)}
"""The published network, and the same shape at an eighth of its width."""


class CaffeNet(Classifier):
    """The network; see the module for its layers' names."""

    def __init__(self, config: CaffeNetConfig) -> None:
        super().__init__()
        check_sizes(config)
        if config.width % 12:
            raise ValueError(
                f"width must be a multiple of 12, so that all layers have whole groups; got {config.width}"
            )
        # means of blue, green and red in the units of [0, 1]; the network takes steps of 1/255
        self.preparation = Preparation(
            config.size,
            config.size / 256,
            mean=(104 / 255, 117 / 255, 123 / 255),
            std=(1 / 255, 1 / 255, 1 / 255),
        )
        self.features = nn.Sequential(OrderedDict(_convolutions(config.width)))
        self.pool = nn.AdaptiveAvgPool2d(6)  # the identity at 227; lets other sides through
        self.classifier = nn.Sequential(OrderedDict(_linear_layers(36 * _channels(config.width)[-1], config)))

    def normalise(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """From red, green, blue in [0, 1] to blue, green, red in steps of 1/255, less the mean."""
        return super().normalise(images.flip(1))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of prepared pictures."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def _channels(width: int) -> tuple[int, ...]:
    """96, 256, 384, 384, 256 at the published width."""
    return width, 8 * width // 3, 4 * width, 4 * width, 8 * width // 3


def _convolutions(width: int) -> list[tuple[str, nn.Module]]:
    """conv1 to pool5."""
    layers: list[tuple[str, nn.Module]] = []
    inputs = 3
    # kernel, stride, padding, groups; whether pooled, whether normalised
    rows = [(11, 4, 0, 1, 1, 1), (5, 1, 2, 2, 1, 1), (3, 1, 1, 1, 0, 0), (3, 1, 1, 2, 0, 0), (3, 1, 1, 2, 1, 0)]
    for number, (outputs, row) in enumerate(zip(_channels(width), rows, strict=True), 1):
        kernel, stride, padding, groups, pooled, normalised = row
        layers += [
            (f"conv{number}", nn.Conv2d(inputs, outputs, kernel, stride, padding, groups=groups)),
            (f"relu{number}", nn.ReLU()),
        ]
        layers += [(f"pool{number}", nn.MaxPool2d(3, 2, ceil_mode=True))] if pooled else []
        layers += [(f"norm{number}", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75))] if normalised else []
        inputs = outputs
    return layers


def _linear_layers(inputs: int, config: CaffeNetConfig) -> list[tuple[str, nn.Module]]:
    """fc6 to fc8 with what lies between them."""
    return [
        ("fc6", nn.Linear(inputs, config.hidden)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(config.dropout)),
        ("fc7", nn.Linear(config.hidden, config.hidden)),
        ("relu7", nn.ReLU()),
        ("drop7", nn.Dropout(config.dropout)),
        ("fc8", nn.Linear(config.hidden, config.classes)),
    ]
