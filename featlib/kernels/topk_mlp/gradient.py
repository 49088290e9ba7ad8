r"""The network in pieces of tokens, and its gradient from what each token kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from featlib.kernels.chosen import chosen_products, chosen_sums, few, spread
from featlib.kernels.topk_mlp.select import Selection

PIECE = 2**20
"""Numbers in one piece of the hidden layer: 4 MB of float32, and still a large matrix product."""
MANY = 128
"""Tokens from which laying ``w_out`` out by neurons costs less than it saves."""


class TopkMLP(torch.autograd.Function):
    r"""Output :math:`y = c + \sum_{j \in S} a_j v_j`, :math:`a = \sigma(Kx + b)`, :math:`S` the ``k`` neurons kept.

    With :math:`g = \partial \ell / \partial y` and, for :math:`j \in S` only,
    :math:`h_j = [a_j > 0]\, v_j^\top g` (elsewhere 0),

    .. math::
        \frac{\partial \ell}{\partial x} = K^\top h, \quad
        \frac{\partial \ell}{\partial K} = \sum_x h x^\top, \quad
        \frac{\partial \ell}{\partial b} = \sum_x h, \quad
        \frac{\partial \ell}{\partial V} = \sum_x g a_S^\top, \quad
        \frac{\partial \ell}{\partial c} = \sum_x g .

    Between the passes it keeps :math:`x`, :math:`a_S` and :math:`S`, nothing of length :math:`d_{ff}`.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None,
        k: int, select: Callable[[Tensor, int], Selection],
    ) -> Tensor:  # fmt: skip
        """Run the network piece by piece."""
        tokens, d_ff = len(x), len(w_in)
        values = x.new_empty(tokens, k)
        index = torch.empty(tokens, k, dtype=torch.int16 if d_ff <= 2**15 else torch.int32, device=x.device)
        output = x.new_empty(tokens, len(w_out))
        columns = _columns(x, w_out, k)
        for piece in _pieces(tokens, d_ff):
            before = torch.nn.functional.linear(x[piece], w_in, b_in)
            values[piece], kept = select(before, k)
            index[piece] = kept
            del before  # not alive beside the next piece's
            output[piece] = chosen_sums(values[piece], columns, kept)
        ctx.save_for_backward(x, w_in, w_out, values, index)
        return output if b_out is None else output.add_(b_out)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Apply the equations above; weights of half precision sum their pieces in float32."""
        x, w_in, w_out, values, index = ctx.saved_tensors
        wants_x, wants_in, wants_b, wants_out, wants_c, *_ = ctx.needs_input_grad
        wide = torch.promote_types(x.dtype, torch.float32)
        grad_x = torch.empty_like(x) if wants_x else None
        grad_in, grad_out = (torch.zeros_like(w, dtype=wide) if wants else None
                             for w, wants in ((w_in, wants_in), (w_out, wants_out)))  # fmt: skip
        grad_b = w_in.new_zeros(len(w_in), dtype=wide) if wants_b else None
        columns = _columns(x, w_out, values.shape[1])
        for piece in _pieces(len(x), len(w_in)):
            g, kept, kept_index = grad[piece], values[piece], index[piece].long()
            if grad_out is not None:
                _add_product(grad_out, g.T, spread(kept, kept_index, len(w_in)))
            h = torch.where(kept <= 0, 0, chosen_products(g, columns, kept_index))
            if grad_x is not None:
                grad_x[piece] = chosen_sums(h, w_in, kept_index)
            if grad_b is not None:
                grad_b.index_add_(0, kept_index.flatten(), h.flatten().to(wide))
            if grad_in is not None:
                _add_product(grad_in, spread(h, kept_index, len(w_in)).T, x[piece])
        narrow = (None if t is None else t.to(x.dtype) for t in (grad_in, grad_b, grad_out))
        return grad_x, *narrow, grad.sum(0) if wants_c else None, None, None


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """Add a product to a sum that may be of higher precision; in place where it is not."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def _columns(x: Tensor, w_out: Tensor, k: int) -> Tensor:
    """``w_out`` transposed; laid out anew only where single columns will then be read, and often enough."""
    columns = w_out.t()
    return columns.contiguous() if len(x) >= MANY and few(x, k, len(columns)) else columns


def _pieces(tokens: int, d_ff: int) -> Iterator[slice]:
    """Slices of the tokens that together cover them."""
    step = max(1, PIECE // d_ff)
    return (slice(start, start + step) for start in range(0, tokens, step))
