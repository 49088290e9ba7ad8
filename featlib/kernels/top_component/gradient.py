r"""Gradient of the first component, without the gradients of all the others that an eigensolver would bring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class TopComponent(torch.autograd.Function):
    r"""Scores :math:`L = \sigma u` and :math:`\sigma` of ``rows`` :math:`O`, with their exact gradient.

    With :math:`g = \partial \ell / \partial L`, :math:`v = O^\top u / \sigma` and
    :math:`w = (\sigma^2 I - OO^\top)^{+} g` (so :math:`w \perp u`),

    .. math::
        \frac{\partial \ell}{\partial O} = (g^\top u + \tfrac{\partial \ell}{\partial \sigma})\, u v^\top
        + \sigma^2 w v^\top + \sigma u (O^\top w)^\top .

    Zero for an all-zero image, where no derivative exists. Undefined, as for any eigenvector, when the first two
    singular values are equal.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, solve: Callable[[Tensor], tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
        """Run ``solve`` and keep what the backward pass needs."""
        scores, sigma = solve(rows)
        ctx.save_for_backward(rows, scores, sigma)
        return scores, sigma

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scores: Tensor, grad_sigma: Tensor) -> tuple[Tensor, None]:
        """Apply the equation above, in the eigenbasis of the smaller side."""
        rows, scores, sigma = ctx.saved_tensors
        safe = torch.where(sigma > 0, sigma, 1.0)[:, None]
        u = scores / safe  # [batch, N]
        v = _times(rows.mT, u) / safe  # [batch, C]
        w = _resolvent(rows, grad_scores, u, sigma)
        along = (grad_scores * u).sum(1) + grad_sigma
        grad = _outer(along[:, None] * u + sigma[:, None] ** 2 * w, v)
        grad = grad + _outer(sigma[:, None] * u, _times(rows.mT, w))
        return torch.where((sigma > 0)[:, None, None], grad, 0.0), None


def _resolvent(rows: Tensor, grad: Tensor, u: Tensor, sigma: Tensor) -> Tensor:
    r""":math:`(\sigma^2 I - OO^\top)^{+} g`, from the thin singular vectors and the rest of the space."""
    left, values, _ = torch.linalg.svd(rows, full_matrices=False)
    others, rest = left[..., 1:], grad - (grad * u).sum(1, keepdim=True) * u
    inside = _times(others.mT, rest)
    gap = sigma[:, None] ** 2 - values[:, 1:] ** 2
    outside = rest - _times(others, inside)
    return _times(others, inside / gap) + outside / torch.where(sigma > 0, sigma, 1.0)[:, None] ** 2


def _times(matrix: Tensor, vector: Tensor) -> Tensor:
    """Batched matrix times vector."""
    return (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _outer(left: Tensor, right: Tensor) -> Tensor:
    """Batched outer product."""
    return left.unsqueeze(-1) * right.unsqueeze(-2)
