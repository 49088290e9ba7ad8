r"""Removing pixels so that the picture does not show where: noisy linear imputation of ROAD :cite:p:`rong2022road`."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse.linalg import splu
from torch import Tensor

__all__ = ["NEIGHBOURS", "impute"]

NEIGHBOURS = {
    (0, 1): 1 / 6, (0, -1): 1 / 6, (1, 0): 1 / 6, (-1, 0): 1 / 6,
    (1, 1): 1 / 12, (1, -1): 1 / 12, (-1, 1): 1 / 12, (-1, -1): 1 / 12,
}  # fmt: skip
"""Weight of each neighbour, by its offset in rows and columns."""


def impute(
    images: Float[Tensor, "batch colours height width"],
    missing: Bool[Tensor, "batch height width"],
    noise: float = 0.01,
    seed: int = 0,
) -> Float[Tensor, "batch colours height width"]:
    r"""Fill missing pixels with the weighted mean of their neighbours, all at once, plus a little noise.

    .. math:: x_i = \frac{\sum_{j \sim i} w_{ij} x_j}{\sum_{j \sim i} w_{ij}} + \epsilon_i,
              \quad \epsilon_i \sim N(0, s^2)

    with :math:`w = 1/6` for the four direct neighbours, :math:`1/12` for the diagonal ones and :math:`s` the ``noise``.
    A neighbour may be missing itself: the means are one sparse linear system for each picture; the noise comes last.
    Outside the picture there is no neighbour.

    Args:
        images: in any range; the noise is in their units.
        missing: pixels to fill in, of all colours.
        noise: standard deviation.
        seed: of the noise.

    Returns:
        A new batch; known pixels are unchanged.

    Raises:
        ValueError: if shapes do not fit or nothing is left of a picture.
    """
    if images.ndim != 4 or missing.shape != (len(images), *images.shape[2:]):
        raise ValueError(
            f"missing {tuple(missing.shape)} must be (batch, height, width) of the images {tuple(images.shape)}"
        )
    if len(images) and bool(missing.flatten(1).all(1).any()):
        raise ValueError("nothing is left of a picture: keep at least one pixel")
    random = np.random.default_rng(seed)
    filled = images.detach().clone()
    for picture, holes in zip(filled, missing.cpu().numpy(), strict=True):
        if not holes.any():
            continue
        values = _solve(picture.double().cpu().numpy(), holes)
        values = values + noise * random.standard_normal(values.shape)
        picture[:, torch.from_numpy(holes).to(picture.device)] = torch.from_numpy(values).to(picture)
    return filled


def _solve(picture: np.ndarray, holes: np.ndarray) -> np.ndarray:
    """Values of the missing pixels, colours by pixels."""
    count = int(holes.sum())
    number = np.full(np.add(holes.shape, 2), -2)  # -2: outside the picture, -1: known, else the unknown's number
    inner = number[1:-1, 1:-1]
    inner[:] = -1
    inner[holes] = np.arange(count)
    rows, columns = np.nonzero(holes)
    total, known = np.zeros(count), np.zeros((count, len(picture)))
    entries: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for (down, right), weight in NEIGHBOURS.items():
        beside = number[rows + 1 + down, columns + 1 + right]
        total += weight * (beside != -2)
        fixed = beside == -1
        known[fixed] += weight * picture[:, rows[fixed] + down, columns[fixed] + right].T
        unknown = np.flatnonzero(beside >= 0)
        entries.append((unknown, beside[unknown], np.full(len(unknown), -weight)))
    entries.append((np.arange(count), np.arange(count), total))
    first, second, values = (np.concatenate(part) for part in zip(*entries, strict=True))
    matrix = sparse.csc_matrix((values, (first, second)), shape=(count, count))
    # symmetric and diagonally dominant: no pivoting, and an ordering made for that
    factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    return np.asarray(factors.solve(known)).T
