r"""The two fast paths. Both look only at the Gram matrix of the smaller side, :math:`OO^\top` or :math:`O^\top O`."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

MAX_STEPS = 50
RESIDUAL = {torch.float32: 1e-6, torch.float64: 1e-13}

Rows = Float[Tensor, "batch positions channels"]
Component = tuple[Float[Tensor, "batch positions"], Float[Tensor, " batch"]]


def gram_eigh(rows: Rows) -> Component:
    """First component by a batched symmetric eigensolver on the Gram matrix."""
    return _scores(rows, torch.linalg.eigh(_gram(rows)).eigenvectors[..., -1])


def gram_power(rows: Rows, max_steps: int = MAX_STEPS) -> Component:
    r"""First component by power iteration on the Gram matrix :math:`K`.

    Stops when the residual of the Rayleigh quotient, :math:`\lVert Kx - \rho x \rVert / \rho` with
    :math:`\rho = x^\top K x`, is small for every image; images that are not there after ``max_steps`` steps, because
    their first two singular values lie close together, go to the eigensolver.
    """
    gram = _gram(rows)
    # an all-zero matrix has no direction; any unit vector gives it zero scores
    vector = _unit(gram.sum(-1, keepdim=True))
    for _ in range(max_steps):
        image = gram @ vector
        rayleigh = (vector * image).sum(1, keepdim=True)
        unfinished = _length(image - rayleigh * vector) > RESIDUAL[gram.dtype] * rayleigh
        if not bool(unfinished.any()):
            break
        vector = _unit(image)
    # A start orthogonal to the answer settles on a lesser vector. The trace bounds what a rival could hold.
    trace = gram.diagonal(dim1=1, dim2=2).sum(-1)
    rayleigh = (vector * (gram @ vector)).sum((1, 2))
    doubtful = unfinished.flatten() | (rayleigh < 0.5 * trace)
    vector = vector.squeeze(-1)
    if bool(doubtful.any()):
        vector[doubtful] = torch.linalg.eigh(gram[doubtful]).eigenvectors[..., -1]
    return _scores(rows, vector)


def _gram(rows: Tensor) -> Tensor:
    """Gram matrix of the smaller side, [batch, M, M] with M = min(positions, channels)."""
    return rows @ rows.mT if rows.shape[1] <= rows.shape[2] else rows.mT @ rows


def _scores(rows: Tensor, vector: Tensor) -> Component:
    """Turn the first eigenvector of the Gram matrix, [batch, M], into scores and singular value."""
    if rows.shape[1] <= rows.shape[2]:  # it is u: sigma is the length of O'u
        sigma = (rows.mT @ vector.unsqueeze(-1)).squeeze(-1).norm(dim=1)
        return vector * sigma.unsqueeze(1), sigma
    scores = (rows @ vector.unsqueeze(-1)).squeeze(-1)  # it is v: the scores are Ov
    return scores, scores.norm(dim=1)


def _length(columns: Tensor) -> Tensor:
    """Length of each column vector, [batch, 1, 1]."""
    length: Tensor = torch.linalg.vector_norm(columns, dim=1, keepdim=True)
    return length


def _unit(columns: Tensor) -> Tensor:
    """Scale each column vector to length one; a zero vector becomes the uniform one."""
    length = _length(columns)
    uniform = torch.full_like(columns, columns.shape[1] ** -0.5)
    return torch.where(length > 0, columns / length.clamp_min(torch.finfo(columns.dtype).tiny), uniform)
