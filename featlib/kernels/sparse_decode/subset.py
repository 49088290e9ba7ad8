r"""The network restricted to given neurons, on a CPU: :math:`y = c + \sum_{i \in A} \sigma(k_i^\top x + b_i)\, v_i`."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["given", "plain"]

PIECE = 2**17
"""Numbers copied at a time, 512 KB of float32: what is copied is read again while it is in the core's own cache, and
the allocator hands out the same memory for each piece."""

Set = Int[Tensor, " n"] | Int[Tensor, "batch n"]


def given(
    x: Float[Tensor, "batch d_in"],
    w_in: Float[Tensor, "d_ff d_in"],
    b_in: Float[Tensor, " d_ff"] | None,
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
    active: Set,
) -> Float[Tensor, "batch d_out"]:
    """Without gradient; nothing empty, one dtype for all, on a CPU."""
    if active.ndim == 2:
        tokens = zip(torch.split(x, 1), active, strict=True)
        return torch.cat([given(token, w_in, b_in, w_out, b_out, own) for token, own in tokens])
    hidden = products(x, w_in, active)
    if b_in is not None:
        hidden += b_in.index_select(0, active)
    output = sums(hidden.relu_(), w_out, active)
    return output if b_out is None else output.add_(b_out)


def products(
    x: Float[Tensor, "batch d_in"], rows: Float[Tensor, "d_ff d_in"], active: Int[Tensor, " n"]
) -> Float[Tensor, "batch n"]:
    """Products of every token with these rows, piece by piece."""
    step = max(1, PIECE // rows.shape[1])
    return torch.cat([functional.linear(x, rows.index_select(0, piece)) for piece in torch.split(active, step)], 1)


def sums(
    hidden: Float[Tensor, "batch n"], w_out: Float[Tensor, "d_out d_ff"], active: Int[Tensor, " n"]
) -> Float[Tensor, "batch d_out"]:
    """Sums of these columns, weighted; half precisions are summed in float32."""
    columns = w_out.t()
    if len(hidden) == 1 and columns.is_contiguous():
        return functional.embedding_bag(active[None], columns, mode="sum", per_sample_weights=hidden)
    step = max(1, PIECE // columns.shape[1])
    pieces = zip(torch.split(active, step), torch.split(hidden, step, 1), strict=True)
    total = hidden.new_zeros(len(hidden), len(w_out), dtype=torch.promote_types(hidden.dtype, torch.float32))
    for piece, weights in pieces:
        total += weights @ columns.index_select(0, piece)
    return total.to(hidden.dtype)


def plain(
    x: Float[Tensor, "batch d_in"],
    w_in: Float[Tensor, "d_ff d_in"],
    b_in: Float[Tensor, " d_ff"] | None,
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
    active: Set,
) -> Float[Tensor, "batch d_out"]:
    """The same in operations that have gradients, follow autocast, compile, and run on any device."""
    rows, columns, bias = w_in[active], w_out.t()[active], None if b_in is None else b_in[active]
    if active.ndim == 1:
        return functional.linear(torch.relu(functional.linear(x, rows, bias)), columns.t(), b_out)
    before = torch.einsum("td,tnd->tn", x, rows)
    hidden = torch.relu(before if bias is None else before + bias)
    output = torch.einsum("tn,tnd->td", hidden, columns)
    return output if b_out is None else output + b_out
