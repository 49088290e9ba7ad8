"""SupCon without the matrix of similarities against the dense form: time and memory of a value with its gradient."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from featlib.kernels import supcon
from featlib.kernels.precision import fast_matmul
from featlib.training import losses

from .runner import Case

TESTS = "tests/kernels/test_contrastive.py"
TEMPERATURE = 0.5
# batch: columns
SIZES = {512: 128, 2048: 128, 4096: 128, 8192: 128, 16384: 128}
PEER = "pytorch_metric_learning"


class Batch(NamedTuple):
    """Unit rows and their classes."""

    z: Tensor
    labels: Tensor


def inputs(d: int, seed: int, batch: int) -> Batch:
    """Fresh rows: two views of each of ``batch / 2`` examples, near each other, in ten classes."""
    generator = torch.Generator().manual_seed(seed)
    half = max(1, batch // 2)
    clean = torch.randn(half, d, generator=generator).repeat(2, 1)
    z = functional.normalize(clean + 0.5 * torch.randn(2 * half, d, generator=generator), dim=1)
    return Batch(z, torch.randint(10, (half,), generator=generator).repeat(2))


def both_passes(loss: Callable[[Tensor, Tensor, float], Tensor], batch: Batch) -> list[Tensor]:
    """Value and gradient, both sides with the faster matrix product."""
    leaf = batch.z.detach().requires_grad_()
    with fast_matmul():
        value = loss(leaf, batch.labels, TEMPERATURE)
        return [value.detach(), *torch.autograd.grad(value, leaf)]


def metric_learning(z: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """The library's loss, which normalises rows once more."""
    from pytorch_metric_learning.losses import SupConLoss  # type: ignore[import-not-found]

    value: Tensor = SupConLoss(temperature=temperature)(z, labels)
    return value


def error(mine: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest difference of the value or the gradient, relative to its length."""
    return max(float((a.double() - b.double()).norm() / b.double().norm()) for a, b in zip(mine, theirs, strict=True))


def value_error(mine: list[Tensor], theirs: list[Tensor]) -> float:
    """Of the value alone: the library's gradient also passes through its normalisation."""
    return float((mine[0].double() - theirs[0].double()).abs() / theirs[0].double().abs())


DENSE = partial(
    Case,
    peer="torch autograd: the matrix of similarities",
    peer_version=torch.__version__,
    theirs=partial(both_passes, losses.supcon),
    error=error,
)
RIVALS = [DENSE]
if find_spec(PEER):
    RIVALS.append(
        partial(
            Case,
            peer="pytorch-metric-learning SupConLoss",
            peer_version=metadata.version("pytorch-metric-learning"),
            theirs=partial(both_passes, metric_learning),
            error=value_error,
        )
    )
CASES = [
    rival(
        op="supcon, value and gradient",
        size=f"{batch} rows x {d}",
        inputs=partial(inputs, d),
        ours=partial(both_passes, supcon),
        batch=batch,
        tolerance=1e-5,
        memory=True,
    )
    for rival in RIVALS
    for batch, d in SIZES.items()
]
