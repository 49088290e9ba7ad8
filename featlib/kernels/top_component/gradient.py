r"""Gradient of the first components, without the gradients of all the others that an eigensolver would bring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from featlib.kernels.top_component.gram import Component, centred


class TopComponent(torch.autograd.Function):
    r"""Scores :math:`L_i = \sigma_i u_i` and :math:`\sigma_i` of ``rows`` :math:`O`, with their exact gradient.

    With :math:`g_i = \partial \ell / \partial L_i`, :math:`v_i = O^\top u_i / \sigma_i` and
    :math:`w_i = (\sigma_i^2 I - OO^\top)^{+} g_i` (so :math:`w_i \perp u_i`),

    .. math::
        \frac{\partial \ell}{\partial O} =
        \sum_i (g_i^\top u_i + \tfrac{\partial \ell}{\partial \sigma_i})\, u_i v_i^\top
        + \sigma_i^2 w_i v_i^\top + \sigma_i u_i (O^\top w_i)^\top .

    Zero where :math:`\sigma_i = 0`, for there no derivative exists. Undefined, as for any eigenvector, when
    :math:`\sigma_i` equals another singular value.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, centre: bool, solve: Callable[[Tensor, bool], Component]) -> Component:
        """Run ``solve`` and keep what the backward pass needs."""
        scores, sigma = solve(rows, centre)
        scores, sigma = scores.to(rows.dtype), sigma.to(rows.dtype)
        ctx.centre = centre
        ctx.save_for_backward(rows, scores, sigma)
        return scores, sigma

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_scores: Tensor, grad_sigma: Tensor) -> tuple[Tensor, None, None]:
        """Apply the equation above, in the eigenbasis of the smaller side."""
        rows, scores, sigma = ctx.saved_tensors
        rows = centred(rows, ctx.centre)
        real = sigma[:, None] > 0  # [batch, 1, k]
        value = torch.where(real, sigma[:, None], 1.0)
        u, grad = torch.where(real, scores.mT / value, 0.0), torch.where(real, grad_scores.mT, 0.0)  # [batch, N, k]
        v = rows.mT @ u / value
        w = torch.where(real, _resolvent(rows, grad, u, value), 0.0)
        along = (grad * u).sum(1, keepdim=True) + torch.where(real, grad_sigma[:, None], 0.0)
        result = (along * u + value**2 * w) @ v.mT + (value * u) @ (rows.mT @ w).mT
        return centred(result, ctx.centre), None, None


def _resolvent(rows: Tensor, grad: Tensor, u: Tensor, value: Tensor) -> Tensor:
    r""":math:`(\sigma_i^2 I - OO^\top)^{+} g_i`, from the thin singular vectors and the rest of the space."""
    left, values, _ = torch.linalg.svd(rows, full_matrices=False)
    rest = grad - (grad * u).sum(1, keepdim=True) * u
    inside = left.mT @ rest  # [batch, M, k]
    gap = value**2 - values[..., None] ** 2
    own = torch.eye(values.shape[1], u.shape[2], dtype=torch.bool, device=rows.device)
    outside = rest - left @ inside
    result: Tensor = left @ torch.where(own, 0.0, inside / torch.where(own, 1.0, gap)) + outside / value**2
    return result
