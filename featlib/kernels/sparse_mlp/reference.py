"""The slow, obviously right version: token by token, one neuron after the other, in float64."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def sparse_mlp_reference(
    x: Float[Tensor, "batch d_in"],
    w_in: Float[Tensor, "d_ff d_in"],
    b_in: Float[Tensor, " d_ff"] | None,
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
) -> Float[Tensor, "batch d_out"]:
    r"""Add up :math:`y = c + \sum_i \max(0, k_i^\top x + b_i)\, v_i`, silent neurons too.

    :math:`k_i` is a row of ``w_in`` and :math:`v_i` a column of ``w_out``.
    """
    outputs = []
    for token in x.double():
        output = x.new_zeros(len(w_out), dtype=torch.float64) if b_out is None else b_out.double()
        for neuron in range(len(w_in)):
            before = w_in[neuron].double() @ token + (0 if b_in is None else b_in[neuron].double())
            output = output + torch.relu(before) * w_out[:, neuron].double()
        outputs.append(output)
    return torch.stack(outputs) if outputs else x.new_zeros(0, len(w_out), dtype=torch.float64)
