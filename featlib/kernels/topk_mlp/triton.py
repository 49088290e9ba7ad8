"""The GPU path: one program for each token finds its k-th largest activation by bisection, in registers.

A positive float32 has the order of its bits, so the k-th largest is found bit by bit from the top: 31 counts over a row
that is loaded once. Values and indices leave packed, in the order of the neurons; ReLU and the rule for ties are part
of the same pass. Imported only when asked for; needs triton.
"""

# ruff: noqa: ANN001, ANN202  # the arguments of a kernel are pointers and numbers to the compiler, not to Python
from __future__ import annotations

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

from featlib.kernels.topk_mlp.select import Selection

__all__ = ["select_triton"]


@triton.jit  # type: ignore[untyped-decorator]
def _select(  # type: ignore[no-untyped-def]
    before, values, index, stride_token, stride_neuron, k, d_ff,
    ROW: tl.constexpr,
):  # fmt: skip
    """The k largest of one token's ReLU outputs."""
    token = tl.program_id(0).to(tl.int64)
    neuron = tl.arange(0, ROW)
    where = token * stride_token + neuron.to(tl.int64) * stride_neuron
    row = tl.load(before + where, mask=neuron < d_ff, other=0.0)  # zeros after the row lose every tie: none is kept
    row = row.to(tl.float32)
    row = tl.where(row <= 0.0, 0.0, row)  # a NaN stays
    bits = row.to(tl.int32, bitcast=True) & 0x7FFFFFFF  # without the sign, every NaN is above infinity
    lowest = token.to(tl.int32) * 0
    for step in range(31):
        higher = lowest | (1 << (30 - step))
        enough = tl.sum((bits >= higher).to(tl.int32), 0) >= k
        lowest = tl.where(enough, higher, lowest)
    above = bits > lowest
    equal = bits == lowest
    missing = k - tl.sum(above.to(tl.int32), 0)
    kept = above | (equal & (tl.cumsum(equal.to(tl.int32), 0) <= missing))
    place = token * k + tl.cumsum(kept.to(tl.int32), 0) - 1
    tl.store(values + place, row.to(values.dtype.element_ty), mask=kept)
    tl.store(index + place, neuron.to(tl.int64), mask=kept)


def select_triton(before: Tensor, k: int) -> Selection:
    """The ``k`` largest of each row after ReLU, of equal ones the first; ordered by where they stand.

    Raises:
        RuntimeError: if the input is not on a GPU and triton's interpreter is off.
        TypeError: if the numbers are float64.
    """
    if not before.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("method 'triton' needs tokens on a GPU (or TRITON_INTERPRET=1 to test): use method='auto'")
    if before.dtype == torch.float64:
        raise TypeError("method 'triton' selects in float32, and float64 has more digits: use method='torch'")
    tokens, d_ff = before.shape
    values = before.new_empty(tokens, k)
    index = torch.empty(tokens, k, dtype=torch.int64, device=before.device)
    if tokens:
        _select[tokens,](before, values, index, *before.stride(), k, d_ff, ROW=triton.next_power_of_2(d_ff))
    return values, index
