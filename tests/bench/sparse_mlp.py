"""The network that skips zeros against the dense one: its second product alone, and the whole of it.

A timing is of several steps in a row, each with tokens of its own and so with neurons of its own. Finding the neurons
that fire is part of our time; laying ``w_out`` out is not, for it is done once, and the peer has both layouts to choose
from.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache, partial
from statistics import NormalDist, median
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from featlib.kernels import neuron_major, sparse_mlp
from featlib.kernels.precision import fast_matmul
from featlib.kernels.sparse_mlp.gather import second_product

from .runner import Axis, Case

TESTS = "tests/kernels/test_sparse_mlp.py"
SIZES = ((768, 3072), (1024, 4096), (4096, 16384))
BATCHES = (1, 8, 64)
DENSITIES = (0.03, 0.06, 0.1, 0.2, 0.5)
PEER = "dense torch, the faster of its two layouts"


class Weights(NamedTuple):
    """Both layers, the second in both layouts."""

    w_in: Tensor
    torch_layout: Tensor
    neuron_layout: Tensor


@dataclass(frozen=True)
class Steps:
    """Some steps of a network at one density: tokens, the bias that silences the rest, and the activations."""

    weights: Weights
    b_in: Tensor
    tokens: list[Tensor]
    activations: list[Tensor]


@cache
def weights(d: int, d_ff: int) -> Weights:
    """Weights that keep the scale of what passes through them."""
    generator = torch.Generator().manual_seed(0)
    w_out = torch.randn(d, d_ff, generator=generator) / d_ff**0.5
    return Weights(torch.randn(d_ff, d, generator=generator) / d**0.5, w_out, neuron_major(w_out))


def steps(d: int, batch: int) -> int:
    """How many, so that one timing is far above the clock's grain and a bench still ends."""
    return max(1, (32 if d < 2048 else 4) // batch)


def inputs(d: int, d_ff: int, batch: int, seed: int, density: float) -> Steps:
    """Normal tokens; a pre-activation is then normal too, and the bias lets the wanted share of them fire."""
    generator = torch.Generator().manual_seed(seed)
    here = weights(d, d_ff)
    b_in = torch.full((d_ff,), NormalDist().inv_cdf(density))
    tokens = [torch.randn(batch, d, generator=generator) for _ in range(steps(d, batch))]
    return Steps(here, b_in, tokens, [torch.relu(functional.linear(x, here.w_in, b_in)) for x in tokens])


@cache
def best_layout(d: int, d_ff: int, batch: int) -> int:
    """Which of the two layouts the dense product likes better here: its place in ``Weights``."""
    times: dict[int, list[float]] = {1: [], 2: []}
    activations = torch.rand(batch, d_ff)
    for _ in range(9):
        for place, taken in times.items():
            start = time.perf_counter()
            functional.linear(activations, weights(d, d_ff)[place])
            taken.append(time.perf_counter() - start)
    return min(times, key=lambda place: median(times[place]))


def dense_second(data: Steps) -> Tensor:
    """The peer's second product."""
    w_out = data.weights[best_layout(*data.weights.torch_layout.shape, len(data.tokens[0]))]
    with fast_matmul():
        return torch.stack([functional.linear(a, w_out) for a in data.activations])


def sparse_second(data: Steps) -> Tensor:
    """Ours, made to gather at every density, so that the break-even shows."""
    with fast_matmul():
        return torch.stack([second_product(a, data.weights.neuron_layout, None, always=True) for a in data.activations])


def dense_whole(data: Steps) -> Tensor:
    """The peer's network."""
    w_in, w_out = data.weights.w_in, data.weights[best_layout(*data.weights.torch_layout.shape, len(data.tokens[0]))]
    with fast_matmul():
        hidden = (torch.relu(functional.linear(x, w_in, data.b_in)) for x in data.tokens)
        return torch.stack([functional.linear(a, w_out) for a in hidden])


def sparse_whole(data: Steps) -> Tensor:
    """Ours, as users call it."""
    with fast_matmul():
        return torch.stack(
            [sparse_mlp(x, data.weights.w_in, data.b_in, data.weights.neuron_layout, None) for x in data.tokens]
        )


def error(mine: Tensor, theirs: Tensor) -> float:
    """Difference relative to the peer, in length over all steps."""
    return float((mine.double() - theirs.double()).norm() / theirs.double().norm())


def case(op: str, d: int, d_ff: int, batch: int, density: float) -> Case:
    """One row of the table."""
    ours, theirs = PAIRS[op]
    several = f", {steps(d, batch)} steps" if steps(d, batch) > 1 else ""
    return Case(
        op=op,
        size=f"{d}x{d_ff}, batch {batch} at {density:.0%}{several}",
        peer=PEER,
        peer_version=torch.__version__,
        inputs=lambda seed, batch: inputs(d, d_ff, batch, seed, density),
        ours=ours,
        theirs=theirs,
        error=error,
        batch=batch,
        tolerance=1e-5,
        axis=Axis(DENSITIES[::-1], partial(inputs, d, d_ff, batch), "density {:.0%} and below", "not even at {:.0%}"),
    )


PAIRS = {
    "sparse_mlp, second product": (sparse_second, dense_second),
    "sparse_mlp, exact": (sparse_whole, dense_whole),
}
CASES = [
    case(op, *size, batch, density) for op in PAIRS for size in SIZES for batch in BATCHES for density in DENSITIES
]
