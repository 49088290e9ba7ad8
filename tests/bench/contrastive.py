"""SupCon without the matrix of similarities against dense forms: time and memory of a value with its gradient.

All sides take rows of any length and normalise them: the library does so by itself, and its gradient passes through.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import metadata
from typing import NamedTuple

import torch
from pytorch_metric_learning.losses import SupConLoss
from torch import Tensor
from torch.nn import functional

from featlib.kernels import supcon
from featlib.kernels.precision import fast_matmul
from featlib.training import losses

from .runner import REPEATS, Case

TESTS = "tests/kernels/test_contrastive.py"
TEMPERATURE = 0.5
SIZES = {512: 128, 2048: 128, 4096: 128, 8192: 128, 16384: 128}
"""Rows and their columns."""
LONG, FEW = 16384, 2
"""From so many rows on a few repeats must do: the library then holds 12 GB, and takes the better part of a minute."""


class Batch(NamedTuple):
    """Rows and their classes."""

    rows: Tensor
    labels: Tensor


def inputs(d: int, seed: int, batch: int) -> Batch:
    """Fresh rows: two views of each of ``batch / 2`` examples, near each other, in ten classes."""
    generator = torch.Generator().manual_seed(seed)
    half = max(1, batch // 2)
    clean = torch.randn(half, d, generator=generator).repeat(2, 1)
    rows = clean + 0.5 * torch.randn(2 * half, d, generator=generator)
    return Batch(rows, torch.randint(10, (half,), generator=generator).repeat(2))


def both_passes(loss: Callable[[Tensor, Tensor], Tensor], batch: Batch) -> list[Tensor]:
    """Value and gradient, all sides with the faster matrix product."""
    leaf = batch.rows.detach().requires_grad_()
    with fast_matmul():
        value = loss(leaf, batch.labels)
        return [value.detach(), *torch.autograd.grad(value, leaf)]


def ours(rows: Tensor, labels: Tensor) -> Tensor:
    """By the kernel."""
    return supcon(functional.normalize(rows), labels, TEMPERATURE)


def dense(rows: Tensor, labels: Tensor) -> Tensor:
    """By the textbook form."""
    return losses.supcon(functional.normalize(rows), labels, TEMPERATURE)


def library(rows: Tensor, labels: Tensor) -> Tensor:
    """By pytorch-metric-learning, whose distance normalises."""
    value: Tensor = SupConLoss(temperature=TEMPERATURE)(rows, labels)
    return value


def error(mine: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest difference of the value or the gradient, relative to its length."""
    return max(float((a.double() - b.double()).norm() / b.double().norm()) for a, b in zip(mine, theirs, strict=True))


DENSE = partial(
    Case,
    peer="torch autograd: the matrix of similarities",
    peer_version=torch.__version__,
    theirs=partial(both_passes, dense),
)
LIBRARY = partial(
    Case,
    peer="pytorch-metric-learning SupConLoss",
    peer_version=metadata.version("pytorch-metric-learning"),
    theirs=partial(both_passes, library),
)
CASES = [
    rival(
        op="supcon, value and gradient",
        size=f"{batch} rows x {d}",
        inputs=partial(inputs, d),
        ours=partial(both_passes, ours),
        error=error,
        batch=batch,
        tolerance=1e-5,
        memory=True,
        most=FEW if batch >= LONG else REPEATS,
    )
    for rival in (DENSE, LIBRARY)
    for batch, d in SIZES.items()
]
