"""Every network of the book by name, at a laptop's size and at the paper's."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, overload

import torch
from torch import Tensor, nn

from featlib.data import sources
from featlib.models import (
    caffenet,
    convnet,
    efficientnet_lite,
    minilm,
    mixer,
    mlp2,
    mobilenet,
    resnet,
    squeezenet,
    t5,
    vgg,
    vit,
)
from featlib.models import weights as files
from featlib.models.imagenet import Classifier

__all__ = ["ModelError", "build", "config", "names"]


class ModelError(ValueError):
    """No such network, setting or weights."""


def _read_torch(folder: Path) -> Mapping[str, Tensor]:
    """Parameters from the one ``.pth`` file of a folder."""
    (file,) = folder.glob("*.pth")
    state: Mapping[str, Tensor] = torch.load(file, weights_only=True, map_location="cpu")
    return state


@dataclass(frozen=True)
class _Weights:
    """Published weights: source, our name for each of their parameters, how to read the files, what was learnt from."""

    source: str
    rename: Callable[[str], str] = str
    read: Callable[[Path], Mapping[str, Tensor]] = _read_torch
    learnt: str = "imagenet"


_FAMILIES: tuple[tuple[Callable[[Any], nn.Module], dict[str, Any]], ...] = (
    (efficientnet_lite.EfficientNetLite, dict(efficientnet_lite.CONFIGS)),
    (mobilenet.MobileNetV2, dict(mobilenet.CONFIGS)),
    (vgg.VGG, dict(vgg.CONFIGS)),
    (squeezenet.SqueezeNet, dict(squeezenet.CONFIGS)),
    (resnet.ResNet, dict(resnet.CONFIGS)),
    (convnet.ConvNet, dict(convnet.CONFIGS)),
    (caffenet.CaffeNet, dict(caffenet.CONFIGS)),
    (vit.ReluViT, dict(vit.CONFIGS)),
    (mixer.MLPMixer, dict(mixer.CONFIGS)),
    (mlp2.MLP2, dict(mlp2.CONFIGS)),
    (t5.T5, dict(t5.CONFIGS)),
    (minilm.MiniLM, dict(minilm.CONFIGS)),
)
_NETWORKS = {name: (make, settings) for make, configs in _FAMILIES for name, settings in configs.items()}
_WEIGHTS = {
    "efficientnet-lite0": _Weights("efficientnet-lite0", efficientnet_lite.rename),
    "mobilenet-v2": _Weights("mobilenet-v2", mobilenet.rename),
    "squeezenet": _Weights("squeezenet", read=squeezenet.read),
    "minilm": _Weights("minilm", read=minilm.read, learnt="sentences"),
}

ClassifierName = Literal[
    "efficientnet-lite0", "efficientnet-lite4", "mobilenet-v2", "mobilenet-v2-1.4", "vgg16", "vgg16-small",
    "squeezenet", "squeezenet-small", "resnet50", "resnet50-small", "resnet18", "resnet18-tiny", "convnet-small",
    "caffenet", "caffenet-small",
]  # fmt: skip
"""Networks that prepare their pictures, so that a type checker knows it; the names are those of the families above."""
T5Name = Literal["t5_small", "t5_base", "t5_large", "t5_3b", "t5_11b", "t5_tiny"]
"""Networks that read and write."""
MiniLMName = Literal["minilm"]
"""Networks that read."""


def names() -> tuple[str, ...]:
    """Names that :func:`build` knows."""
    return tuple(_NETWORKS)


def config(name: str, **overrides: Any) -> Any:
    """Settings of a network, a frozen dataclass, with some of them replaced.

    Raises:
        ModelError: for an unknown network or setting (the nearest name is given), or a value that cannot be.
    """
    if name not in _NETWORKS:
        raise ModelError(_unknown("network", name, _NETWORKS))
    settings = _NETWORKS[name][1]
    known = [field.name for field in dataclasses.fields(settings)]
    for given in overrides:
        if given not in known:
            raise ModelError(_unknown(f"setting of {name}", given, known))
    try:
        return dataclasses.replace(settings, **overrides)
    except ValueError as error:
        raise ModelError(f"{name}: {error}") from error


@overload
def build(
    name: ClassifierName, device: str | torch.device = ..., weights: str | Path | None = ..., **overrides: Any
) -> Classifier: ...
@overload
def build(
    name: T5Name, device: str | torch.device = ..., weights: str | Path | None = ..., **overrides: Any
) -> t5.T5: ...
@overload
def build(
    name: MiniLMName, device: str | torch.device = ..., weights: str | Path | None = ..., **overrides: Any
) -> minilm.MiniLM: ...
@overload
def build(
    name: str, device: str | torch.device = ..., weights: str | Path | None = ..., **overrides: Any
) -> nn.Module: ...
def build(
    name: str, device: str | torch.device = "cpu", weights: str | Path | None = None, **overrides: Any
) -> nn.Module:
    """A network, ready to be used: in evaluation mode, on ``device``.

    Example:
        >>> model = build("vgg16", device="meta")
        >>> f"{sum(p.numel() for p in model.parameters()):,}"
        '138,357,544'

    Args:
        name: out of :func:`names`.
        device: ``cpu``, ``cuda``, or ``meta`` to count parameters and shapes without memory.
        weights: ``imagenet`` (``sentences`` for ``minilm``) for the published weights, None for random ones (seed
            torch first), or a file of your own, ``.pth``, ``.pt`` or ``.safetensors``: the network's ``state_dict()``,
            or for a VGG, a ResNet or a MobileNetV2 torchvision's. It is read without running anything in it.
        overrides: settings of the network's config to replace, for example ``classes=10``.

    Returns:
        The network. If it is a :class:`Classifier`, ``preprocess`` prepares its pictures.

    Raises:
        ModelError: for an unknown name or setting, a value of which no network can be made, weights that are not to be
            had for them, or a file that cannot be read or does not fit: the first names that are wrong are listed.
        DataError: if the weights are not on this machine; the message says how to fetch them.
    """
    settings = config(name, **overrides)
    if weights is None:
        with torch.device(device):
            return _make(name, settings).eval()
    if not files.is_file(weights) and (name not in _WEIGHTS or weights != _WEIGHTS[name].learnt):
        there = ", ".join(f"{known.learnt!r} for {network}" for network, known in _WEIGHTS.items())
        raise ModelError(
            f"no {weights!r} weights for {name!r}; there are {there}, or a file {', '.join(files.ENDINGS)}"
        )
    if torch.device(device).type == "meta":
        raise ModelError("weights cannot be loaded on the meta device: leave out weights= there")
    with torch.device("meta"):  # no random initialisation: the seed stays untouched
        model = _make(name, settings)
    if files.is_file(weights):
        _load_file(model, Path(weights).expanduser(), name, settings)
    else:
        _load(model, _WEIGHTS[name])
    return model.to(device).eval()


def _make(name: str, settings: Any) -> nn.Module:
    """The network with these settings.

    Raises:
        ModelError: if there can be none.
    """
    try:
        return _NETWORKS[name][0](settings)
    except ValueError as error:
        raise ModelError(f"{name}: {error}") from error


def _load(model: nn.Module, weights: _Weights) -> None:
    """Put published weights into a model, every parameter and nothing else.

    Raises:
        ModelError: if a shape does not fit, because a setting was overridden.
    """
    state = weights.read(sources.folder(weights.source))
    try:
        model.load_state_dict({weights.rename(key): value for key, value in state.items()}, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise ModelError(f"the weights of {weights.source} do not fit these settings: {first}") from error


def _load_file(model: nn.Module, file: Path, name: str, settings: Any) -> None:
    """Put a reader's weights into a model.

    Raises:
        ModelError: if the file cannot be read, or is of another network.
    """
    try:
        state = files.read(file)
    except (ValueError, OSError) as error:
        raise ModelError(f"no weights for {name}: {error}") from error
    whose, rename = files.published_names(settings)
    try:
        files.load(model, state, rename)
    except ValueError as error:
        fits = f"What fits is its own state_dict(), or {whose}, with the same settings"
        raise ModelError(f"{file} does not fit {name}: {error}. {fits}") from error


def _unknown(kind: str, given: str, known: Iterable[str]) -> str:
    """One line for a name that does not exist, with the nearest that does."""
    known = list(known)
    near = difflib.get_close_matches(given, known, n=1, cutoff=0.0)
    return f"unknown {kind} {given!r}; did you mean {near[0]!r}? Known: {', '.join(known)}"
