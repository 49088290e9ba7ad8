r"""The torch path: projected gradient with momentum on the dual, a few planes at a time, which stay in the cache.

Each step is :math:`p \leftarrow P_\lambda(q + \tfrac18 \nabla(y + \mathrm{div}\, q))`, with :math:`P_\lambda` the
projection of each pixel's vector onto the disc of radius :math:`\lambda`, and :math:`q` the point that the momentum
leads to.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["momenta", "project", "weights_of"]

Planes = Float[Tensor, "planes height width"]
Vectors = Float[Tensor, "batch channel 2 height width"]

STEP = 1 / 8
"""One over a bound of the largest eigenvalue of differences times their transpose."""
TOGETHER = 1 << 15
"""Pixels that are worked on together: their seven arrays fit the second-level cache of one core."""


def weights_of(weight: float | Tensor, images: Tensor) -> Float[Tensor, " batch"]:
    """One weight for each picture.

    Raises:
        ValueError: if there are more or fewer, or one is negative or not finite.
    """
    given = torch.as_tensor(weight, device=images.device)
    if given.ndim and given.shape != (len(images),):
        raise ValueError(f"{len(images)} images need one weight for all or {len(images)}, got {tuple(given.shape)}")
    if given.numel() and not bool(((given >= 0) & given.isfinite()).all()):
        raise ValueError(f"weight must be finite and not negative, got {weight}")
    return given.to(torch.float64 if images.dtype == torch.float64 else torch.float32).expand(len(images))


def momenta(iterations: int) -> list[float]:
    """How far each step overshoots; 0 after the first."""
    found, t = [], 1.0
    for _ in range(iterations):
        following = (1 + (1 + 4 * t * t) ** 0.5) / 2
        found.append((t - 1) / following)
        t = following
    return found


def project(images: Planes, weights: Float[Tensor, " planes"], iterations: int, dual: Vectors) -> Planes:
    """Smoothed planes; ``dual`` is read and overwritten."""
    height, width = images.shape[-2:]
    vectors = dual.view(-1, 2, height, width) if dual.is_contiguous() else dual.reshape(-1, 2, height, width)
    out = torch.empty_like(images, memory_format=torch.contiguous_format)
    together = max(1, TOGETHER // (height * width)) if images.device.type == "cpu" else len(images)
    for start in range(0, len(images), together):
        part = slice(start, start + together)
        _project(images[part], weights[part, None, None], iterations, vectors[part], out[part])
    if not dual.is_contiguous():
        dual.copy_(vectors.view_as(dual))
    return out


def _project(y: Tensor, weight: Tensor, iterations: int, dual: Tensor, x: Tensor) -> None:
    """The same for planes that are worked on together; ``x`` and ``dual`` are filled in."""
    inverse = torch.where(weight > 0, 1 / weight**2, 0.0)
    p = dual.movedim(1, 0).contiguous()  # [2, planes, height, width]
    _onto(p, inverse, norm := torch.empty_like(y))
    p *= weight > 0
    q, new = p.clone(), torch.empty_like(p)
    # views once, not in every step: on small pictures making them costs as much as the arithmetic
    (above, below), (before, behind) = (x[:, :-1], x[:, 1:]), (x[..., :-1], x[..., 1:])
    down, right = norm[:, 1:], norm[..., 1:]  # one array lent for both differences
    of_q, of_p, of_new = _halves(q), _halves(p), _halves(new)
    primal = _primal(y, x)
    for beta in momenta(iterations):
        primal(of_q[:2])
        torch.sub(below, above, out=down)
        torch.add(of_q[0], down, alpha=STEP, out=of_new[0])
        torch.sub(behind, before, out=right)
        torch.add(of_q[1], right, alpha=STEP, out=of_new[1])
        for rim, old in zip(of_new[2:], of_q[2:], strict=True):
            rim.copy_(old)
        _onto(new, inverse, norm)
        torch.lerp(p, new, 1 + beta, out=q)
        p, new, of_p, of_new = new, p, of_new, of_p
    p *= weight > 0
    primal(of_p[:2])
    dual.copy_(p.movedim(0, 1))


def _halves(p: Tensor) -> list[Tensor]:
    """Views of what a picture depends on, down and to the right; then of the last row and column, which it does not."""
    return [p[0, :, :-1], p[1, ..., :-1], p[0, :, -1:], p[1, ..., -1:]]


def _primal(y: Tensor, x: Tensor) -> Callable[[list[Tensor]], None]:
    r"""A function that fills in :math:`x = y + \mathrm{div}\, p`, given the two parts of :math:`p` that count."""
    (above, last), below = (x[:, :-1], x[:, -1]), x[:, 1:]
    before, behind = x[..., :-1], x[..., 1:]
    y_above, y_last = y[:, :-1], y[:, -1]

    def fill(p: list[Tensor]) -> None:
        torch.add(y_above, p[0], out=above)
        last.copy_(y_last)
        below.sub_(p[0])
        before.add_(p[1])
        behind.sub_(p[1])

    return fill


def _onto(p: Tensor, inverse: Tensor, norm: Tensor) -> None:
    r"""Shorten vectors longer than :math:`\lambda` to that length, in place; ``inverse`` is :math:`\lambda^{-2}`."""
    torch.mul(p[0], p[0], out=norm)
    norm.addcmul_(p[1], p[1])
    p *= norm.mul_(inverse).clamp_(min=1).rsqrt_()
