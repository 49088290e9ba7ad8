"""The slow, obviously right version: token by token, one neuron of the set after the other, in float64."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def sparse_decode_reference(
    x: Float[Tensor, "batch d_in"],
    w_in: Float[Tensor, "d_ff d_in"],
    b_in: Float[Tensor, " d_ff"] | None,
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
    active: Int[Tensor, " n"] | Int[Tensor, "batch n"] | None = None,
) -> Float[Tensor, "batch d_out"]:
    r"""Add up :math:`y = c + \sum_{i \in A} \max(0, k_i^\top x + b_i)\, v_i`; without ``active``, over all neurons.

    :math:`k_i` is a row of ``w_in`` and :math:`v_i` a column of ``w_out``.
    """
    outputs = []
    for token, vector in enumerate(x.double()):
        output = x.new_zeros(len(w_out), dtype=torch.float64) if b_out is None else b_out.double()
        neurons = range(len(w_in)) if active is None else (active if active.ndim == 1 else active[token]).tolist()
        for neuron in neurons:
            before = w_in[neuron].double() @ vector + (0 if b_in is None else b_in[neuron].double())
            output = output + torch.relu(before) * w_out[:, neuron].double()
        outputs.append(output)
    return torch.stack(outputs) if outputs else x.new_zeros(0, len(w_out), dtype=torch.float64)
