"""One forward and one backward through a network, and what was seen at some layers on the way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from featlib.explain.checks import check_images, one_each
from featlib.explain.hooks import LayerError, evaluating, find_layer, tapped

__all__ = ["LayerError", "Network", "Observation", "Reshape", "find_layer", "observe", "observe_layers", "tokens"]

Reshape = Callable[[Tensor], Tensor]
"""From a layer's output to (batch, channels, rows, columns), by picking and reordering numbers only."""


@dataclass(frozen=True)
class Network:
    """What a method needs to run the network again on the same images, with something covered or switched off.

    Attributes:
        model: the network itself, not a copy.
        images: as they were given.
        layer: name of the observed layer.
        call: which of the layer's calls in one forward pass was observed (the last).
        reshape: how its output becomes feature maps, or None.
    """

    model: nn.Module
    images: Float[Tensor, "batch colours height width"]
    layer: str
    call: int = 1
    reshape: Reshape | None = None


@dataclass(frozen=True)
class Observation:
    r"""What one layer did with a batch of images.

    Attributes:
        activation: the feature maps :math:`A`.
        gradient: :math:`G = \partial y_t / \partial A` of each image's target logit, or None when not asked for.
        logits: the network's output.
        targets: the class explained in each image.
        head: weights of the linear classifier after the layer, a row for each class, or None when there is none of
            the right size.
        network: the way back to the network, for the methods that run it again.
    """

    activation: Float[Tensor, "batch channels rows columns"]
    gradient: Float[Tensor, "batch channels rows columns"] | None
    logits: Float[Tensor, "batch classes"]
    targets: Int[Tensor, " batch"]
    head: Float[Tensor, "classes channels"] | None
    network: Network | None = None

    def select(self, index: slice | Int[Tensor, " chosen"]) -> Observation:
        """The same for some of the images."""
        gradient = None if self.gradient is None else self.gradient[index]
        network = None if self.network is None else replace(self.network, images=self.network.images[index])
        return Observation(
            self.activation[index], gradient, self.logits[index], self.targets[index], self.head, network
        )

    @staticmethod
    def join(parts: Sequence[Observation]) -> Observation:
        """Several batches of the same network and layer as one."""
        gradients = [part.gradient for part in parts if part.gradient is not None]
        networks = [part.network for part in parts if part.network is not None]
        network = None
        if networks:
            network = replace(networks[0], images=torch.cat([network.images for network in networks]))
        return Observation(
            torch.cat([part.activation for part in parts]),
            torch.cat(gradients) if gradients else None,
            torch.cat([part.logits for part in parts]),
            torch.cat([part.targets for part in parts]),
            parts[0].head,
            network,
        )


def tokens(rows: int, columns: int, skip: int = 1) -> Reshape:
    """For a vision transformer: its tokens as feature maps, ``reshape=tokens(14, 14)``.

    Args:
        rows: patches from top to bottom.
        columns: patches from left to right.
        skip: tokens before the patches (class token, registers).

    Returns:
        A function for ``reshape`` that expects (batch, skip + rows * columns, channels).
    """

    def reshape(output: Tensor) -> Tensor:
        if output.ndim != 3 or output.shape[1] != skip + rows * columns:
            raise LayerError(
                f"expected (batch, {skip} + {rows} x {columns} tokens, channels), the layer gives "
                f"{tuple(output.shape)}: change rows, columns or skip"
            )
        return output[:, skip:].mT.reshape(len(output), -1, rows, columns)

    return reshape


def observe(
    model: nn.Module,
    images: Float[Tensor, "batch colours height width"],
    layer: str,
    targets: Int[Tensor, " batch"] | Sequence[int] | int | None = None,
    gradient: bool = True,
    chunk: int = 4,
    reshape: Reshape | None = None,
) -> Observation:
    """Run the network once and keep a layer's output and, if wanted, the gradient of the target logits there.

    The backward pass stops at the layer: nothing before it is differentiated or kept. The model is left as it was
    found, training flag, hooks and gradients included, also after an error. Works under ``torch.no_grad()`` too.

    Args:
        model: any network that maps images to logits.
        images: a batch, prepared as the model wants it.
        layer: name of a module, as in ``model.named_modules()``; its output must be (batch, channels, rows, columns).
        targets: class to explain in each image, one for all, or None for the class the network predicts.
        gradient: whether to run the backward pass.
        chunk: images that go through the network together: few are fastest on a CPU, many on a GPU.
        reshape: turns another output into feature maps, such as ``tokens(14, 14)`` for a transformer.

    Returns:
        What the layer did.

    Raises:
        LayerError: for a layer that does not exist (the nearest names are given) or has no spatial output.
        ValueError: for images that are no batch of pictures in the network's range, or targets that do not fit.
    """  # raised by what it calls
    return observe_layers(model, images, [layer], targets, gradient, chunk, reshape)[layer]


