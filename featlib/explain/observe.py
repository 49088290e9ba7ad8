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

    def select(self, index: slice | Int[Tensor, " chosen"]) -> Observation:
        """The same for some of the images."""
        gradient = None if self.gradient is None else self.gradient[index]
        return Observation(self.activation[index], gradient, self.logits[index], self.targets[index], self.head)

    @staticmethod
    def join(parts: Sequence[Observation]) -> Observation:
        """Several batches of the same network and layer as one."""
        gradients = [part.gradient for part in parts if part.gradient is not None]
        return Observation(
            torch.cat([part.activation for part in parts]),
            torch.cat(gradients) if gradients else None,
            torch.cat([part.logits for part in parts]),
            torch.cat([part.targets for part in parts]),
            parts[0].head,
        )


def observe(
    model: nn.Module,
    images: Float[Tensor, "batch 3 height width"],
    layer: str,
    targets: Int[Tensor, " batch"] | Sequence[int] | int | None = None,
    gradient: bool = True,
    chunk: int = 16,
) -> Observation:
    """Run the network once and keep a layer's output and, if wanted, the gradient of the target logits there.

    The backward pass stops at the layer: nothing before it is differentiated or kept. The model is left as it was
    found, training flag, hooks and gradients included, also after an error.

    Args:
        model: any network that maps images to logits.
        images: a batch, prepared as the model wants it.
        layer: name of a module, as in ``model.named_modules()``; its output must be (batch, channels, rows, columns).
        targets: class to explain in each image, one for all, or None for the class the network predicts.
        gradient: whether to run the backward pass.
        chunk: images that go through the network together; more is slower on a CPU and faster on a GPU.

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
    wanted = None if targets is None else _one_each(targets, images)
    parts = []
    with _evaluating(model):
        for start in range(0, max(len(images), 1), chunk):
            part = slice(start, start + chunk)
            classes = None if wanted is None else wanted[part]
            parts.append(_observe_together(model, module, images[part], classes, gradient))
    return Observation.join(parts)


def _observe_together(
    model: nn.Module, module: nn.Module, images: Tensor, targets: Tensor | None, gradient: bool
) -> Observation:
    """One forward and one backward for all ``images`` at once."""
    name = type(module).__name__
    with torch.no_grad(), _tapped(module, gradient) as seen:
        logits: Tensor = model(images)  # from the layer on, the tap has switched gradients on
    if not seen:
        raise LayerError(f"the layer ({name}) did not run in the forward pass: choose one that does")
    activation = seen[-1]
    if not isinstance(activation, Tensor) or activation.ndim != 4:
        shape = tuple(activation.shape) if isinstance(activation, Tensor) else type(activation).__name__
        raise LayerError(
            f"the layer ({name}) gives {shape}, not (batch, channels, rows, columns): choose an earlier one"
        )
    classes = logits.argmax(1) if targets is None else targets
    readable = len(classes) > 0 and not classes.is_meta
    if readable and not (0 <= int(classes.min()) and int(classes.max()) < logits.shape[1]):
        raise ValueError(
            f"targets must lie in 0..{logits.shape[1] - 1}, got {int(classes.min())}..{int(classes.max())}"
        )
    grad = None
    if gradient:
        with torch.enable_grad():
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


def _one_each(targets: Tensor | Sequence[int] | int, images: Tensor) -> Tensor:
    """Classes to explain, one for each image."""
    chosen = torch.as_tensor(targets, device=images.device, dtype=torch.long)
    chosen = chosen.expand(len(images)) if chosen.ndim == 0 else chosen
    if chosen.shape != (len(images),):
        raise ValueError(f"{len(images)} images need {len(images)} targets (or one for all), got {tuple(chosen.shape)}")
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
def _tapped(module: nn.Module, gradient: bool) -> Iterator[list[Tensor]]:
    """Collect the module's outputs, as leaves of a graph that begins here; the hook is gone on leaving."""
    seen: list[Tensor] = []

    def tap(_module: nn.Module, _inputs: object, output: object) -> object:
        if not isinstance(output, Tensor):
            seen.append(output)  # type: ignore[arg-type]  # refused by the caller
            return output
        torch.set_grad_enabled(gradient)  # until the forward pass ends and its no_grad block is left
        leaf = output.detach().requires_grad_(gradient)
        seen.append(leaf)
        return leaf.clone()  # a later in-place activation must not change what we saw

    handle = module.register_forward_hook(tap)
    try:
        yield seen
    finally:
        handle.remove()
