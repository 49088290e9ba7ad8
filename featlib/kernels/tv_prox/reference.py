"""The slow, obviously right way: one plane at a time in float64, plain projected gradient until nothing moves."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["gap", "objective", "tv_prox_reference"]

Images = Float[Tensor, "batch channel height width"]


def tv_prox_reference(images: Images, weight: float, tolerance: float = 1e-10, most: int = 20_000) -> Images:
    """See :func:`featlib.kernels.tv_prox.tv_prox`; to the tolerance, whatever it takes."""
    out = torch.empty_like(images, dtype=torch.float64)
    for image, smooth in zip(images.double(), out, strict=True):
        for channel in range(len(image)):
            smooth[channel] = _plane(image[channel], weight, tolerance, most)
    return out


def _plane(y: Tensor, weight: float, tolerance: float, most: int) -> Tensor:
    """Chambolle's projection for one plane."""
    p = torch.zeros(2, *y.shape, dtype=y.dtype)
    for _ in range(most):
        step = p + differences(y + divergence(p)) / 8
        length = step.square().sum(0).sqrt()
        new = step / (length / weight).clamp(min=1) if weight > 0 else torch.zeros_like(p)
        moved = float((new - p).abs().max())
        p = new
        if moved < tolerance:
            break
    return y + divergence(p)


def differences(x: Tensor) -> Tensor:
    """Forward differences down and to the right, zero beyond the end; on the last two axes, stacked in front."""
    down, right = torch.zeros_like(x), torch.zeros_like(x)
    down[..., :-1, :] = x[..., 1:, :] - x[..., :-1, :]
    right[..., :-1] = x[..., 1:] - x[..., :-1]
    return torch.stack([down, right])


def divergence(p: Tensor) -> Tensor:
    """Minus the transpose of :func:`differences`."""
    down, right = p[0].clone(), p[1].clone()
    down[..., -1, :] = 0
    right[..., -1] = 0
    down[..., 1:, :] -= p[0][..., :-1, :]
    right[..., 1:] -= p[1][..., :-1]
    return down + right


def objective(x: Images, images: Images, weight: float) -> Float[Tensor, " batch"]:
    r""":math:`\tfrac12 \lVert x - y \rVert^2 + \lambda\, \mathrm{TV}(x)` of each picture, in float64."""
    x, y = x.double(), images.double()
    variation = differences(x).square().sum(0).sqrt()
    return (0.5 * (x - y).square() + weight * variation).sum((1, 2, 3))


def gap(images: Images, weight: float, dual: Float[Tensor, "batch channel 2 height width"]) -> Float[Tensor, " batch"]:
    """How far the objective of a dual point's picture can be above the optimum: 0 exactly at the solution."""
    p, y = dual.double().movedim(2, 0), images.double()
    x = y + divergence(p)
    lower = 0.5 * (y.square() - x.square()).sum((1, 2, 3))
    return objective(x, images, weight) - lower
