r"""Total-variation denoising of a batch of pictures at once, from where the last call left off."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from featlib.kernels.tv_prox.dual import project, weights_of

__all__ = ["tv_dual", "tv_prox"]

METHODS = ("auto", "torch", "triton")

Images = Float[Tensor, "batch channel height width"]
Dual = Float[Tensor, "batch channel 2 height width"]
Weight = float | Float[Tensor, " batch"]


@torch.no_grad()
def tv_prox(
    images: Images,
    weight: Weight,
    iterations: int = 50,
    dual: Dual | None = None,
    method: Literal["auto", "torch", "triton"] = "auto",
) -> Images:
    r"""The nearest pictures with less total variation: the proximal step of isotropic TV :cite:p:`rudin1992tv`.

    .. math:: x = \arg\min_u \tfrac12 \lVert u - y \rVert^2 + \lambda \sum_{ij} \lVert (\nabla u)_{ij} \rVert_2

    for each channel by itself, with forward differences that are zero beyond the last row and column. Solved in the
    dual :cite:p:`chambolle2004tv`: :math:`x = y + \mathrm{div}\, p` with :math:`\lVert p_{ij} \rVert_2 \le \lambda`,
    by projected gradient with momentum :cite:p:`beck2009tv`. The weight means the same as in
    ``skimage.restoration.denoise_tv_chambolle``; it is one over that of ``denoise_tv_bregman``.

    Example:
        >>> noisy = (torch.full((1, 1, 16, 16), 0.5) + 0.1 * torch.randn(1, 1, 16, 16)).clamp(0, 1)
        >>> flat = tv_prox(noisy, weight=1.0, iterations=200)
        >>> bool(flat.std() < 1e-3), bool((flat.mean() - noisy.mean()).abs() < 1e-5)
        (True, True)

    Args:
        images: in [0, 1]. Half precisions are computed in float32.
        weight: :math:`\lambda`, one for all pictures or one for each.
        iterations: steps in the dual; 0 gives the picture that belongs to ``dual``.
        dual: where to start, **overwritten** with where it ended, for the next call on a picture that has changed
            little: a tenth of the steps is then enough. Start with :func:`tv_dual`.
        method: ``torch``, ``triton`` (on a GPU), or ``auto`` for the faster one of the device.

    Returns:
        The pictures, in [0, 1], without gradient.

    Raises:
        ValueError: if images are no such batch, or weight, iterations, dual or method are not as described.
        TypeError: if images are not floating point.
        RuntimeError: if ``triton`` is asked for and not installed, or has no GPU.
    """
    weights = _check(images, weight, iterations, dual, method)
    dual = tv_dual(images) if dual is None else dual
    if not images.numel():
        return images.clone()
    solve = project
    if method == "triton" or (method == "auto" and images.is_cuda and _has_triton() and dual.dtype == torch.float32):
        if not _has_triton():
            raise RuntimeError("triton is not installed: pip install triton (Linux, NVIDIA GPU), or use method='auto'")
        from featlib.kernels.tv_prox.triton import project_triton

        solve = project_triton
    height, width = images.shape[-2:]
    planes = images.reshape(-1, height, width).to(dual.dtype)
    smooth = solve(planes, weights.repeat_interleave(images.shape[1]), iterations, dual)
    return smooth.clamp_(0, 1).view_as(images).to(images.dtype)


def tv_dual(images: Images) -> Dual:
    """A cold start for :func:`tv_prox`: zeros of the right shape."""
    batch, channel, height, width = images.shape
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    return images.new_zeros(batch, channel, 2, height, width, dtype=dtype)


@cache
def _has_triton() -> bool:
    """Whether triton can be imported, without importing it."""
    return find_spec("triton") is not None


def _check(images: Tensor, weight: Weight, iterations: int, dual: Tensor | None, method: str) -> Tensor:
    """One weight for each picture; refuses the rest with a sentence that says what to change."""
    if images.ndim != 4:
        raise ValueError(f"images must be (batch, channel, height, width), got {tuple(images.shape)}: use image[None]")
    if not images.is_floating_point():
        raise TypeError(f"images must be floating point in [0, 1], got {images.dtype}: use images.float() / 255")
    if images.numel():
        low, high = (float(end) for end in images.aminmax())
        if not (low >= 0 and high <= 1):
            raise ValueError(f"images must lie in [0, 1], got {low:.3g}..{high:.3g}: scale or clamp them")
    if iterations < 0:
        raise ValueError(f"iterations must not be negative, got {iterations}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    want = tv_dual(images[:, :, :0]).dtype if images.ndim == 4 else None
    shape = (*images.shape[:2], 2, *images.shape[2:])
    if dual is not None and (dual.shape != shape or dual.dtype != want or dual.device != images.device):
        raise ValueError(f"dual must be {want} {shape} on {images.device}: start with tv_dual(images)")
    return weights_of(weight, images)
