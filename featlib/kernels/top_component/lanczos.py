r"""The fast path for large maps: Lanczos iteration on :math:`OO^\top` by products with :math:`O` alone.

The mean is taken off in a copy. Folding it into the products (the vectors of the iteration have mean zero anyway) saves
the copy but leaves the rounding errors of the mean: in float32, on maps as networks make them, the residual stalls at
1e-2. The copy costs a few percent of the time.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from featlib.kernels.top_component.gram import RESIDUAL, Component, Rows, centred, gram_eigh

MAX_STEPS = 48
LOOK = 6
"""Steps between two looks at the residual."""
ACCEPTED = {torch.float32: 1e-5, torch.float64: 1e-12}
"""True relative residual above which an image is solved anew."""


def lanczos(rows: Rows, centre: bool = False, max_steps: int = MAX_STEPS) -> Component:
    """First component; stops on the residual. Images that are not there after ``max_steps`` go to the eigensolver."""
    rows = centred(rows, centre)
    return _scores(rows, _first(rows, max_steps))


def _first(rows: Rows, max_steps: int) -> Float[Tensor, "batch 1 positions"]:
    """First left singular vector, as far as ``max_steps`` lead."""
    batch, positions, _ = rows.shape
    max_steps = min(max_steps, positions)
    basis = rows.new_zeros(batch, max_steps, positions)
    matrix = rows.new_zeros(batch, max_steps, max_steps)
    for step, beta in enumerate(_iterate(rows, basis, matrix), 1):
        if step % LOOK and step < max_steps:
            continue
        values, vectors = torch.linalg.eigh(matrix[:, :step, :step])
        weights = vectors[..., -1]
        if bool((beta * weights[:, -1].abs() <= RESIDUAL[rows.dtype] * values[:, -1]).all()):
            break
    return _unit(weights[:, None] @ basis[:, :step])


def _iterate(rows: Rows, basis: Tensor, matrix: Tensor) -> Iterator[Tensor]:
    """Fill in Lanczos vectors and the tridiagonal matrix step by step; yield the coupling to the next vector."""
    generator = torch.Generator().manual_seed(0)  # a start without a pattern is orthogonal to no pattern
    start = torch.randn(1, 1, rows.shape[1], generator=generator, dtype=rows.dtype).to(rows.device)
    vector = _unit(start).expand(len(rows), -1, -1)
    top = rows.new_zeros(len(rows))
    for step in range(basis.shape[1]):
        basis[:, step] = vector[:, 0]
        image = (vector @ rows) @ rows.mT
        matrix[:, step, step] = alpha = (vector * image).sum((1, 2))
        seen = basis[:, : step + 1]
        rest = image - (image @ seen.mT) @ seen
        rest = rest - (rest @ seen.mT) @ seen  # twice is enough
        beta = torch.linalg.vector_norm(rest, dim=(1, 2))
        top = torch.maximum(top, alpha + beta)
        # no new direction is left: what comes after is zero and changes nothing
        beta = torch.where(beta > torch.finfo(rows.dtype).eps * top, beta, 0.0)
        yield beta
        if step + 1 < basis.shape[1]:
            matrix[:, step, step + 1] = matrix[:, step + 1, step] = beta
            alive = (beta > 0)[:, None, None]
            vector = torch.where(alive, rest / torch.where(alive, beta[:, None, None], 1.0), 0.0)


def _scores(rows: Rows, u: Tensor) -> Component:
    """Scores by one more product, which also shows the true residual; what fails that test is solved anew."""
    across = u @ rows
    sigma = across.norm(dim=2)
    image = across @ rows.mT
    value = sigma[..., None] ** 2
    left = torch.linalg.vector_norm(image - value * u, dim=2)
    scores = torch.where(value > 0, image / torch.where(value > 0, sigma[..., None], 1.0), 0.0)
    failed = (left > ACCEPTED[rows.dtype] * value[..., 0]).flatten()
    if bool(failed.any()):
        scores[failed], sigma[failed] = gram_eigh(rows[failed])
    return scores, sigma


def _unit(vectors: Tensor) -> Tensor:
    """Scale each row vector to length one; zero stays zero."""
    length = torch.linalg.vector_norm(vectors, dim=2, keepdim=True)
    return vectors / torch.where(length > 0, length, 1.0)
