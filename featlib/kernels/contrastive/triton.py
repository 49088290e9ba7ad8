"""The GPU path: one program for each block of rows goes through all rows, with a running log-sum-exp in registers.

The backward pass recomputes the similarities in the same way. Programs share nothing, so no atomics are needed and
results do not depend on their order. Products are float32, not TF32. Imported only when asked for; needs triton.
"""

# ruff: noqa: ANN001, ANN202  # the arguments of a kernel are pointers and numbers to the compiler, not to Python
from __future__ import annotations

import os

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["backward", "forward"]

ROWS = 32 if os.environ.get("TRITON_INTERPRET") == "1" else 64
"""Rows of a block, on both sides of the product."""


@triton.jit  # type: ignore[untyped-decorator]
def _similar(rows, z, offset, column, batch, d, scale, ROWS: tl.constexpr, D: tl.constexpr):  # type: ignore[no-untyped-def]
    """One tile of similarities, the diagonal and what lies outside at minus infinity; and its columns' rows of z."""
    other = column + tl.arange(0, ROWS)
    at = tl.arange(0, D)
    inside = (other[:, None] < batch) & (at[None, :] < d)
    theirs = tl.load(z + other.to(tl.int64)[:, None] * d + at[None, :], mask=inside, other=0.0)
    tile = tl.dot(rows, tl.trans(theirs), input_precision="ieee") * scale
    hidden = (other[None, :] >= batch) | (other[None, :] == offset[:, None])
    return tl.where(hidden, -float("inf"), tile), theirs, other


@triton.jit  # type: ignore[untyped-decorator]
def _forward(z, out, batch, d, scale, ROWS: tl.constexpr, D: tl.constexpr):  # type: ignore[no-untyped-def]
    """Denominators of one block of rows."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, D)
    inside = (row[:, None] < batch) & (at[None, :] < d)
    rows = tl.load(z + row.to(tl.int64)[:, None] * d + at[None, :], mask=inside, other=0.0)
    highest = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    for column in range(0, batch, ROWS):
        tile, _, _ = _similar(rows, z, row, column, batch, d, scale, ROWS, D)
        higher = tl.maximum(highest, tl.max(tile, 1))
        # a row that has met nothing but itself has no maximum to be compared with
        base = tl.where(higher == -float("inf"), 0.0, higher)
        total = total * tl.exp(highest - base) + tl.sum(tl.exp(tile - base[:, None]), 1)
        highest = higher
    tl.store(out + row, highest + tl.log(total), mask=row < batch)


@triton.jit  # type: ignore[untyped-decorator]
def _backward(z, lam, weight, grad, batch, d, scale, ROWS: tl.constexpr, D: tl.constexpr):  # type: ignore[no-untyped-def]
    """Gradient of one block of rows: its similarities, weighted as rows and as columns, times all rows."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    at = tl.arange(0, D)
    inside = (row[:, None] < batch) & (at[None, :] < d)
    where = row.to(tl.int64)[:, None] * d + at[None, :]
    rows = tl.load(z + where, mask=inside, other=0.0)
    mine = tl.load(lam + row, mask=row < batch, other=0.0)
    count = tl.load(weight + row, mask=row < batch, other=0.0)
    total = tl.zeros((ROWS, D), tl.float32)
    for column in range(0, batch, ROWS):
        tile, theirs, other = _similar(rows, z, row, column, batch, d, scale, ROWS, D)
        lam_other = tl.load(lam + other, mask=other < batch, other=0.0)
        weight_other = tl.load(weight + other, mask=other < batch, other=0.0)
        h = count[:, None] * tl.exp(tile - mine[:, None]) + weight_other[None, :] * tl.exp(tile - lam_other[None, :])
        total += tl.dot(h, theirs, input_precision="ieee")
    tl.store(grad + where, total * scale, mask=inside)


def _check(z: Tensor) -> None:
    """Refuse what cannot run.

    Raises:
        RuntimeError: if the rows are not on a GPU and triton's interpreter is off.
    """
    if not z.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("method 'triton' needs rows on a GPU (or TRITON_INTERPRET=1 to test): use method='auto'")


def forward(z: Tensor, temperature: float) -> Tensor:
    """Denominators, as :func:`featlib.kernels.contrastive.tiles.forward`.

    Raises:
        RuntimeError: if the rows are not on a GPU and triton's interpreter is off.
    """
    _check(z)
    z = z.contiguous()
    (batch, d), out = z.shape, z.new_empty(len(z))
    if batch:
        _forward[triton.cdiv(batch, ROWS),](z, out, batch, d, 1 / temperature, ROWS=ROWS, D=_padded(d))
    return out


def backward(z: Tensor, denominators: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Gradient, as :func:`featlib.kernels.contrastive.tiles.backward`.

    Raises:
        RuntimeError: if the rows are not on a GPU and triton's interpreter is off.
    """
    _check(z)
    z, denominators, weight = z.contiguous(), denominators.contiguous(), weight.contiguous()
    (batch, d), grad = z.shape, torch.zeros_like(z)
    if batch:
        grid = (triton.cdiv(batch, ROWS),)
        _backward[grid](z, denominators, weight, grad, batch, d, 1 / temperature, ROWS=ROWS, D=_padded(d))
    return grad


def _padded(d: int) -> int:
    """Columns of a block: a power of two, at least what a tensor core takes."""
    return max(16, int(triton.next_power_of_2(d)))
