"""The second product of the network, from the columns of ``w_out`` whose activation is not zero."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

__all__ = ["MAX_BATCH", "can_gather", "crossover", "gather", "pays", "second_product", "second_product_op"]

MAX_BATCH = 64
"""Tokens up to which gathering was measured; matrix products of more are compute-bound and want every number dense."""
SAMPLED_TOKENS = 8


def can_gather(activations: Tensor, w_out: Tensor) -> bool:
    """Whether the gathered product may be tried: few tokens on a CPU, and each neuron's weights side by side."""
    return (
        activations.device.type == "cpu"
        and activations.dtype == w_out.dtype  # autocast makes them differ
        and 0 < len(activations) <= MAX_BATCH
        and 0 not in w_out.shape
        and w_out.t().is_contiguous()
    )


def crossover(batch: int) -> float:
    """Density below which gathering beats the dense product of ``batch`` tokens, on one thread.

    The dense product reads the weights once for all tokens, gathering once for each: the more tokens, the sparser they
    must be. A fit to measurements at 768 x 3072, 1024 x 4096 and 4096 x 16384, mostly on the cautious side.
    """
    return float(0.45 * batch**-0.37)


def pays(activations: Float[Tensor, "batch d_ff"]) -> bool:
    """Whether so few numbers are not zero that gathering is the faster way; counted on up to eight tokens."""
    some = activations[:: -(-len(activations) // SAMPLED_TOKENS)]
    return int(torch.count_nonzero(some)) < crossover(len(activations)) * some.numel()


def gather(
    activations: Float[Tensor, "batch d_ff"], w_out: Float[Tensor, "d_out d_ff"]
) -> Float[Tensor, "batch d_out"]:
    """Sum the columns of ``w_out`` with the non-zero activations as weights; a NaN is not zero."""
    batch, d_ff = activations.shape
    flat = activations.reshape(-1)
    place = flat.nonzero().view(-1)
    if batch == 1:
        neuron, first = place, place.new_zeros(1)
    else:
        neuron = place % d_ff
        first = torch.searchsorted(place, torch.arange(0, batch * d_ff, d_ff, device=place.device))
    values = flat.index_select(0, place)
    return functional.embedding_bag(neuron, w_out.t().contiguous(), first, mode="sum", per_sample_weights=values)


def second_product(
    activations: Float[Tensor, "batch d_ff"],
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
    always: bool = False,
) -> Float[Tensor, "batch d_out"]:
    """Gather where it pays (or ``always``), else multiply. Without gradient."""
    if not (always or pays(activations)):
        return functional.linear(activations, w_out, b_out)
    output = gather(activations, w_out)
    return output if b_out is None else output + b_out


# The same as one opaque operation: with gradients, and for torch.compile, which could not follow a choice by density.
second_product_op = torch.library.custom_op(
    "featlib::sparse_second_product",
    second_product,
    mutates_args=(),
    schema="(Tensor activations, Tensor w_out, Tensor? b_out, bool always) -> Tensor",
)


@second_product_op.register_fake
def _shape(activations: Tensor, w_out: Tensor, b_out: Tensor | None, always: bool) -> Tensor:
    """Shape of the result."""
    return activations.new_empty(activations.shape[0], w_out.shape[0])


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None, bool], output: Tensor) -> None:
    """Save what the gradients need."""
    ctx.save_for_backward(*inputs[:2])


def _gradients(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
    """Those of the dense product, dense: silent neurons have a gradient too, which only ReLU's own then removes."""
    activations, w_out = ctx.saved_tensors
    wanted = ctx.needs_input_grad
    return (
        grad @ w_out if wanted[0] else None,
        grad.mT @ activations if wanted[1] else None,
        grad.sum(0) if wanted[2] else None,
        None,
    )


second_product_op.register_autograd(_gradients, setup_context=_keep)
