"""The network that keeps k activations against the one that autograd would make: time and memory of a training step."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from featlib.kernels import topk_mlp
from featlib.kernels.precision import fast_matmul

from .runner import Case

TESTS = "tests/kernels/test_topk_mlp.py"
# d, d_ff, k, layers: tokens
SIZES = {
    (64, 256, 16, 1): 2048,
    (256, 1024, 32, 8): 2048,
    (768, 3072, 128, 1): 2048,
    (1024, 4096, 128, 1): 1024,
}


class Layer(NamedTuple):
    """Weights of one layer."""

    w_in: Tensor
    b_in: Tensor
    w_out: Tensor
    b_out: Tensor


class Step(NamedTuple):
    """Tokens and what the gradient starts from."""

    layers: list[Layer]
    k: int
    tokens: Tensor
    weight: Tensor


@cache
def layers(d: int, d_ff: int, many: int) -> list[Layer]:
    """Weights that keep the scale of what passes through them."""
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    made = (
        Layer(normal(d_ff, d) / d**0.5, 0.1 * normal(d_ff), normal(d, d_ff) / d**0.5, 0.1 * normal(d))
        for _ in range(many)
    )
    return [Layer(*(t.requires_grad_() for t in layer)) for layer in made]


@torch.no_grad()
def margin(x: Tensor, stack: list[Layer], k: int) -> Tensor:
    """How far the last activation kept is from the first one dropped, at its closest in any layer, for each token.

    Where they nearly tie, two right networks in float32 may keep different ones: no error, yet no comparison either.
    """
    closest, x = torch.full((len(x),), torch.inf, dtype=torch.float64), x.double()
    for layer in (Layer(*(t.double() for t in each)) for each in stack):
        best = torch.relu(functional.linear(x, layer.w_in, layer.b_in)).topk(k + 1, dim=-1).values
        closest = closest.minimum(best[:, -2] - best[:, -1])
        x = x + plain(x, *layer, k)
    return closest


def inputs(size: tuple[int, int, int, int], seed: int, tokens: int) -> Step:
    """Fresh tokens, of which all have their k largest activations clear of the rest."""
    d, d_ff, k, many = size
    generator, stack = torch.Generator().manual_seed(seed), layers(d, d_ff, many)
    x, weight = torch.randn(2, tokens + tokens // 4, d, generator=generator)
    clear = margin(x, stack, k).argsort(descending=True)[:tokens].sort().values
    return Step(stack, k, x[clear].requires_grad_(), weight[clear])


def plain(x: Tensor, w_in: Tensor, b_in: Tensor, w_out: Tensor, b_out: Tensor, k: int) -> Tensor:
    """The top k scattered into zeros."""
    activations = torch.relu(functional.linear(x, w_in, b_in))
    values, index = activations.topk(k, dim=-1)
    return functional.linear(torch.zeros_like(activations).scatter(-1, index, values), w_out, b_out)


def train(network: Callable[..., Tensor], step: Step) -> list[Tensor]:
    """Output and all gradients of a residual stack."""
    output = step.tokens
    with fast_matmul():
        for layer in step.layers:
            output = output + network(output, *layer, step.k)
        parameters = [step.tokens, *(t for layer in step.layers for t in layer)]
        return [output.detach(), *torch.autograd.grad(output, parameters, step.weight)]


def error(mine: list[Tensor], theirs: list[Tensor]) -> float:
    """Largest difference of an output or a gradient, relative to its length."""
    return max(float((a.double() - b.double()).norm() / b.double().norm()) for a, b in zip(mine, theirs, strict=True))


CASES = [
    Case(
        op="topk_mlp, forward and all gradients",
        size=f"{size[0]}x{size[1]}, k {size[2]}, {size[3]} layers, {tokens} tokens",
        peer="torch autograd: topk, scatter, two linear layers",
        peer_version=torch.__version__,
        inputs=partial(inputs, size),
        ours=partial(train, topk_mlp),
        theirs=partial(train, plain),
        error=error,
        batch=tokens,
        tolerance=1e-4,
        memory=True,
    )
    for size, tokens in SIZES.items()
]
