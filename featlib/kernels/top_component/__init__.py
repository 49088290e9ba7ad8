r"""First principal component of a stack of feature maps, one image at a time or thousands at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from featlib.kernels.optional import has_triton, require_triton
from featlib.kernels.top_component.gradient import TopComponent
from featlib.kernels.top_component.gram import Component, gram_eigh, gram_power
from featlib.kernels.top_component.lanczos import lanczos

__all__ = ["top_component"]

# Largest side of a Gram matrix whose squares cost less than Lanczos vectors.
SQUARED_SIDE = 64
# Images times the cube of the smaller side, up to which the eigensolver beats the many small calls of Lanczos.
EIGH_WORK = 700_000
# Largest side of the Gram matrix that one Triton program holds in registers.
TRITON_SIDE = 128
METHODS = ("auto", "eigh", "power", "lanczos", "triton")

Scores = Float[Tensor, "batch *k_space"]
Sigma = Float[Tensor, "batch *k"]


def top_component(
    maps: Float[Tensor, "batch channels *space"],
    centre: bool = False,
    method: Literal["auto", "eigh", "power", "lanczos", "triton"] = "auto",
    k: int = 1,
) -> tuple[Scores, Sigma]:
    r"""Scores of the first principal component of each image's feature maps, with a fixed sign.

    One image is a matrix :math:`O \in \mathbb{R}^{N \times C}`: a row for each of the :math:`N` positions, a column
    for each of the :math:`C` channels. With :math:`O = U \Sigma V^\top` the scores are
    :math:`L = O v_1 = \sigma_1 u_1`, and only they and :math:`\sigma_1` are computed. Both have gradients.

    The sign of a singular vector is free; here it is fixed. Without centring :math:`\sum_n L_n > 0`, which for
    non-negative maps makes every score non-negative (Perron-Frobenius). With centring the scores sum to zero, so
    the sign is the one that correlates positively with the mean over channels. Further components follow the same rule.

    Example:
        >>> maps = torch.rand(8, 320, 7, 7)
        >>> scores, sigma = top_component(maps)
        >>> tuple(scores.shape), tuple(sigma.shape)
        ((8, 7, 7), (8,))
        >>> scores, sigma = top_component(maps, k=5)
        >>> tuple(scores.shape), tuple(sigma.shape)
        ((8, 5, 7, 7), (8, 5))

    Args:
        maps: feature maps; ``space`` is any number of axes (height and width, or tokens). Half precisions are
            computed in float32.
        centre: subtract each channel's mean over positions first (the form of the ``grad-cam`` package; the paper
            does not centre).
        method: ``eigh`` is a batched eigensolver; ``power``, ``lanczos`` and (on a GPU) ``triton`` iterate and
            fall back to it where they have not converged; ``auto`` takes the fastest for the size and device.
        k: how many components. With ``k=1`` the results have no axis for it; otherwise it is the second one. Components
            that the map does not have (its rank is lower) are zero. More than one takes ``eigh``.

    Returns:
        The scores, shaped as the positions, and the singular values. An all-zero image gives zeros.

    Raises:
        ValueError: if ``maps`` has fewer than three axes, ``method`` is unknown or cannot give ``k`` components,
            ``k`` is below 1, or a value is not finite.
        TypeError: if ``maps`` is not floating point.
        RuntimeError: if ``triton`` is asked for and not installed, or has no GPU.
    """
    _check(maps, method, k)
    batch, _, *space = maps.shape
    rows = maps.flatten(2).transpose(1, 2)  # [batch, N, C]
    rows = rows if rows.dtype == torch.float64 else rows.float()
    shape = (batch, *space) if k == 1 else (batch, k, *space)
    if 0 in rows.shape:
        return maps.new_zeros(shape), maps.new_zeros(shape[: 1 + (k > 1)])
    scores, sigma = TopComponent.apply(rows, centre, _solver(rows, method, k))  # type: ignore[no-untyped-call]
    scores = _oriented(scores, rows, centre)
    missing = max(0, k - scores.shape[1])
    scores, sigma = functional.pad(scores, (0, 0, 0, missing)), functional.pad(sigma, (0, missing))
    return scores.reshape(shape).to(maps.dtype), sigma.reshape(shape[: 1 + (k > 1)]).to(maps.dtype)


def _oriented(scores: Tensor, rows: Tensor, centre: bool) -> Tensor:
    """Scores, [batch, k, N], with their sign fixed; centred ones sum to zero, so the channel mean decides."""
    towards = rows.detach().mean(2)[:, None] if centre else torch.ones_like(scores)
    return scores * torch.where((scores * towards).sum(2, keepdim=True) < 0, -1.0, 1.0).to(scores)


def _solver(rows: Tensor, method: str, k: int) -> Callable[[Tensor, bool], Component]:
    """The path for this input."""
    side = min(rows.shape[1:])
    if method == "auto":
        method = "eigh" if len(rows) * side**3 <= EIGH_WORK or k > 1 else "lanczos"
        if k == 1 and side <= SQUARED_SIDE:
            method = "power"
        if rows.is_cuda and k == 1 and side <= TRITON_SIDE and rows.dtype == torch.float32 and has_triton():
            method = "triton"
    if method == "triton":
        require_triton()
        from featlib.kernels.top_component.triton import gram_triton

        return gram_triton
    if method == "eigh":
        return partial(gram_eigh, k=min(k, side))
    return gram_power if method == "power" else lanczos


def _check(maps: Tensor, method: str, k: int) -> None:
    """Refuse what cannot have a first component, with a sentence that says what to change."""
    if maps.ndim < 3:
        raise ValueError(f"maps must be (batch, channels, positions...), got {tuple(maps.shape)}: add the missing axis")
    if not maps.is_floating_point():
        raise TypeError(f"maps must be floating point, got {maps.dtype}: convert with .float()")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}")
    if k > 1 and method not in {"auto", "eigh"}:
        raise ValueError(f"method {method!r} finds one component only: for k={k} use 'eigh' or 'auto'")
    if not bool(torch.isfinite(maps.sum())) and not bool(torch.isfinite(maps).all()):  # the sum is much cheaper
        bad = (~torch.isfinite(maps.flatten(1)).all(1)).nonzero().flatten().tolist()
        raise ValueError(f"maps of image(s) {bad[:5]} hold NaN or infinity: look at what the layer was given")
