"""Least squares with an intercept for many problems at once, also where columns depend on each other."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["fit_linear"]


def fit_linear(
    design: Float[Tensor, "*#seeds n p"], targets: Float[Tensor, "*#seeds n q"], alpha: float = 0.0
) -> tuple[Float[Tensor, "*seeds p q"], Float[Tensor, "*seeds q"]]:
    r"""Weights and intercept of least squares with a penalty on the weights, in float64.

    .. math:: \min_{W, b} \lVert X W + b - Y \rVert_F^2 + \alpha \lVert W \rVert_F^2
              \quad\Rightarrow\quad W = V \operatorname{diag}\!\Big(\frac{s}{s^2 + \alpha}\Big) U^\top Y_c,
              \quad X_c = U \operatorname{diag}(s) V^\top

    with columns centred over the :math:`n` examples in :math:`X_c, Y_c`. The singular value decomposition keeps all
    digits that a Gram matrix would halve. With :math:`\alpha = 0` and columns that depend on each other the shortest
    solution is taken.

    Args:
        design: :math:`X`; without leading axes it is the same for all problems.
        targets: :math:`Y`.
        alpha: :math:`\alpha`.

    Returns:
        :math:`W` and :math:`b`.
    """
    x, x_mean = _centred(design)
    y, y_mean = _centred(targets)
    left, sigma, right = torch.linalg.svd(x, full_matrices=False)
    noise = max(x.shape[-2:]) * torch.finfo(x.dtype).eps * sigma[..., :1]
    real = sigma > noise
    scale = torch.where(real, sigma / torch.where(real, sigma**2 + alpha, 1.0), 0.0)
    weights = right.mT @ (scale[..., None] * (left.mT @ y))
    return weights, (y_mean - x_mean @ weights)[..., 0, :]


def _centred(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in float64 less their mean, and the mean, [..., 1, p]."""
    rows = rows.double()
    mean = rows.mean(-2, keepdim=True)
    return rows - mean, mean
