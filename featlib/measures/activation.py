r"""How many units fire? Density of activation maps, counted while the network runs, with no activation kept.

A unit is *active* on a token iff its value is strictly positive. A layer's density is the mean share of active units,

.. math:: p = \mathbb{E}_{\text{tokens}}\, \frac{|\{i : a_i > 0\}|}{d}

with :math:`a \in \mathbb{R}^d` the activation map of one token, *after* the nonlinearity. :cite:p:`li2023lazy` After a
ReLU that is :math:`\lVert a \rVert_0 / d`. A GELU has no exact zeros: there the density is the share of positive
pre-activations, and ``zeros`` and ``near_zeros`` say how little of it could be skipped.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeAlias

from jaxtyping import Bool
from torch import Tensor, nn

from featlib.measures.firing import LayerDensity

__all__ = ["ACTIVATIONS", "ActivationDensity", "Choice", "activation_density"]

ACTIVATIONS: tuple[type[nn.Module], ...] = (nn.ReLU, nn.ReLU6, nn.GELU)
"""Modules that are watched unless others are asked for."""

Choice: TypeAlias = str | type[nn.Module] | Iterable[str | type[nn.Module]] | Callable[[str, nn.Module], bool]
"""Which modules: names, classes, or a function of name and module."""

Mask: TypeAlias = Bool[Tensor, "*tokens"] | Mapping[str, Bool[Tensor, "*tokens"]]


class ActivationDensity:
    """What :func:`activation_density` has counted so far, layer by layer; it stays readable after the block."""

    def __init__(self, layers: Mapping[str, LayerDensity]) -> None:
        self._layers = layers
        self._mask: Mask | None = None

    @property
    def layers(self) -> dict[str, LayerDensity]:
        """The layers that have seen a token, in the order of the network's modules.

        Raises:
            ValueError: if there is none yet.
        """
        seen = {name: layer for name, layer in self._layers.items() if layer.tokens}
        if not seen:
            raise ValueError(f"none of {_few(self._layers)} has seen a token: run the model inside the with block")
        return seen

    @property
    def unseen(self) -> list[str]:
        """Modules that are watched and were never called, or only on tokens that were left out."""
        return [name for name, layer in self._layers.items() if not layer.tokens]

    @property
    def mean(self) -> float:
        """Mean density over the layers seen, each counted once whatever its width."""
        layers = self.layers
        return sum(layer.density for layer in layers.values()) / len(layers)

    @contextmanager
    def only(self, mask: Mask) -> Iterator[None]:
        """In the calls within this block, count only the tokens where the mask is true: leave out padding.

        Args:
            mask: in the shape of a layer's output without its unit axis, the same for all layers, or one for each
                beginning of a name, such as ``{"encoder": ..., "decoder": ...}``; the longest that fits counts.
        """
        before, self._mask = self._mask, mask
        try:
            yield
        finally:
            self._mask = before

    def _count(self, name: str, output: Any) -> None:
        """Take one output of one layer into account."""
        if not isinstance(output, Tensor):
            raise TypeError(f"{name!r} gives {type(output).__name__}, not a tensor: watch a module that gives one")
        mask = self._mask
        if isinstance(mask, Mapping):
            fitting = [start for start in mask if name == start or name.startswith(f"{start}.")]
            if not fitting:
                raise ValueError(f"no mask for {name!r}; there are masks for {_few(mask)}")
            mask = mask[max(fitting, key=len)]
        self._layers[name].add(output, mask)


@contextmanager
def activation_density(
    model: nn.Module, modules: Choice = ACTIVATIONS, threshold: float = 0.0, axis: int | None = None
) -> Iterator[ActivationDensity]:
    """Count which units fire in every forward pass of the block, in training as well as in evaluation.

    A module that is called several times, in one pass or in many, is counted at each call; with recomputed activations
    (checkpointing) also at the second. Counts are whole numbers, so they do not depend on how the data is cut into
    batches. Leaving the block removes every hook, also after an exception, and nothing of the model has changed.

    Example:
        >>> import torch
        >>> model = nn.Sequential(nn.Linear(2, 4), nn.ReLU())
        >>> _ = model[0].weight.data.copy_(torch.tensor([[1.0, 0], [-1, 0], [0, 1], [0, -1]]))
        >>> _ = model[0].bias.data.zero_()
        >>> with activation_density(model) as density:
        ...     _ = model(torch.tensor([[1.0, 2.0], [3.0, 0.0]]))
        >>> density.layers["1"].density, density.layers["1"].frequencies
        (0.375, tensor([1.0000, 0.0000, 0.5000, 0.0000], dtype=torch.float64))

    Args:
        model: any network. A nonlinearity that is a function and no module cannot be seen: name a module that gives its
            output, or use :class:`featlib.measures.firing.LayerDensity` by hand.
        modules: which to watch.
        threshold: values up to this size count as near zero; the density is not touched by it.
        axis: of the units in the outputs. Without it, 1 for four axes (maps: every position is a token), else the last.

    Yields:
        The counts, which grow with each call.

    Raises:
        ValueError: for a name that does not exist (the nearest are given), or nothing to watch; at a call, for values
            that are NaN, a changing number of units, or a mask that does not fit.
        TypeError: at a call, if a module gives no tensor or a mask is not boolean.
    """
    chosen = _chosen(model, modules)
    layers = {name: LayerDensity(threshold, _ceiling(module), axis, name) for name, module in chosen.items()}
    density = ActivationDensity(layers)

    def watch(name: str) -> Callable[[nn.Module, Any, Any], None]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            density._count(name, output)

        return hook

    handles = [module.register_forward_hook(watch(name)) for name, module in chosen.items()]
    try:
        yield density
    finally:
        for handle in handles:
            handle.remove()


def _chosen(model: nn.Module, modules: Choice) -> dict[str, nn.Module]:
    """Modules to watch by name; one that has several names only once."""
    known = dict(model.named_modules(remove_duplicate=False))
    if callable(modules) and not isinstance(modules, type):
        wanted = [name for name, module in known.items() if modules(name, module)]
    else:
        asked = [modules] if isinstance(modules, str | type) else list(modules)
        names = [one for one in asked if isinstance(one, str)]
        kinds = tuple(one for one in asked if isinstance(one, type))
        for name in names:
            if name not in known:
                raise ValueError(_unknown(name, model, [name for name in known if name]))
        wanted = [name for name, module in known.items() if name in names or isinstance(module, kinds)]
    if not wanted:
        raise ValueError(
            f"nothing to watch in {type(model).__name__}: none of its modules is asked for; a nonlinearity that is a "
            "function cannot be seen, so name a module that gives its output in modules="
        )
    first = {id(known[name]): name for name in reversed(wanted)}
    return {name: known[name] for name in wanted if first[id(known[name])] == name}


def _ceiling(module: nn.Module) -> float | None:
    """Where the module cuts off, as a ReLU6 does at 6."""
    return float(module.max_val) if isinstance(module, nn.Hardtanh) else None


def _unknown(name: str, model: nn.Module, known: list[str]) -> str:
    """One line for a name that does not exist."""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known[-3:]
    return f"no module {name!r} in {type(model).__name__}; did you mean {', '.join(map(repr, near))}?"


def _few(names: Iterable[str]) -> str:
    """The first names of a list."""
    listed = list(names)
    return ", ".join(map(repr, listed[:3])) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
