"""Hooks that look into a network and are gone when the look is over."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["LayerError", "counted", "edited", "evaluating", "find_layer", "tapped"]


class LayerError(ValueError):
    """The layer asked for does not exist or gives no feature maps."""


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


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Switch the model to evaluation, and every module back to what it was on leaving."""
    before = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


@contextmanager
def tapped(modules: Mapping[str, nn.Module], gradient: bool) -> Iterator[dict[str, list[Any]]]:
    """Collect the outputs of some modules, call by call; the hooks are gone on leaving.

    With ``gradient``, the graph begins at the first output collected: nothing before it is differentiated.
    """
    seen: dict[str, list[Any]] = {name: [] for name in modules}

    def tap(name: str) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
            if not isinstance(output, Tensor):
                seen[name].append(output)  # refused by the caller
                return output
            torch.set_grad_enabled(gradient)  # until the forward pass ends and its no_grad block is left
            kept = output if output.requires_grad else output.detach().requires_grad_(gradient)
            seen[name].append(kept)
            return kept.clone()  # a later in-place activation must not change what we saw

        return hook

    handles = [module.register_forward_hook(tap(name)) for name, module in modules.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def edited(module: nn.Module, edit: Callable[[Tensor], Tensor], call: int) -> Iterator[None]:
    """Put ``edit(output)`` in the place of the module's output at its ``call``-th call; the hook is gone on leaving."""
    calls = 0

    def hook(_module: nn.Module, _inputs: Any, output: Any) -> Any:
        nonlocal calls
        calls += 1
        return edit(output) if calls == call else output

    handle = module.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def counted(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, int]]:
    """Count the pictures that enter some modules, by the names they are given; the hooks are gone on leaving."""
    entered = dict.fromkeys(modules, 0)

    def count(name: str) -> Callable[[nn.Module, Any], None]:
        def hook(_module: nn.Module, inputs: Any) -> None:
            entered[name] += len(inputs[0])

        return hook

    handles = [module.register_forward_pre_hook(count(name)) for name, module in modules.items()]
    try:
        yield entered
    finally:
        for handle in handles:
            handle.remove()
