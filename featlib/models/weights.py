"""Weights out of a reader's own file, under our names or the published ones. Nothing in the file can run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from featlib.models import efficientnet_lite, mobilenet, resnet, safetensors, vgg

__all__ = ["ENDINGS", "is_file", "load", "published_names", "read"]

ENDINGS = (".pth", ".pt", ".safetensors")
"""Files that can be read."""
COUNTER = "num_batches_tracked"
"""Of batch normalisation: used in training alone, and missing in files older than it."""


def is_file(weights: str | Path) -> bool:
    """Whether this means a file, by its type or its ending, and not the name of published weights."""
    return isinstance(weights, Path) or weights.endswith(ENDINGS)


def read(file: Path) -> dict[str, Tensor]:
    """Parameters by name.

    Raises:
        ValueError: if there is no such file, it ends in none of ``ENDINGS``, is damaged, or holds anything but tensors
            by name.
        OSError: if it cannot be opened.
    """
    if file.suffix not in ENDINGS:
        raise ValueError(f"{file} must end in {', '.join(ENDINGS)}")
    if not file.is_file():
        raise ValueError(f"there is no file {file}")
    if file.suffix == ".safetensors":
        return safetensors.read(file)
    how = "save model.state_dict() alone with torch.save, or as safetensors"
    try:
        state: Any = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # of a dozen kinds, as the damage has it
        raise ValueError(f"{file} holds no plain parameters, or is damaged: {how}") from error
    if not isinstance(state, Mapping):
        raise ValueError(f"{file} holds a {type(state).__name__}, no parameters by name: {how}")
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise ValueError(f"{file} holds more than parameters, {key!r} for one: {how}")
    return dict(state)


def load(model: nn.Module, state: Mapping[str, Tensor], rename: Callable[[str], str] = str) -> None:
    """Put parameters into a model, each of them and nothing else, in the model's type of numbers.

    Args:
        model: may lie on the meta device.
        state: parameters, under the model's names or published ones.
        rename: our name for a published one; other names it returns as they are, or fails.

    Raises:
        ValueError: if the names or shapes are not the model's; the first of each kind are listed.
    """
    wanted = model.state_dict()
    names = {key: key for key in state}
    if not wanted.keys() & names.keys():
        names = {key: _renamed(key, rename) for key in state}
    found = {names[key]: value for key, value in state.items()}
    wrong = [
        _listed("missing", [key for key in wanted if key not in found and not key.endswith(COUNTER)]),
        _listed("unexpected", [key for key, ours in names.items() if ours not in wanted]),
        _listed("of another shape", [
            f"{key} ({_sides(state[key])} instead of {_sides(wanted[ours])})"
            for key, ours in names.items() if ours in wanted and state[key].shape != wanted[ours].shape
        ]),
    ]  # fmt: skip
    if any(wrong) or len(found) < len(state):
        raise ValueError("; ".join(filter(None, wrong)) or "it has parameters twice, under two names")
    model.load_state_dict({key: value.to(wanted[key].dtype) for key, value in found.items()}, assign=True)


def published_names(settings: Any) -> tuple[str, Callable[[str], str]]:
    """Whose parameters the network of these settings also takes, and our name for each of theirs."""
    match settings:
        case vgg.VGGConfig(depths=depths):
            return "torchvision's", partial(vgg.rename, depths=depths)
        case resnet.ResNetConfig(block=block):
            return "torchvision's", partial(resnet.rename, block=block)
        case mobilenet.MobileNetV2Config():
            return "torchvision's", mobilenet.rename
        case efficientnet_lite.EfficientNetLiteConfig():
            return "the published one", efficientnet_lite.rename
    return "the same as safetensors", str


def _renamed(key: str, rename: Callable[[str], str]) -> str:
    """Our name; a name that the published weights do not have stays as it is."""
    try:
        return rename(key)
    except (ValueError, LookupError):
        return key


def _listed(what: str, keys: list[str]) -> str:
    """The first two of some names, and how many more there are."""
    if not keys:
        return ""
    more = f" and {len(keys) - 2} more" if len(keys) > 2 else ""
    return f"{what} {', '.join(keys[:2])}{more}"


def _sides(tensor: Tensor) -> str:
    """Shape, as one writes it."""
    return " x ".join(map(str, tensor.shape)) or "a number"
