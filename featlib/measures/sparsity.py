"""How many units carry a feature: density, and Hoyer's index of sparsity."""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

__all__ = ["density", "hoyer"]


def density(shares: Float[Tensor, "*seeds units"], threshold: float = 0.1) -> Float[Tensor, "*seeds"]:
    """Fraction of units of whose variance a feature explains more than ``threshold``.

    Args:
        shares: variance explained in each unit, from :func:`featlib.measures.unit_variance_explained`.
        threshold: the share above which a unit counts.

    Raises:
        ValueError: if there are no units.
    """
    _check(shares)
    return (shares > threshold).to(shares.dtype).mean(-1)


def hoyer(loadings: Float[Tensor, "*seeds units"]) -> Float[Tensor, "*seeds"]:
    r"""Hoyer's sparsity :cite:p:`hoyer2004sparsity` of a vector of loadings.

    .. math:: \frac{\sqrt{d} - \lVert a \rVert_1 / \lVert a \rVert_2}{\sqrt{d} - 1}

    with :math:`a \in \mathbb{R}^d`. 0 when all are of equal size, 1 when only one is not zero; whatever the scale and
    the signs. A vector of zeros has 0: nothing stands out.

    Raises:
        ValueError: if there are fewer than two units.
    """
    _check(loadings, least=2)
    root = math.sqrt(loadings.shape[-1])
    size = loadings.norm(dim=-1)
    ratio = loadings.abs().sum(-1) / size.where(size > 0, 1)
    index: Tensor = (root - ratio) / (root - 1)
    return index.where(size > 0, 0)


def _check(values: Tensor, least: int = 1) -> None:
    """Refuse too few units."""
    if values.ndim == 0 or values.shape[-1] < least:
        raise ValueError(f"{tuple(values.shape)} holds fewer than {least} unit(s) on its last axis")
