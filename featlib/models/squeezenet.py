"""SqueezeNet 1.1 :cite:p:`iandola2016squeezenet`: fire modules, plain ReLU, no normalisation, a 1 x 1 classifier.

Layers by name, for pictures of 227 x 227:

============================  ===================  ==========================================
name                          shape                values
============================  ===================  ==========================================
``stem``                      64 x 113 x 113       non-negative (ReLU)
``fire2`` ``fire3``           128 x 56 x 56        non-negative: two expansions side by side
``fire4`` ``fire5``           256 x 28 x 28        non-negative
``fire6`` ``fire7``           384 x 14 x 14        non-negative
``fire8`` ``fire9``           512 x 14 x 14        non-negative; ``fire9`` feeds the classifier
``fireK.squeeze``             16 .. 64 channels    non-negative
``classifier``                1000 x 14 x 14       **signed**; ReLU, then the mean over positions is the logit
============================  ===================  ==========================================

As the classifier's ReLU comes before the mean, logits are never negative, and CAM at ``fire9`` is Grad-CAM only where
that ReLU is open. The weights take blue, green, red from 0 to 255, less a mean: :meth:`SqueezeNet.normalise` turns
the colours around. Pooling rounds the side up, as the framework did in which the network was trained.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from featlib.models.imagenet import Classifier, Preparation

__all__ = ["CONFIGS", "Fire", "SqueezeNet", "SqueezeNetConfig", "read"]


@dataclass(frozen=True)
class SqueezeNetConfig:
    """Multiplier of all widths, and the side of the picture."""

    width: float = 1.0
    size: int = 227
    dropout: float = 0.5
    classes: int = 1000


CONFIGS = {"squeezenet": SqueezeNetConfig(), "squeezenet-small": SqueezeNetConfig(width=0.25)}
"""The published network, and the same shape at a quarter of the width."""

STEM = 64
SQUEEZE = {2: 16, 3: 16, 4: 32, 5: 32, 6: 48, 7: 48, 8: 64, 9: 64}
"""Channels of each fire module's squeeze layer; each of its two expansions has four times as many."""
POOLED = (2, 4, 6)
"""Fire modules with a pooling layer before them."""


class Fire(nn.Module):
    """``squeeze`` by 1x1; expand by 1x1 (``narrow``) and by 3x3 (``wide``), side by side; a ReLU after each."""

    def __init__(self, inputs: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = _convolution(inputs, squeezed)
        self.narrow = _convolution(squeezed, 4 * squeezed)
        self.wide = _convolution(squeezed, 4 * squeezed, 3, padding=1)

    def forward(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out height width"]:
        """Squeeze, expand, put side by side."""
        squeezed = self.squeeze(maps)
        return torch.cat([self.narrow(squeezed), self.wide(squeezed)], 1)


class SqueezeNet(Classifier):
    """The network; see the module for its layers' names."""

    def __init__(self, config: SqueezeNetConfig) -> None:
        super().__init__()
        # means of blue, green and red in the units of [0, 1]; the network takes steps of 1/255
        self.preparation = Preparation(
            config.size,
            config.size / (config.size + 29),
            mean=(103.939 / 255, 116.779 / 255, 123.68 / 255),
            std=(1 / 255, 1 / 255, 1 / 255),
        )
        channels = round(STEM * config.width)
        self.stem = _convolution(3, channels, 3, stride=2)
        for number, squeezed in SQUEEZE.items():
            width = round(squeezed * config.width)
            self.add_module(f"fire{number}", Fire(channels, width))
            channels = 8 * width
        self.dropout = nn.Dropout(config.dropout)
        self.classifier = nn.Conv2d(channels, config.classes, 1)

    def normalise(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 height width"]:
        """From red, green, blue in [0, 1] to blue, green, red in steps of 1/255, less the mean."""
        return super().normalise(images.flip(1))

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of prepared pictures."""
        maps: Tensor = self.stem(images)
        for number in SQUEEZE:
            if number in POOLED:
                maps = functional.max_pool2d(maps, 3, 2, ceil_mode=True)
            maps = self.get_submodule(f"fire{number}")(maps)
        return functional.relu(self.classifier(self.dropout(maps))).mean((2, 3))


def read(folder: Path) -> dict[str, Tensor]:
    """Published parameters under our names. Nothing but numpy arrays can come out of the file.

    Raises:
        pickle.UnpicklingError: if the file asks for anything else.
    """
    (file,) = folder.glob("*.pkl")
    state: dict[str, Tensor] = {}
    for key, (kernel, bias) in _Arrays(io.BytesIO(file.read_bytes()), encoding="latin1").load().items():
        name = _rename(key)
        state[f"{name}.weight"] = torch.from_numpy(np.array(kernel, np.float32)).permute(3, 2, 0, 1).contiguous()
        state[f"{name}.bias"] = torch.from_numpy(np.array(bias, np.float32))
    return state


class _Arrays(pickle.Unpickler):
    """Reads dictionaries of numpy arrays and refuses every other class or function."""

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Only what an array is rebuilt from."""
        allowed = {
            ("multiarray", "_reconstruct"): np.ndarray.__reduce__(np.empty(0))[0],
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        key = (module_name.rpartition(".")[2], global_name)
        if not module_name.startswith("numpy") or key not in allowed:
            raise pickle.UnpicklingError(f"the weights file asks for {module_name}.{global_name}: refused")
        return allowed[key]


def _rename(key: str) -> str:
    """Our name for a layer of the published weights."""
    if key in {"conv1", "conv10"}:
        return "stem.conv" if key == "conv1" else "classifier"
    fire, part = key.split("/")
    return f"{fire}.{ {'squeeze1x1': 'squeeze', 'expand1x1': 'narrow', 'expand3x3': 'wide'}[part] }.conv"


def _convolution(inputs: int, outputs: int, kernel: int = 1, stride: int = 1, padding: int = 0) -> nn.Sequential:
    """Convolution ``conv`` and ReLU ``act``."""
    layers = [("conv", nn.Conv2d(inputs, outputs, kernel, stride, padding)), ("act", nn.ReLU())]
    return nn.Sequential(OrderedDict(layers))
