"""The slow, obviously right version: each token's neurons are sorted and the first k kept, in float64."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def topk_mlp_reference(
    x: Float[Tensor, "*tokens d_in"],
    w_in: Float[Tensor, "d_ff d_in"],
    b_in: Float[Tensor, " d_ff"] | None,
    w_out: Float[Tensor, "d_out d_ff"],
    b_out: Float[Tensor, " d_out"] | None,
    k: int,
) -> Float[Tensor, "*tokens d_out"]:
    r"""Compute :math:`y = c + V\,\mathrm{Top}_k(\sigma(Kx + b))` one token at a time."""
    outputs = []
    for token in x.double().reshape(-1, x.shape[-1]):
        activations = torch.relu(w_in.double() @ token + (0 if b_in is None else b_in.double()))
        sizes = activations.tolist()
        best_first = sorted(range(len(sizes)), key=lambda neuron: (-sizes[neuron], neuron))
        kept = torch.tensor(best_first[:k], device=x.device)
        outputs.append(w_out.double()[:, kept] @ activations[kept] + (0 if b_out is None else b_out.double()))
    shape = (*x.shape[:-1], len(w_out))
    return torch.stack(outputs).reshape(shape) if outputs else x.new_zeros(shape, dtype=torch.float64)
