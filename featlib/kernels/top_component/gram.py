r"""Two paths by the Gram matrix of the smaller side, :math:`OO^\top` or :math:`O^\top O`."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from featlib.kernels.precision import fast_matmul

MAX_STEPS = 50
RESIDUAL = {torch.float32: 1e-6, torch.float64: 1e-13}

Rows = Float[Tensor, "batch positions channels"]
Component = tuple[Float[Tensor, "batch k positions"], Float[Tensor, "batch k"]]


def centred(rows: Rows, centre: bool) -> Rows:
    """``rows`` less the mean over positions, if wanted. A copy: taken off the Gram matrix it would cancel digits."""
    return rows - rows.mean(1, keepdim=True) if centre else rows


def gram_eigh(rows: Rows, centre: bool = False, k: int = 1) -> Component:
    """First ``k`` components by a batched symmetric eigensolver.

    The square in the Gram matrix halves the digits of all components but the first: for ``k`` > 1 it is formed in
    float64, and a component below the noise of the input is zero.
    """
    rows = centred(rows if k == 1 else rows.double(), centre)
    # ascending, so the last are the first components
    vectors = torch.linalg.eigh(gram(rows)).eigenvectors[..., -k:].flip(-1)
    scores, sigma = scores_of(rows, vectors)
    if k > 1:
        noise = max(rows.shape[1:]) * torch.finfo(torch.float32).eps
        real = sigma > noise * sigma[:, :1]
        scores, sigma = scores * real[..., None], sigma * real
    return scores, sigma


def gram_power(rows: Rows, centre: bool = False, max_steps: int = MAX_STEPS) -> Component:
    r"""First component by power iteration on the Gram matrix :math:`K`.

    Stops when the residual of the Rayleigh quotient, :math:`\lVert Kx - \rho x \rVert / \rho` with
    :math:`\rho = x^\top K x`, is small for every image; images that are not there after ``max_steps`` steps, because
    their first two singular values lie close together, go to the eigensolver.
    """
    rows = centred(rows, centre)
    matrix = gram(rows)
    # an all-zero matrix has no direction; any unit vector gives it zero scores
    vector = _unit(matrix.sum(-1, keepdim=True))
    for _ in range(max_steps):
        image = matrix @ vector
        rayleigh = (vector * image).sum(1, keepdim=True)
        unfinished = _length(image - rayleigh * vector) > RESIDUAL[matrix.dtype] * rayleigh
        if not bool(unfinished.any()):
            break
        vector = _unit(image)
    # a start orthogonal to the answer settles on a lesser vector; the trace bounds what a rival could hold
    trace = matrix.diagonal(dim1=1, dim2=2).sum(-1)
    rayleigh = (vector * (matrix @ vector)).sum((1, 2))
    return settled(rows, vector, unfinished.flatten() | (rayleigh < 0.5 * trace))


def settled(rows: Rows, vector: Float[Tensor, "batch side 1"], doubtful: Bool[Tensor, " batch"]) -> Component:
    """Scores from iterated vectors of the Gram matrix; doubtful ones are solved anew."""
    if bool(doubtful.any()):
        vector = vector.clone()
        vector[doubtful] = torch.linalg.eigh(gram(rows[doubtful])).eigenvectors[..., -1:]
    return scores_of(rows, vector)


def gram(rows: Rows) -> Tensor:
    """Gram matrix of the smaller side, [batch, M, M] with M = min(positions, channels)."""
    with fast_matmul():
        return rows @ rows.mT if rows.shape[1] <= rows.shape[2] else rows.mT @ rows


def scores_of(rows: Rows, vectors: Float[Tensor, "batch side k"]) -> Component:
    """Turn eigenvectors of the Gram matrix into scores and singular values."""
    if rows.shape[1] <= rows.shape[2]:  # they are u: sigma is the length of O'u
        sigma = (rows.mT @ vectors).norm(dim=1)
        return (vectors * sigma[:, None]).mT, sigma
    scores = rows @ vectors  # they are v: the scores are Ov
    return scores.mT, scores.norm(dim=1)


def _length(columns: Tensor) -> Tensor:
    """Length of each column vector, [batch, 1, 1]."""
    length: Tensor = torch.linalg.vector_norm(columns, dim=1, keepdim=True)
    return length


def _unit(columns: Tensor) -> Tensor:
    """Scale each column vector to length one; a zero vector becomes the uniform one."""
    length = _length(columns)
    uniform = torch.full_like(columns, columns.shape[1] ** -0.5)
    return torch.where(length > 0, columns / length.clamp_min(torch.finfo(columns.dtype).tiny), uniform)
