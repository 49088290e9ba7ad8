r"""The GPU path: one fused pass over the planes for each step, where eager torch makes seventeen.

A program owns a tile of one plane. It reads :math:`q` with one neighbour on each side, forms
:math:`x = y + \mathrm{div}\, q` at the pixel, below it and to its right, steps, projects, and writes :math:`p` and the
next :math:`q`. Two buffers for each take turns, so that no program reads what another one writes. Ten pictures of
224 x 224 are 6 MB an array and stay in the second-level cache of a data-centre GPU from step to step: several steps for
each load would save little there, and cost a rim of recomputed pixels that grows with each of them. Imported only when
asked for; needs triton.
"""

# ruff: noqa: ANN001, ANN202  # the arguments of a kernel are pointers and numbers to the compiler, not to Python
from __future__ import annotations

import os

import torch
import triton
import triton.language as tl
from jaxtyping import Float
from torch import Tensor

from featlib.kernels.tv_prox.dual import momenta

__all__ = ["project_triton"]

TILE = (16, 64)


@triton.jit
def _at(q, row, column, height, width, plane):  # type: ignore[no-untyped-def]
    """The divergence of ``q`` at some pixels."""
    size = height * width
    here = row * width + column
    inside = (row < height) & (column < width)
    down = tl.load(q + 2 * plane * size + here, mask=inside & (row < height - 1), other=0.0)
    above = tl.load(q + 2 * plane * size + here - width, mask=inside & (row > 0), other=0.0)
    right = tl.load(q + (2 * plane + 1) * size + here, mask=inside & (column < width - 1), other=0.0)
    left = tl.load(q + (2 * plane + 1) * size + here - 1, mask=inside & (column > 0), other=0.0)
    return down - above + right - left


@triton.jit  # type: ignore[untyped-decorator]
def _step(  # type: ignore[no-untyped-def]
    y, weights, q, p, new_q, new_p, x_out, height, width, beta,
    FINISH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """One step for a tile; with ``FINISH`` the picture that belongs to ``q`` instead."""
    plane = tl.program_id(2).to(tl.int64)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)[:, None]
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    size = height * width
    here = row * width + column
    inside = (row < height) & (column < width)
    x = tl.load(y + plane * size + here, mask=inside, other=0.0) + _at(q, row, column, height, width, plane)
    if FINISH:
        tl.store(x_out + plane * size + here, x, mask=inside)
    else:
        lower, farther = inside & (row < height - 1), inside & (column < width - 1)
        below = tl.load(y + plane * size + here + width, mask=lower, other=0.0)
        below += _at(q, row + 1, column, height, width, plane)
        beside = tl.load(y + plane * size + here + 1, mask=farther, other=0.0)
        beside += _at(q, row, column + 1, height, width, plane)
        first, second = q + 2 * plane * size + here, q + (2 * plane + 1) * size + here
        down = tl.load(first, mask=inside, other=0.0) + tl.where(lower, below - x, 0.0) * 0.125
        right = tl.load(second, mask=inside, other=0.0) + tl.where(farther, beside - x, 0.0) * 0.125
        weight = tl.load(weights + plane)
        length = tl.sqrt(down * down + right * right)
        scale = tl.where(length > weight, weight / tl.where(length > 0, length, 1.0), 1.0)
        down, right = down * scale, right * scale
        old_down = tl.load(p + 2 * plane * size + here, mask=inside, other=0.0)
        old_right = tl.load(p + (2 * plane + 1) * size + here, mask=inside, other=0.0)
        tl.store(new_p + 2 * plane * size + here, down, mask=inside)
        tl.store(new_p + (2 * plane + 1) * size + here, right, mask=inside)
        tl.store(new_q + 2 * plane * size + here, down + beta * (down - old_down), mask=inside)
        tl.store(new_q + (2 * plane + 1) * size + here, right + beta * (right - old_right), mask=inside)


def project_triton(
    images: Float[Tensor, "planes height width"],
    weights: Float[Tensor, " planes"],
    iterations: int,
    dual: Float[Tensor, "batch channel 2 height width"],
) -> Float[Tensor, "planes height width"]:
    """Smoothed planes; ``dual`` is read and overwritten.

    Raises:
        RuntimeError: if the input is not on a GPU and triton's interpreter is off.
        TypeError: if the numbers are float64.
    """
    if not images.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise RuntimeError("method 'triton' needs images on a GPU (or TRITON_INTERPRET=1 to test): use method='auto'")
    if images.dtype != torch.float32:
        raise TypeError("method 'triton' computes in float32, and float64 has more digits: use method='torch'")
    planes, height, width = images.shape
    images, x = images.contiguous(), torch.empty_like(images, memory_format=torch.contiguous_format)
    p = dual.reshape(planes, 2, height, width).contiguous()
    length = p.square().sum(1, keepdim=True).sqrt()
    limit = weights[:, None, None, None]
    p = p * torch.where(length > limit, limit / length.clamp_min(torch.finfo(p.dtype).tiny), 1.0)
    q, new_p, new_q = p.clone(), torch.empty_like(p), torch.empty_like(p)
    grid = (triton.cdiv(width, TILE[1]), triton.cdiv(height, TILE[0]), planes)
    for beta in momenta(iterations):
        _step[grid](images, weights.contiguous(), q, p, new_q, new_p, x, height, width, beta, False, *TILE)
        p, new_p, q, new_q = new_p, p, new_q, q
    _step[grid](images, weights.contiguous(), p, p, new_q, new_p, x, height, width, 0.0, True, *TILE)
    dual.copy_(p.view_as(dual))
    return x
