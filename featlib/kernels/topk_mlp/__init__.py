r"""A two-layer ReLU network that keeps the k largest activations of each token, and between its passes only those."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from featlib.kernels.mlp_shapes import check_mlp
from featlib.kernels.optional import autocasts, has_triton, require_triton
from featlib.kernels.topk_mlp.gradient import TopkMLP
from featlib.kernels.topk_mlp.select import Selection, select

__all__ = ["topk_mlp"]

METHODS = ("auto", "torch", "triton")
# Longest row of activations that one Triton program holds in registers.
LONGEST_ROW = 2**15


def topk_mlp(
    x: Float[Tensor, "*tokens d_in"],
    w_in: Float[Tensor, "d_ff d_in"],
    b_in: Float[Tensor, " d_ff"] | None,
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
    k: int,
    method: Literal["auto", "torch", "triton"] = "auto",
) -> Float[Tensor, "*tokens d_out"]:
    r"""ReLU network of which each token keeps the ``k`` largest activations (:cite:p:`li2023lazy`, Top-k Transformer).

    .. math:: y = V\,\mathrm{Top}_k(\sigma(K x + b)) + c

    with :math:`K` = ``w_in``, :math:`V` = ``w_out``, the biases :math:`b, c`, :math:`\sigma(z) = \max(0, z)` and
    :math:`\mathrm{Top}_k` setting to zero all but the :math:`k` largest numbers *of each token*. Exactly :math:`k` are
    kept: among equal ones those of lowest index. Zeros tie too where fewer than :math:`k` neurons fire, without effect.

    The gradient passes through kept activations above zero and nowhere else. For it the forward pass keeps :math:`k`
    numbers and as many 16-bit indices (32-bit above :math:`d_{ff} = 32768`) of each token, and no array of tokens by
    neurons ever exists: both passes go through the tokens in pieces. With ``k`` = :math:`d_{ff}` it is the plain
    network, bit for bit, with the plain network's gradient and memory.

    Example:
        >>> w_in, w_out = torch.randn(64, 16), torch.randn(16, 64)
        >>> tuple(topk_mlp(torch.randn(2, 5, 16), w_in, None, w_out, None, k=8).shape)
        (2, 5, 16)

    Args:
        x: tokens, with any axes in front.
        w_in: weights of the first layer, a row for each neuron.
        b_in: its bias.
        w_out: weights of the second layer, a column for each neuron.
        b_out: its bias.
        k: how many neurons each token keeps, 1 to :math:`d_{ff}`.
        method: who selects: ``torch.topk``, or (on a GPU) one pass in ``triton``; ``auto`` takes that where it can.

    Returns:
        The output. A token with NaN among its activations keeps it, and gives NaN.

    Raises:
        ValueError: if shapes disagree, ``k`` is out of range or ``method`` is unknown.
        TypeError: if a number is not floating point.
        RuntimeError: if ``triton`` is asked for and not installed, or has no GPU.
    """
    check_mlp(x, w_in, b_in, w_out, b_out)
    d_ff = len(w_in)
    if not 1 <= k <= d_ff:
        raise ValueError(f"k must be between 1 and d_ff = {d_ff}, got {k}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    if k == d_ff:
        return functional.linear(torch.relu(functional.linear(x, w_in, b_in)), w_out, b_out)
    tensors: tuple[Tensor | None, ...] = (x.reshape(-1, x.shape[-1]), w_in, b_in, w_out, b_out)
    kind, casts = x.device.type, autocasts(x)
    if casts:  # what its matrix products would be given; the passes themselves must see none of it
        tensors = tuple(None if t is None else t.to(torch.get_autocast_dtype(kind)) for t in tensors)
    with torch.autocast(kind, enabled=False) if casts else nullcontext():
        output: Tensor = TopkMLP.apply(*tensors, k, _selector(x, d_ff, method))  # type: ignore[no-untyped-call]
    return output.reshape(*x.shape[:-1], len(w_out))


def _selector(x: Tensor, d_ff: int, method: str) -> Callable[[Tensor, int], Selection]:
    """Who selects."""
    fits = x.is_cuda and d_ff <= LONGEST_ROW and x.dtype != torch.float64
    if method == "torch" or (method == "auto" and not (fits and has_triton())):
        return select
    require_triton()
    from featlib.kernels.topk_mlp.triton import select_triton

    return select_triton
