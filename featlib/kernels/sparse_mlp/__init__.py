r"""A two-layer ReLU network that does not read the weights of the neurons that stay silent."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from featlib.kernels.mlp_shapes import check_mlp
from featlib.kernels.sparse_mlp.gather import can_gather, second_product, second_product_op

__all__ = ["neuron_major", "sparse_mlp"]

METHODS = ("auto", "gather", "dense")


def sparse_mlp(
    x: Float[Tensor, "batch d_in"],
    w_in: Float[Tensor, "d_ff d_in"],
    b_in: Float[Tensor, " d_ff"] | None,
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
    method: Literal["auto", "gather", "dense"] = "auto",
) -> Float[Tensor, "batch d_out"]:
    r"""ReLU network whose second product skips the zeros, exactly (:cite:p:`li2023lazy`).

    .. math:: y = V \sigma(K x + b) + c

    with :math:`K` = ``w_in``, :math:`V` = ``w_out``, the biases :math:`b, c` and :math:`\sigma(z) = \max(0, z)`. Of
    :math:`V` only the columns of neurons that fire are read. Which ones do is not known before :math:`Kx`, so that
    product stays whole: at density :math:`p` the network is at most :math:`2 / (1 + p)` times as fast.

    A column of ``w_out`` must lie in one piece in memory, so give it in the layout of :func:`neuron_major`, made
    once; as torch stores it, the dense product is taken. All gradients exist and are those of the dense network,
    computed densely.

    Example:
        >>> w_in, w_out = torch.randn(64, 16), neuron_major(torch.randn(16, 64))
        >>> y = sparse_mlp(torch.randn(2, 16), w_in, torch.full((64,), -8.0), w_out, None)
        >>> tuple(y.shape)
        (2, 16)

    Args:
        x: tokens. Above 64 of them, or on a GPU, everything is dense (there, see :func:`sparse_decode`).
        w_in: weights of the first layer, a row for each neuron.
        b_in: its bias.
        w_out: weights of the second layer, a column for each neuron.
        b_out: its bias.
        method: ``gather`` always skips and copies ``w_out`` if it has to; ``dense`` never; ``auto`` counts and takes
            the faster one.

    Returns:
        The output, equal to the dense network's up to rounding.

    Raises:
        ValueError: if shapes disagree, ``x`` is not (batch, d), or ``method`` is unknown.
        TypeError: if a number is not floating point.

    Departs from the dense network in one case: a weight of ``w_out`` that is NaN or infinite is not seen while its
    neuron is silent. NaN and infinity anywhere else come out as they would there.
    """
    check_mlp(x, w_in, b_in, w_out, b_out)
    if x.ndim != 2:
        raise ValueError(f"x must be (batch, d), got {tuple(x.shape)}: flatten the axes in front")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
    return _second(torch.relu(functional.linear(x, w_in, b_in)), w_out, b_out, method)


def _second(activations: Tensor, w_out: Tensor, b_out: Tensor | None, method: str) -> Tensor:
    """The second product, by the way that ``method`` and the arguments allow."""
    always = method == "gather" and 0 not in (*activations.shape, *w_out.shape)
    if not always and (method == "dense" or not can_gather(activations, w_out)):
        return functional.linear(activations, w_out, b_out)
    traced = torch.compiler.is_compiling() or (
        torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (activations, w_out, b_out))
    )
    # the wrapped operation costs 20 to 40 us a call, more than the whole product at d = 768
    product = second_product_op if traced else second_product
    output: Tensor = product(activations, w_out, b_out, always)
    return output


def neuron_major(w_out: Float[Tensor, "d_out d_ff"]) -> Float[Tensor, "d_out d_ff"]:
    """Same matrix, stored so that each neuron's column lies in one piece; not copied if it already does.

    Nothing else about it changes: shape, values, gradients, and it works everywhere the original does. Make it once,
    where weights are loaded (``layer.weight = nn.Parameter(neuron_major(layer.weight.detach()))``): there is then one
    matrix, and none that could become stale while the other is trained.

    Example:
        >>> neuron_major(torch.zeros(3, 5)).stride()
        (1, 3)
    """
    return w_out.t().contiguous().t()
