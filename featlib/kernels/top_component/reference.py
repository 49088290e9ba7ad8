"""The slow, obviously right version: a full singular value decomposition of each image in float64."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def top_component_reference(
    maps: Float[Tensor, "batch channels *space"], centre: bool = False
) -> tuple[Float[Tensor, "batch *space"], Float[Tensor, " batch"]]:
    r"""Compute :math:`L = O v_1 = \sigma_1 u_1` of each image by :func:`torch.linalg.svd`, then fix the sign."""
    all_scores, all_sigma = [], []
    for image in maps.double():
        positions = image.flatten(1).T  # [N, C]
        mean_activation = positions.mean(1)
        if centre:
            positions = positions - positions.mean(0)
        left, sigma, _ = torch.linalg.svd(positions, full_matrices=False)
        scores = sigma[0] * left[:, 0]
        towards = mean_activation if centre else torch.ones_like(scores)
        if scores @ towards < 0:
            scores = -scores
        all_scores.append(scores.reshape(image.shape[1:]))
        all_sigma.append(sigma[0])
    return torch.stack(all_scores), torch.stack(all_sigma)
