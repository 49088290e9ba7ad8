r"""Two paths by the Gram matrix of the smaller side, :math:`OO^\top` or :math:`O^\top O`."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from featlib.kernels.precision import fast_matmul

MAX_SQUARINGS = 20
"""A million plain steps: enough for any two singular values that the numbers can tell apart."""
PURE = 1e-5
"""How much the projection may still miss; each further squaring squares it."""
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


def gram_power(rows: Rows, centre: bool = False, max_squarings: int = MAX_SQUARINGS) -> Component:
    r"""First component by power iteration on the Gram matrix :math:`K`, twice as many steps with each product.

    .. math:: P_0 = K / \mathrm{tr} K, \qquad P_{j+1} = P_j^2 / \mathrm{tr} P_j^2

    is :math:`K^{2^j}` up to its scale and tends to the projection on the first direction, :math:`u u^\top`. As
    :math:`\mathrm{tr} P_j = 1`, it is there once :math:`\mathrm{tr} P_j^2 = 1`, whatever the start: there is none. Its
    column with the largest diagonal entry is taken, and two plain steps with :math:`P_0` wipe off what the squarings
    rounded. The residual of the Rayleigh quotient, :math:`\lVert P_0 x - \rho x \rVert / \rho` with
    :math:`\rho = x^\top P_0 x`, has the last word: images where it is not small go to the eigensolver.
    """
    rows = centred(rows, centre)
    matrix = power = _of_trace_one(gram(rows))[0]
    for _ in range(max_squarings):
        power, purity = _of_trace_one(power @ power)
        if bool((1 - purity < PURE).all()):
            break
    largest = power.diagonal(dim1=1, dim2=2).argmax(1)
    vector = _unit(power.gather(2, largest[:, None, None].expand(-1, power.shape[1], 1)))
    for _ in range(2):
        vector = _unit(matrix @ vector)
    image = matrix @ vector
    rayleigh = (vector * image).sum(1, keepdim=True)
    # an all-zero matrix has no direction; any unit vector gives it zero scores
    return settled(rows, vector, (_length(image - rayleigh * vector) > RESIDUAL[matrix.dtype] * rayleigh).flatten())


def _of_trace_one(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """A positive semi-definite matrix divided by its trace, and the trace; zeros stay zeros, with a trace of one."""
    trace = matrix.diagonal(dim1=1, dim2=2).sum(-1)
    trace = torch.where(trace > 0, trace, 1.0)
    return matrix / trace[:, None, None], trace


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
        vectors = vectors.mT
        sigma = (vectors @ rows).norm(dim=2)  # from this side in half the time of the other
        return vectors * sigma[..., None], sigma
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