def observe_layers(
    model: nn.Module,
    images: Float[Tensor, "batch colours height width"],
    layers: Sequence[str],
    targets: Int[Tensor, " batch"] | Sequence[int] | int | None = None,
    gradient: bool = True,
    chunk: int = 4,
    reshape: Reshape | None = None,
) -> dict[str, Observation]:
    """Several layers from the same forward and backward; arguments and errors as for :func:`observe`.

    Raises:
        LayerError: if no layer is named.
    """
    if not layers:
        raise LayerError("no layer named: give at least one")
    modules = {layer: find_layer(model, layer) for layer in layers}
    check_images(model, images)
    wanted = None if targets is None else one_each(targets, images)
    parts = []
    with evaluating(model):
        for start in range(0, max(len(images), 1), chunk):
            part = slice(start, start + chunk)
            classes = None if wanted is None else wanted[part]
            parts.append(_observe_together(model, modules, images[part], classes, gradient, reshape))
    return {layer: Observation.join([part[layer] for part in parts]) for layer in layers}


def _observe_together(
    model: nn.Module,
    modules: dict[str, nn.Module],
    images: Tensor,
    targets: Tensor | None,
    gradient: bool,
    reshape: Reshape | None,
) -> dict[str, Observation]:
    """One forward and one backward for all ``images`` at once."""
    with torch.no_grad(), tapped(modules, gradient) as seen:
        logits: Tensor = model(images)  # from the first layer on, the tap has switched gradients on
    activations = {name: _as_maps(name, outputs, reshape) for name, outputs in seen.items()}
    classes = logits.argmax(1) if targets is None else targets
    readable = len(classes) > 0 and not classes.is_meta
    if readable and not (0 <= int(classes.min()) and int(classes.max()) < logits.shape[1]):
        raise ValueError(
            f"targets must lie in 0..{logits.shape[1] - 1}, got {int(classes.min())}..{int(classes.max())}"
        )
    gradients = _gradients(logits, classes, {name: outputs[-1] for name, outputs in seen.items()}) if gradient else {}
    if reshape is not None:
        gradients = {name: reshape(grad) for name, grad in gradients.items()}
    return {
        name: Observation(
            activation,
            gradients.get(name),
            logits.detach(),
            classes,
            _head(model, logits.shape[1], activation.shape[1]),
            Network(model, images, name, len(seen[name]), reshape),
        )
        for name, activation in activations.items()
    }


def _gradients(logits: Tensor, classes: Tensor, outputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradient of each image's target logit at each output."""
    with torch.enable_grad():
        chosen = logits.gather(1, classes[:, None]).sum()  # images do not mix, so one backward serves all
    found: dict[str, Tensor] = {}
    if chosen.requires_grad:
        found = dict(zip(outputs, torch.autograd.grad(chosen, list(outputs.values()), allow_unused=True), strict=True))
    missing = [name for name in outputs if found.get(name) is None]
    if missing:
        raise LayerError(
            f"no gradient flows from the logits back to layer {missing[0]!r}: choose another layer, "
            "or a method without gradient, such as 'eigen-cam'"
        )
    return found


def _as_maps(name: str, outputs: list[Any], reshape: Reshape | None) -> Tensor:
    """The last output of a layer as feature maps."""
    if not outputs:
        raise LayerError(f"layer {name!r} did not run in the forward pass: choose one that does")
    last = outputs[-1]
    maps = reshape(last.detach()) if reshape is not None and isinstance(last, Tensor) else last
    if not isinstance(maps, Tensor) or maps.ndim != 4:
        shape = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
        hint = "for tokens pass reshape=tokens(rows, columns)" if isinstance(maps, Tensor) and maps.ndim == 3 else ""
        raise LayerError(
            f"layer {name!r} gives {shape}, not (batch, channels, rows, columns): "
            f"choose an earlier one{hint and ', or '}{hint}"
        )
    return maps.detach()


def _head(model: nn.Module, classes: int, channels: int) -> Tensor | None:
    """Weights of the last linear layer or 1 x 1 convolution, if it turns this layer's channels into the classes."""
    last = None
    for module in model.modules():
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1)):
            last = module.weight.detach().flatten(1)
    return last if last is not None and last.shape == (classes, channels) else None
