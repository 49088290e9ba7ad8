r"""First principal component of a stack of feature maps, one image at a time or thousands at once."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from featlib.kernels.top_component.gradient import TopComponent
from featlib.kernels.top_component.gram import gram_eigh, gram_power

__all__ = ["top_component"]

# Smaller side of the map up to which the batched eigensolver beats power iteration on a CPU (see README.md).
EIGH_SIDE = 64


def top_component(
    maps: Float[Tensor, "batch channels *space"],
    centre: bool = False,
    method: Literal["auto", "eigh", "power"] = "auto",
) -> tuple[Float[Tensor, "batch *space"], Float[Tensor, " batch"]]:
    r"""Scores of the first principal component of each image's feature maps, with a fixed sign.

    One image is a matrix :math:`O \in \mathbb{R}^{N \times C}`: a row for each of the :math:`N` positions, a column
    for each of the :math:`C` channels. With :math:`O = U \Sigma V^\top`, the scores are

    .. math:: L = O v_1 = \sigma_1 u_1 .

    Only :math:`\sigma_1` and :math:`u_1` are computed, from the Gram matrix of the smaller side. Both have gradients.

    The sign of a singular vector is free; here it is fixed. Without centring :math:`\sum_n L_n > 0`, which for
    non-negative maps makes every score non-negative (Perron-Frobenius). With centring the scores sum to zero, so
    the sign is the one that correlates positively with the mean over channels.

    Example:
        >>> maps = torch.rand(8, 320, 7, 7)
        >>> scores, sigma = top_component(maps)
        >>> tuple(scores.shape), tuple(sigma.shape)
        ((8, 7, 7), (8,))

    Args:
        maps: feature maps; ``space`` is any number of axes (height and width, or tokens). Half precisions are
            computed in float32.
        centre: subtract each channel's mean over positions first (the form of the ``grad-cam`` package; the paper
            does not centre).
        method: ``eigh`` solves the Gram matrix by a batched eigensolver, ``power`` iterates and falls back to
            ``eigh`` where it has not converged, ``auto`` takes the faster one for the size.

    Returns:
        The scores, shaped as the positions, and the singular values :math:`\sigma_1`. An all-zero image gives zeros.

    Raises:
        ValueError: if ``maps`` has fewer than three axes, an unknown ``method`` is asked for, or a value is not finite.
        TypeError: if ``maps`` is not floating point.
    """
    _check(maps, method)
    batch, _, *space = maps.shape
    rows = maps.flatten(2).transpose(1, 2)  # [batch, N, C]
    rows = rows if rows.dtype == torch.float64 else rows.float()
    if 0 in rows.shape:
        return maps.new_zeros(batch, *space), maps.new_zeros(batch)
    if centre:
        rows = rows - rows.mean(1, keepdim=True)
    if method == "auto":
        method = "eigh" if min(rows.shape[1:]) <= EIGH_SIDE else "power"
    solve = gram_eigh if method == "eigh" else gram_power
    scores, sigma = TopComponent.apply(rows, solve)  # type: ignore[no-untyped-call]
    # in the centred form the scores sum to zero: orient by the channel mean instead
    towards = maps.flatten(2).mean(1).to(scores) if centre else torch.ones_like(scores)
    sign = torch.where((scores * towards).sum(1, keepdim=True) < 0, -1.0, 1.0).to(scores)
    return (scores * sign).reshape(batch, *space).to(maps.dtype), sigma.to(maps.dtype)


def _check(maps: Tensor, method: str) -> None:
    """Refuse what cannot have a first component, with a sentence that says what to change."""
    if maps.ndim < 3:
        raise ValueError(f"maps must be (batch, channels, positions...), got {tuple(maps.shape)}: add the missing axis")
    if not maps.is_floating_point():
        raise TypeError(f"maps must be floating point, got {maps.dtype}: convert with .float()")
    if method not in ("auto", "eigh", "power"):
        raise ValueError(f"method must be 'auto', 'eigh' or 'power', got {method!r}")
    if not bool(torch.isfinite(maps).all()):
        bad = (~torch.isfinite(maps.flatten(1)).all(1)).nonzero().flatten().tolist()
        raise ValueError(f"maps of image(s) {bad[:5]} hold NaN or infinity: look at what the layer was given")
