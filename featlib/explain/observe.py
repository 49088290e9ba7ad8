"""One forward and one backward through a network, and what was seen at one layer on the way."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

__all__ = ["LayerError", "Observation", "find_layer", "observe"]


class LayerError(ValueError):
    """The layer asked for does not exist or gives no feature maps."""


@dataclass(frozen=True)
class Observation:
    r"""What one layer did with a batch of images.

    Attributes:
        activation: the feature maps :math:`A`.
        gradient: :math:`G = \partial y_t / \partial A` of each image's target logit, or None when not asked for.
        logits: the network's output.
        targets: the class explained in each image.
        head: weights of the linear classifier after the layer, a row for each class, or None when there is none of
            the right width.
    """

    activation: Float[Tensor, "batch channels rows columns"]
    gradient: Float[Tensor, "batch channels rows columns"] | None
    logits: Float[Tensor, "batch classes"]
    targets: Int[Tensor, " batch"]
    head: Float[Tensor, "classes channels"] | None


def observe(
    model: nn.Module,
    images: Float[Tensor, "batch 3 height width"],
    layer: str,
    targets: Int[Tensor, " batch"] | Sequence[int] | int | None = None,
    gradient: bool = True,
) -> Observation:
    """Run the network once and keep a layer's output and, if wanted, the gradient of the target logits there.

    The backward pass stops at the layer: nothing before it is differentiated. The model is left as it was found,
    training flag, hooks and gradients included, also after an error.

    Args:
        model: any network that maps images to logits.
        images: a batch, prepared as the model wants it.
        layer: name of a module, as in ``model.named_modules()``; its output must be (batch, channels, rows, columns).
        targets: class to explain in each image, one for all, or None for the class the network predicts.
        gradient: whether to run the backward pass.

    Returns:
        What the layer did.

    Raises:
        LayerError: for a layer that does not exist (the nearest names are given) or has no spatial output.
        ValueError: for images that are not a batch of floating point pictures, or targets that do not fit.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"images must be a float batch (batch, channels, height, width), got {images.dtype} {tuple(images.shape)}"
        )
    module = find_layer(model, layer)
    with _evaluating(model), _tapped(module) as seen, torch.enable_grad():
        logits = model(images)
        if not seen:
            raise LayerError(f"layer {layer!r} did not run in the forward pass: choose one that does")
        activation = seen[-1]
        if not isinstance(activation, Tensor) or activation.ndim != 4:
            shape = tuple(activation.shape) if isinstance(activation, Tensor) else type(activation).__name__
            raise LayerError(
                f"layer {layer!r} gives {shape}, not (batch, channels, rows, columns): choose an earlier one"
            )
        classes = _targets(logits, targets)
        grad = None
        if gradient:
            chosen = logits.gather(1, classes[:, None]).sum()  # images do not mix, so one backward serves all
            (grad,) = torch.autograd.grad(chosen, activation)
    return Observation(activation.detach(), grad, logits.detach(), classes, _head(model, activation.shape[1]))


def find_layer(model: nn.Module, layer: str) -> nn.Module:
    """The module of that name.

    Raises:
        LayerError: if there is none; the message gives the nearest names.
    """
    modules: dict[str, nn.Module] = dict(model.named_modules())
    if layer not in modules or layer == "":
        names = [name for name in modules if name]
        near = difflib.get_close_matches(layer, names, n=3, cutoff=0.3) or names[-3:]
        raise LayerError(f"no layer {layer!r} in {type(model).__name__}; did you mean {', '.join(map(repr, near))}?")
    return modules[layer]


def _targets(logits: Tensor, targets: Tensor | Sequence[int] | int | None) -> Tensor:
    """Classes to explain, one for each image."""
    batch, classes = logits.shape
    if targets is None:
        return logits.argmax(1)
    chosen = torch.as_tensor(targets, device=logits.device, dtype=torch.long)
    chosen = chosen.expand(batch) if chosen.ndim == 0 else chosen
    if chosen.shape != (batch,):
        raise ValueError(f"{batch} images need {batch} targets (or one for all), got {tuple(chosen.shape)}")
    if batch and not (0 <= int(chosen.min()) and int(chosen.max()) < classes):
        raise ValueError(f"targets must lie in 0..{classes - 1}, got {int(chosen.min())}..{int(chosen.max())}")
    return chosen


def _head(model: nn.Module, channels: int) -> Tensor | None:
    """Weights of the last linear layer, if it reads as many channels as the observed layer has."""
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    return linear[-1].weight.detach() if linear and linear[-1].in_features == channels else None


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Switch the model to evaluation, and every module back to what it was on leaving."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def _tapped(module: nn.Module) -> Iterator[list[Tensor]]:
    """Collect the module's outputs as leaves of a new graph; the hook is gone on leaving."""
    seen: list[Tensor] = []

    def tap(_module: nn.Module, _inputs: object, output: object) -> object:
        if not isinstance(output, Tensor):
            seen.append(output)  # type: ignore[arg-type]  # refused by the caller, with the layer's name
            return output
        leaf = output.detach().requires_grad_()
        seen.append(leaf)
        return leaf.clone()  # a later in-place activation must not change what we saw

    handle = module.register_forward_hook(tap)
    try:
        yield seen
    finally:
        handle.remove()
