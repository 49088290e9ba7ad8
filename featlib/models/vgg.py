"""VGG-16 :cite:p:`simonyan2015vgg`: thirteen 3 x 3 convolutions in five stages, three large linear layers.

Layers by name, for pictures of 224 x 224 at the paper's size:

============================  ===================  ==========================================
name                          shape                values
============================  ===================  ==========================================
``features.convS_K``          64 .. 512 channels   **signed**: before the ReLU
``features.reluS_K``          the same             non-negative
``features.relu5_3``          512 x 14 x 14        non-negative: "conv5_3" of most papers
``features.poolS``            half the side        non-negative
``classifier.fc6`` .. ``8``   4096, 4096, 1000     signed; ``relu6``, ``relu7`` non-negative
============================  ===================  ==========================================

No weights come with the book; :func:`featlib.models.build` takes a file of yours, with these names or with
torchvision's. A class activation map in the sense of CAM needs global pooling, which VGG-16 lacks.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from featlib.models.imagenet import Classifier, Preparation

__all__ = ["CONFIGS", "VGG", "VGGConfig", "rename"]


@dataclass(frozen=True)
class VGGConfig:
    """Channels of the first stage (then doubled, up to 8 times), convolutions by stage, width of fc6 and fc7."""

    width: int = 64
    depths: tuple[int, ...] = (2, 2, 3, 3, 3)
    hidden: int = 4096
    size: int = 224
    dropout: float = 0.5
    classes: int = 1000


CONFIGS = {"vgg16": VGGConfig(), "vgg16-small": VGGConfig(width=8, hidden=256)}
"""The paper's network, and the same shape at a laptop's width."""


class VGG(Classifier):
    """The network; see the module for its layers' names."""

    def __init__(self, config: VGGConfig) -> None:
        super().__init__()
        self.preparation = Preparation(config.size, config.size / (config.size + 32))
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels = 3
        for stage, depth in enumerate(config.depths):
            outputs = config.width * 2 ** min(stage, 3)
            for index in range(depth):
                name = f"{stage + 1}_{index + 1}"
                layers[f"conv{name}"] = nn.Conv2d(channels, outputs, 3, padding=1)
                layers[f"relu{name}"] = nn.ReLU()
                channels = outputs
            layers[f"pool{stage + 1}"] = nn.MaxPool2d(2)
        self.features = nn.Sequential(layers)
        self.pool = nn.AdaptiveAvgPool2d(7)  # the identity at 224; lets other sides through
        self.classifier = nn.Sequential(OrderedDict(_linear_layers(channels * 49, config)))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of prepared pictures."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def _linear_layers(inputs: int, config: VGGConfig) -> list[tuple[str, nn.Module]]:
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


def rename(key: str, depths: tuple[int, ...] = VGGConfig.depths) -> str:
    """Our name for a parameter of torchvision's VGG without normalisation, of the same depths.

    There, layers are counted: ``features.0``, and two further on (after its ReLU) the next convolution, or three (after
    a pooling); ``classifier.0``, ``.3`` and ``.6``, with a ReLU and a dropout between them.

    Raises:
        KeyError: for a layer that has no parameters there.
        ValueError: for a name of another form.
    """
    part, number, kind = key.split(".")
    position, names = 0, {}
    for stage, depth in enumerate(depths, 1):
        for index in range(1, depth + 1):
            names[f"features.{position}"] = f"features.conv{stage}_{index}"
            position += 2
        position += 1
    names |= {f"classifier.{3 * index}": f"classifier.fc{6 + index}" for index in range(3)}
    return f"{names[f'{part}.{number}']}.{kind}"
