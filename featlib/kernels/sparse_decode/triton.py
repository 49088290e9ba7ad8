r"""The GPU path, two programs: one finds activations and packs those that fire, one sums their columns.

Both are matrix times vector, bound by the weights they read; products and sums are float32 whatever the weights are.
Imported only when asked for; needs triton.
"""

# ruff: noqa: ANN001, ANN202  # the arguments of a kernel are pointers and numbers to the compiler, not to Python
from __future__ import annotations

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["decode_triton"]

NEURONS, WIDE = 16, 256
"""Rows of one program of the first product, and numbers of each that it reads at a time."""
SLOTS, OUT = 16, 128
"""Columns that one program of the second product reads at a time, and how many numbers of each are its own."""
SPLITS = 8
"""Programs that share the columns of one token: too few long sums would leave most of the GPU idle."""


@triton.jit  # type: ignore[untyped-decorator]
def _hidden(  # type: ignore[no-untyped-def]
    x, w_in, b_in, active, values, index, count, n, d_in, d_ff,
    x_token, x_place, w_neuron, w_place, b_neuron, active_token, active_place,
    BIAS: tl.constexpr, GIVEN: tl.constexpr, NEURONS: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Activations of some neurons on one token. Found ones are packed: first come, first placed."""
    token = tl.program_id(0).to(tl.int64)
    slot = tl.program_id(1) * NEURONS + tl.arange(0, NEURONS)
    inside = slot < n
    if GIVEN:
        neuron = tl.load(active + token * active_token + slot * active_place, mask=inside, other=0).to(tl.int64)
        inside = inside & (neuron >= 0) & (neuron < d_ff)  # an unchecked set must not read foreign memory
        neuron = tl.where(inside, neuron, 0)
    else:
        neuron = slot.to(tl.int64)
    before = tl.zeros([NEURONS], dtype=tl.float32)
    for start in range(0, d_in, WIDE):
        place = start + tl.arange(0, WIDE)
        token_part = tl.load(x + token * x_token + place * x_place, mask=place < d_in, other=0.0)
        where = neuron[:, None] * w_neuron + place[None, :] * w_place
        rows = tl.load(w_in + where, mask=inside[:, None] & (place[None, :] < d_in), other=0.0)
        before += tl.sum(rows.to(tl.float32) * token_part.to(tl.float32)[None, :], 1)
    if BIAS:
        before += tl.load(b_in + neuron * b_neuron, mask=inside, other=0.0).to(tl.float32)
    activation = tl.where(inside & ~(before <= 0.0), before, 0.0)  # a NaN stays
    row = token * n
    if GIVEN:
        tl.store(values + row + slot, activation, mask=slot < n)
        tl.store(index + row + slot, neuron.to(tl.int32), mask=slot < n)
    else:
        fires = (activation != 0.0).to(tl.int32)
        first = tl.atomic_add(count + token, tl.sum(fires, 0))
        slot = first + tl.cumsum(fires, 0) - 1
        tl.store(values + row + slot, activation, mask=fires != 0)
        tl.store(index + row + slot, neuron.to(tl.int32), mask=fires != 0)


@triton.jit  # type: ignore[untyped-decorator]
def _output(  # type: ignore[no-untyped-def]
    values, index, count, w_out, partial, n, d_out, w_out_place, w_neuron,
    GIVEN: tl.constexpr, SPLITS: tl.constexpr, SLOTS: tl.constexpr, OUT: tl.constexpr,
):  # fmt: skip
    """Some of one token's columns, summed for some of the outputs."""
    token = tl.program_id(0).to(tl.int64)
    place = tl.program_id(1) * OUT + tl.arange(0, OUT)
    split = tl.program_id(2)
    packed = n if GIVEN else tl.load(count + token)
    total = tl.zeros([OUT], dtype=tl.float32)
    start = split * SLOTS
    while start < packed:
        slot = start + tl.arange(0, SLOTS)
        weight = tl.load(values + token * n + slot, mask=slot < packed, other=0.0)
        neuron = tl.load(index + token * n + slot, mask=slot < packed, other=0).to(tl.int64)
        where = neuron[:, None] * w_neuron + place[None, :] * w_out_place
        columns = tl.load(w_out + where, mask=(slot[:, None] < packed) & (place[None, :] < d_out), other=0.0)
        total += tl.sum(weight[:, None] * columns.to(tl.float32), 0)
        start += SPLITS * SLOTS
    tl.store(partial + (token * SPLITS + split) * d_out + place, total, mask=place < d_out)


def decode_triton(
    x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None, active: Tensor | None
) -> Tensor:
    """The network on a few tokens. Without ``active``, two runs may differ in the last bits: sums have no fixed order.

    Raises:
        RuntimeError: if the input is not on a GPU and triton's interpreter is off.
        TypeError: if the numbers are float64.
    """
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("method 'triton' needs tokens on a GPU (or TRITON_INTERPRET=1 to test): use method='auto'")
    if torch.float64 in {x.dtype, w_in.dtype, w_out.dtype}:
        raise TypeError("method 'triton' sums in float32, and float64 has more digits: use method='torch'")
    (batch, d_in), (d_out, d_ff) = x.shape, w_out.shape
    n = d_ff if active is None else active.shape[-1]
    total = x.new_zeros(batch, d_out, dtype=torch.float32)
    if batch and d_out and n:
        values = torch.empty(batch, n, dtype=torch.float32, device=x.device)
        index = torch.empty(batch, n, dtype=torch.int32, device=x.device)
        count = torch.zeros(batch, dtype=torch.int32, device=x.device)
        partial = values.new_empty(batch, SPLITS, d_out)
        own = index if active is None else active.expand(batch, n)
        bias = x if b_in is None else b_in
        _hidden[batch, triton.cdiv(n, NEURONS)](
            x, w_in, bias, own, values, index, count, n, d_in, d_ff,
            *x.stride(), *w_in.stride(), bias.stride(0), *own.stride(),
            BIAS=b_in is not None, GIVEN=active is not None, NEURONS=NEURONS, WIDE=WIDE,
        )  # fmt: skip
        _output[batch, triton.cdiv(d_out, OUT), SPLITS](
            values, index, count, w_out, partial, n, d_out, *w_out.stride(),
            GIVEN=active is not None, SPLITS=SPLITS, SLOTS=SLOTS, OUT=OUT,
        )  # fmt: skip
        total = partial.sum(1)
    return (total if b_out is None else total + b_out.float()).to(x.dtype)
