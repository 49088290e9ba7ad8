r"""The denominators of a contrastive loss as one differentiable operation, which torch knows by name."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib.util import find_spec
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from featlib.kernels.contrastive import tiles

__all__ = ["METHODS", "log_partition", "without_autocast"]

METHODS = ("auto", "torch", "triton")
WIDEST = 256
"""Columns that one Triton program holds."""


def log_partition(z: Float[Tensor, "batch d"], temperature: float, method: str = "auto") -> Float[Tensor, " batch"]:
    r"""What each row is compared with: :math:`\lambda_i = \log \sum_{a \neq i} e^{z_i^\top z_a / \tau}`.

    Neither pass keeps more than :math:`z`, :math:`\lambda` and one tile.

    Raises:
        RuntimeError: if ``triton`` is asked for and cannot be had, or cannot hold a row.
    """
    found: Tensor = _forward(z, temperature, _path(z, method))
    return found


@torch.library.custom_op(
    "featlib::log_partition", mutates_args=(), schema="(Tensor z, float temperature, str path) -> Tensor"
)
def _forward(z: Tensor, temperature: float, path: str) -> Tensor:
    """Denominators."""
    if path == "triton":
        from featlib.kernels.contrastive import triton

        return triton.forward(z, temperature)
    with without_autocast(z):
        return tiles.forward(z, temperature)


@torch.library.custom_op(
    "featlib::log_partition_backward",
    mutates_args=(),
    schema="(Tensor z, Tensor denominators, Tensor weight, float temperature, str path) -> Tensor",
)
def _backward(z: Tensor, denominators: Tensor, weight: Tensor, temperature: float, path: str) -> Tensor:
    """Their gradient, weighted."""
    if path == "triton":
        from featlib.kernels.contrastive import triton

        return triton.backward(z, denominators, weight, temperature)
    with without_autocast(z):
        return tiles.backward(z, denominators, weight, temperature)


@_forward.register_fake
def _(z: Tensor, temperature: float, path: str) -> Tensor:
    return z.new_empty(z.shape[0])


@_backward.register_fake
def _(z: Tensor, denominators: Tensor, weight: Tensor, temperature: float, path: str) -> Tensor:
    return torch.empty_like(z, memory_format=torch.contiguous_format)


def _keep(ctx: Any, inputs: tuple[Tensor, float, str], output: Tensor) -> None:
    """What the gradient is recomputed from."""
    z, ctx.temperature, ctx.path = inputs
    ctx.save_for_backward(z, output)


def _gradient(ctx: Any, weight: Tensor) -> tuple[Tensor, None, None]:
    """The gradient of z."""
    return _backward(*ctx.saved_tensors, weight, ctx.temperature, ctx.path), None, None


_forward.register_autograd(_gradient, setup_context=_keep)


def without_autocast(z: Tensor) -> AbstractContextManager[object]:
    """Autocast off on the device of ``z``, which may be one that has none."""
    kind = z.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def _path(z: Tensor, method: str) -> str:
    """Which code runs.

    Raises:
        RuntimeError: if it cannot.
    """
    fits = z.shape[1] <= WIDEST and z.dtype != torch.float64
    if method == "torch" or (method == "auto" and not (z.is_cuda and fits and _has_triton())):
        return "torch"
    if not _has_triton():
        raise RuntimeError("triton is not installed: pip install triton (Linux, NVIDIA GPU), or use method='auto'")
    if not fits:
        raise RuntimeError(
            f"method 'triton' takes float32 and up to {WIDEST} columns, got {z.dtype} and {z.shape[1]}: use 'auto'"
        )
    return "triton"


@cache
def _has_triton() -> bool:
    """Whether triton can be imported, without importing it."""
    return find_spec("triton") is not None
