r"""The GPU path: one program for each image gathers the Gram matrix tile by tile and iterates on it in registers.

The matrix itself (1280 x 49 numbers are 250 KB) does not fit one multiprocessor; its Gram matrix (49 x 49) does.
Products are plain float32 (``ieee``), never TF32. Imported only when asked for; needs triton.
"""

# ruff: noqa: ANN001, ANN202  # the arguments of a kernel are pointers and numbers to the compiler, not to Python
from __future__ import annotations

import os

import torch
import triton
import triton.language as tl

from featlib.kernels.top_component.gram import RESIDUAL, Component, Rows, centred, settled

__all__ = ["LARGEST_SIDE", "gram_triton"]

LARGEST_SIDE = 128
MAX_STEPS = 50
TILE = 64


@triton.jit  # type: ignore[untyped-decorator]
def _first_vector(  # type: ignore[no-untyped-def]
    rows, vectors, found, stride_image, stride_long, stride_side, long, side, residual,
    STEPS: tl.constexpr, TILE: tl.constexpr, SIDE: tl.constexpr,
):  # fmt: skip
    """First eigenvector of one image's Gram matrix; ``found`` gets its Rayleigh quotient, residual and trace."""
    image = tl.program_id(0).to(tl.int64)
    m = tl.arange(0, SIDE)
    gram = tl.zeros([SIDE, SIDE], dtype=tl.float32)
    for start in range(0, long, TILE):
        place = start + tl.arange(0, TILE)
        where = image * stride_image + place[:, None] * stride_long + m[None, :] * stride_side
        tile = tl.load(rows + where, mask=(place[:, None] < long) & (m[None, :] < side), other=0.0)
        gram += tl.dot(tl.trans(tile), tile, input_precision="ieee")
    trace = tl.sum(tl.sum(tl.where(m[:, None] == m[None, :], gram, 0.0), 1), 0)
    x = tl.sum(gram, 1)
    length = tl.sqrt(tl.sum(x * x, 0))
    uniform = tl.where(m < side, 1.0 / tl.sqrt(side.to(tl.float32)), 0.0)
    x = tl.where(length > 0.0, x / tl.where(length > 0.0, length, 1.0), uniform)
    rayleigh = trace * 0.0
    left = trace + 1.0
    step = 0
    while (step < STEPS) & (left > residual * rayleigh):
        y = tl.sum(gram * x[None, :], 1)
        rayleigh = tl.sum(x * y, 0)
        rest = y - rayleigh * x
        left = tl.sqrt(tl.sum(rest * rest, 0))
        length = tl.sqrt(tl.sum(y * y, 0))
        go_on = (left > residual * rayleigh) & (length > 0.0)
        x = tl.where(go_on, y / tl.where(length > 0.0, length, 1.0), x)
        step += 1
    tl.store(vectors + image * side + m, x, mask=m < side)
    tl.store(found + image * 3, rayleigh)
    tl.store(found + image * 3 + 1, left)
    tl.store(found + image * 3 + 2, trace)


def gram_triton(rows: Rows, centre: bool = False, max_steps: int = MAX_STEPS) -> Component:
    """First component; unfinished images go to the eigensolver, as do those of a lesser vector.

    The start, the row sums of the Gram matrix, can be orthogonal to the answer. A Rayleigh quotient over half the trace
    is that of the first vector; any other is doubtful.

    Raises:
        RuntimeError: if the input is not on a GPU and triton's interpreter is off.
        ValueError: if the smaller side is above 128 or the numbers are not float32.
    """
    if not rows.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("method 'triton' needs maps on a GPU (or TRITON_INTERPRET=1 to test): use method='auto'")
    positions, channels = rows.shape[1:]
    side, long = min(positions, channels), max(positions, channels)
    if side > LARGEST_SIDE or rows.dtype != torch.float32:
        raise ValueError(
            f"method 'triton' takes float32 maps with a side up to {LARGEST_SIDE}, got {rows.dtype} {tuple(rows.shape)}"
        )
    rows = centred(rows, centre)
    vectors = rows.new_empty(len(rows), side)
    found = rows.new_empty(len(rows), 3)
    strides = rows.stride()[1:] if side == channels and positions != channels else rows.stride()[:0:-1]
    _first_vector[len(rows),](
        rows, vectors, found, rows.stride(0), *strides, long, side, RESIDUAL[torch.float32],
        STEPS=max_steps, TILE=TILE, SIDE=max(16, triton.next_power_of_2(side)),
    )  # fmt: skip
    rayleigh, left, trace = found.unbind(1)
    doubtful = (left > RESIDUAL[torch.float32] * rayleigh) | (rayleigh < 0.5 * trace)
    return settled(rows, vectors[..., None], doubtful)
