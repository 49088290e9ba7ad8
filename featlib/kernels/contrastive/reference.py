"""The slow, obviously right version: one anchor at a time, one positive at a time, in float64."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def supcon_reference(
    z: Float[Tensor, "batch d"], labels: Int[Tensor, " batch"], temperature: float = 0.5
) -> Float[Tensor, ""]:
    """The mean over anchors that have a positive; zero if there is none."""
    z = z.double()
    losses = []
    for i in range(len(z)):
        others = [a for a in range(len(z)) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        if positives:
            denominator = torch.stack([z[i] @ z[a] / temperature for a in others]).logsumexp(0)
            losses.append(-torch.stack([z[i] @ z[p] / temperature - denominator for p in positives]).mean())
    return torch.stack(losses).mean() if losses else z.sum() * 0


def info_nce_reference(
    z_a: Float[Tensor, "batch d"], z_b: Float[Tensor, "batch d"], temperature: float = 0.5
) -> Float[Tensor, ""]:
    """Each row against its other view and all rows of both views but itself."""
    z = torch.cat([z_a, z_b]).double()
    losses = []
    for i in range(len(z)):
        scores = torch.stack([z[i] @ z[a] / temperature for a in range(len(z)) if a != i])
        losses.append(scores.logsumexp(0) - z[i] @ z[(i + len(z_a)) % len(z)] / temperature)
    return torch.stack(losses).mean()
