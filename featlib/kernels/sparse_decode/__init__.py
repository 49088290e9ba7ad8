r"""One step of decoding: a two-layer ReLU network on a few tokens, of whose neurons some are known to stay silent."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from featlib.kernels.mlp_shapes import check_mlp
from featlib.kernels.optional import autocasts, has_triton, require_triton
from featlib.kernels.sparse_decode.subset import given, plain
from featlib.kernels.sparse_mlp import sparse_mlp

__all__ = ["firing", "sparse_decode"]

METHODS = ("auto", "torch", "triton")
FEW = 8
"""Tokens up to which a GPU takes the kernel: it reads weights for each token, tensor cores once for all."""


def sparse_decode(
    x: Float[Tensor, "batch d_in"],
    w_in: Float[Tensor, "d_ff d_in"],
    b_in: Float[Tensor, " d_ff"] | None,
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
    active: Int[Tensor, " n"] | Int[Tensor, "batch n"] | None = None,
    method: Literal["auto", "torch", "triton"] = "auto",
    check: bool = True,
) -> Float[Tensor, "batch d_out"]:
    r"""ReLU network of a few tokens that reads no weights of silent neurons (:cite:p:`li2023lazy`, efficiency).

    .. math:: y = c + \sum_{i \in A} \sigma(k_i^\top x + b_i)\, v_i

    with :math:`k_i` a row of ``w_in``, :math:`v_i` a column of ``w_out`` and :math:`A` = ``active``: of the other
    neurons neither is read. **Equal to the whole network if A holds every neuron that fires; of one that is missing
    the contribution is lost, without a sign.** One too many only costs time, so a predictor may fill a set up with any
    others. Without ``active`` the first product is whole and finds the set itself: always equal to the dense network.
    Every gradient exists and is that of the equation, so a neuron outside of A has none.

    Example:
        >>> x, w_in, w_out = torch.randn(1, 16), torch.randn(64, 16), torch.randn(16, 64)
        >>> y = sparse_decode(x, w_in, None, w_out, None, active=firing(x, w_in, None))
        >>> torch.allclose(y, sparse_decode(x, w_in, None, w_out, None), atol=1e-4)
        True

    Args:
        x: tokens, one or a few.
        w_in: weights of the first layer, a row for each neuron.
        b_in: its bias.
        w_out: weights of the second layer, a column for each neuron; fast on a CPU only as ``neuron_major`` lays it.
        b_out: its bias.
        active: indices of neurons, ascending without repeats: one set for all tokens, or a row for each.
        method: ``torch``, ``triton`` (a GPU, up to float32, no gradient), or ``auto`` for the one that suits.
        check: look at the indices; on a GPU this waits for it. Unchecked, wrong ones give anything, or an error.

    Raises:
        ValueError: if shapes disagree, ``active`` is no set of neurons, or ``method`` is unknown.
        TypeError: if ``active`` is not made of integers, or another number is not floating point.
    """
    check_mlp(x, w_in, b_in, w_out, b_out)
    if x.ndim != 2:
        raise ValueError(f"x must be (batch, d), got {tuple(x.shape)}: flatten the axes in front")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if active is not None:
        _check_set(active, x, len(w_in), check and not torch.compiler.is_compiling())
    return _step(x, w_in, b_in, w_out, b_out, active, method)


def firing(
    x: Float[Tensor, "batch d_in"], w_in: Float[Tensor, "d_ff d_in"], b_in: Float[Tensor, " d_ff"] | None
) -> Int[Tensor, " n"]:
    """Neurons that fire on at least one token, ascending: the set with which :func:`sparse_decode` is exact.

    It takes the whole first product. What it is good for: the neurons of the step before as a guess at the next
    step's, and the truth to hold a predictor against. NaN counts as firing, for it reaches the output.
    """
    fires: Bool[Tensor, "batch d_ff"] = torch.relu(functional.linear(x, w_in, b_in)) != 0
    return fires.any(0).nonzero()[:, 0]


def _step(
    x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None,
    active: Tensor | None, method: str,
) -> Tensor:  # fmt: skip
    """The path for this input."""
    tensors = [t for t in (x, w_in, b_in, w_out, b_out) if t is not None]
    differs = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    by_torch = differs or torch.compiler.is_compiling() or autocasts(x)
    suits = x.is_cuda and len(x) <= FEW and x.dtype != torch.float64 and not by_torch
    if method == "triton" or (method == "auto" and suits and has_triton()):
        require_triton()
        if differs:
            raise ValueError("method 'triton' has no gradient: use method='auto', or torch.no_grad()")
        from featlib.kernels.sparse_decode.triton import decode_triton

        return decode_triton(x, w_in, b_in, w_out, b_out, active)
    if active is None:
        return sparse_mlp(x, w_in, b_in, w_out, b_out)
    one_type = len({t.dtype for t in tensors}) == 1
    if by_torch or x.is_cuda or not one_type or 0 in (*x.shape, *w_out.shape, *active.shape):
        return plain(x, w_in, b_in, w_out, b_out, active)
    return given(x, w_in, b_in, w_out, b_out, active)


def _check_set(active: Tensor, x: Tensor, d_ff: int, values: bool) -> None:
    """Refuse what is no set of neurons for these tokens, with a sentence that says what to change."""
    if active.dtype not in {torch.int32, torch.int64}:
        hint = "mask.nonzero()[:, 0]" if active.dtype == torch.bool else ".long()"
        raise TypeError(f"active must be int64 or int32 indices of neurons, got {active.dtype}: convert with {hint}")
    if active.ndim not in {1, 2} or (active.ndim == 2 and len(active) != len(x)):
        raise ValueError(f"active must be (n,) or ({len(x)}, n), a row for each token; got {tuple(active.shape)}")
    if active.device != x.device:
        raise ValueError(f"active is on {active.device} and x on {x.device}: move it with .to(x.device)")
    if not values or 0 in active.shape:
        return
    if bool((active[..., 1:] <= active[..., :-1]).any()):
        hint = "active.unique()" if active.ndim == 1 else "active.sort(-1).values, and no index twice in a row"
        raise ValueError(f"active must ascend without repeats, or a neuron could count twice: use {hint}")
    lowest, highest = int(active[..., 0].min()), int(active[..., -1].max())
    if lowest < 0 or highest >= d_ff:
        raise ValueError(f"active holds {lowest} to {highest}, but neurons are 0 to {d_ff - 1}: it is of another layer")
