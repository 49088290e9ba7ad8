"""The slow, obviously right version: a full singular value decomposition of each image in float64."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def top_component_reference(
    maps: Float[Tensor, "batch channels *space"], centre: bool = False, k: int = 1
) -> tuple[Float[Tensor, "batch *k_space"], Float[Tensor, "batch *k"]]:
    r"""Compute :math:`L_i = O v_i = \sigma_i u_i` of each image by :func:`torch.linalg.svd`, then fix the signs."""
    all_scores, all_sigma = [], []
    for image in maps.double():
        positions = image.flatten(1).T  # [N, C]
        mean_activation = positions.mean(1)
        if centre:
            positions = positions - positions.mean(0)
        left, sigma, _ = torch.linalg.svd(positions, full_matrices=False)
        towards = mean_activation if centre else torch.ones_like(mean_activation)
        scores = []
        for component in range(k):
            score = sigma[component] * left[:, component]
            scores.append((-score if score @ towards < 0 else score).reshape(image.shape[1:]))
        all_scores.append(torch.stack(scores))
        all_sigma.append(sigma[:k])
    scores_, sigma_ = torch.stack(all_scores), torch.stack(all_sigma)
    return (scores_[:, 0], sigma_[:, 0]) if k == 1 else (scores_, sigma_)
