"""The network of whose neurons the active set is known beforehand, against the dense one.

**Active set given**: our time does not hold finding the set. It is the true one of each token, so the result is exact;
whoever guesses it owes the guess's time and its misses on top. Looking at the indices is part of our time.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from featlib.kernels import firing, sparse_decode
from featlib.kernels.precision import fast_matmul

from . import sparse_mlp
from .runner import Axis, Case

TESTS = "tests/kernels/test_sparse_decode.py"
SIZES = sparse_mlp.SIZES
DENSITIES = (0.03, 0.06, 0.1)


@dataclass(frozen=True)
class Known(sparse_mlp.Steps):
    """Steps of a network, and what fires in each."""

    active: list[Tensor]


def inputs(d: int, d_ff: int, seed: int, density: float, batch: int = 1) -> Known:
    """One token in each step."""
    made = sparse_mlp.inputs(d, d_ff, batch, seed, density)
    active = [firing(x, made.weights.w_in, made.b_in) for x in made.tokens]
    return Known(made.weights, made.b_in, made.tokens, made.activations, active)


def ours(data: Known) -> Tensor:
    """Every step with its set."""
    here = data.weights
    with fast_matmul():
        return torch.stack([
            sparse_decode(x, here.w_in, data.b_in, here.neuron_layout, None, active)
            for x, active in zip(data.tokens, data.active, strict=True)
        ])  # fmt: skip


def case(d: int, d_ff: int, density: float) -> Case:
    """One row of the table."""
    steps = sparse_mlp.steps(d, 1)
    return Case(
        op="sparse_mlp, active set given",
        size=f"{d}x{d_ff}, batch 1 at {density:.0%}, {steps} steps",
        peer=sparse_mlp.PEER,
        peer_version=torch.__version__,
        inputs=lambda seed, batch: inputs(d, d_ff, seed, density, batch),
        ours=ours,
        theirs=sparse_mlp.dense_whole,
        error=sparse_mlp.error,
        batch=1,
        tolerance=1e-5,
        axis=Axis(
            sparse_mlp.DENSITIES[::-1], partial(inputs, d, d_ff), "density {:.0%} and below", "not even at {:.0%}"
        ),
    )


CASES = [case(*size, density) for size in SIZES for density in DENSITIES]
