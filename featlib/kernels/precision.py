"""Faster float32 matrix products on a CPU, only where they are as exact as the usual ones."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

import torch

__all__ = ["LIMIT", "fast_matmul", "probe"]

LIMIT = 2e-6
"""Relative error up to which the other path counts as float32."""


@contextmanager
def fast_matmul() -> Iterator[bool]:
    """Let float32 matrix products on the CPU take oneDNN's path, where that loses no precision.

    On CPUs without bfloat16 matrix units that path computes in float32 and is often two to four times as fast for
    matrix times matrix (not for matrix times vector). Where such units exist it would round to bfloat16: the error is
    probed once per process, and above ``LIMIT`` nothing is changed. The flag is one for the whole process; it is as it
    was on leaving, also after an error.

    Example:
        >>> with fast_matmul() as faster:
        ...     product = torch.rand(64, 64) @ torch.rand(64, 64)
        >>> isinstance(faster, bool)
        True

    Yields:
        Whether the other path is on.
    """
    allowed = probe() <= LIMIT
    before = _get()
    if allowed:
        _set("bf16")
    try:
        yield allowed
    finally:
        _set(before)


@cache
def probe() -> float:
    """Relative error of that path on this machine, for one product and for a batch of them, against float64."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return float("inf")
    generator = torch.Generator().manual_seed(0)
    left = torch.randn(2, 160, 320, generator=generator)
    right = torch.randn(2, 320, 160, generator=generator)
    exact = left.double() @ right.double()
    before = _get()
    _set("bf16")
    try:
        products = (left @ right, torch.stack([a @ b for a, b in zip(left, right, strict=True)]))
    finally:
        _set(before)
    return max(float((product - exact).norm() / exact.norm()) for product in products)


def _get() -> str:
    """How float32 products may be computed on a CPU now."""
    backend = torch.backends.mkldnn
    return str(backend.matmul.fp32_precision) if hasattr(backend, "matmul") else torch.get_float32_matmul_precision()


def _set(value: str) -> None:
    """Say how; before torch 2.9 the only flag also speaks for GPUs and has other names."""
    backend = torch.backends.mkldnn
    if hasattr(backend, "matmul"):
        backend.matmul.fp32_precision = value
    else:
        torch.set_float32_matmul_precision("medium" if value == "bf16" else value)
