"""Training many small networks: the stack with its backward pass by hand, against a loop over modules."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from featlib.data.boolean import Tasks
from featlib.models.mlp import MLP, MLPConfig
from featlib.training.many import adam, one_by_one, train

from .runner import Case

TESTS = "tests/training"
STEPS = 10
# inputs, hidden layers, outputs: batch of each network, networks
SIZES = {
    (16, (64,), 2): (128, 64),
    (16, (64, 64), 2): (128, 64),
    (16, (128, 128), 2): (128, 64),
    (16, (64, 64, 64), 2): (64, 64),
    (16, (64, 64), 1): (4096, 8),
}


@dataclass(frozen=True)
class Work:
    """Networks that have not been trained, and their data."""

    model: MLP
    data: list[tuple[Tensor, Tensor]]


def inputs(config: MLPConfig, size: int, seed: int, batch: int) -> Work:
    """As many networks as ``batch`` says; their data is made before the clock starts."""
    names = ("lin", "xor")[: config.outputs]
    tasks = Tasks([names], range(seed * batch, (seed + 1) * batch), bits=config.inputs)
    return Work(MLP(config, tasks.row_seeds), [tasks.batch(step, size) for step in range(STEPS)])


def ours(work: Work) -> Tensor:
    """All networks at once, losses of every step."""
    model = work.model.select(slice(None))
    return train(model, adam(model), work.data.__getitem__, STEPS, every=1).loss


def theirs(work: Work) -> Tensor:
    """One network after the other: automatic gradients, a fused optimiser each."""
    copies = [work.model.twin(index) for index in range(len(work.model))]
    return one_by_one(copies, fused_adam, work.data.__getitem__, STEPS)


def fused_adam(network: nn.Module) -> torch.optim.Optimizer:
    """The loop's best optimiser."""
    return torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)


def error(mine: Tensor, other: Tensor) -> float:
    """Largest relative difference of a loss."""
    return float(((mine - other).abs() / other).max())


CASES = [
    Case(
        op="many_networks",
        size=f"{networks} x {'-'.join(map(str, (into, *widths, out)))}, batch {size}",
        peer="loop over nn.Sequential, autograd, fused Adam",
        peer_version=torch.__version__,
        inputs=partial(inputs, MLPConfig(into, widths, out), size),
        ours=ours,
        theirs=theirs,
        error=error,
        batch=networks,
        tolerance=1e-4,
    )
    for (into, widths, out), (size, networks) in SIZES.items()
]
