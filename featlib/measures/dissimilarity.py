r"""Representational dissimilarity matrices :cite:p:`kriegeskorte2008rsa`: the distance of every pair of examples.

Distances come from one matrix product for a block of rows, whose upper triangle goes straight into the condensed
vector; there is never an :math:`n \times n` matrix. A product loses the digits of pairs that lie close together; for
the Euclidean distance, whose root would make most of it, they are found and computed again from their difference.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from featlib.kernels.precision import fast_matmul
from featlib.measures.checks import check_finite, check_representation

__all__ = ["METRICS", "Metric", "embedded", "rdm"]

Metric = Literal["euclidean", "sqeuclidean", "correlation", "cosine"]
METRICS = ("euclidean", "sqeuclidean", "correlation", "cosine")
"""Names as in ``scipy.spatial.distance.pdist``."""

BLOCK = {"cpu": 2**18, "cuda": 2**26}
"""Entries of one block."""
ROWS = 64
"""Fewer rows at once make a slow product."""
CLOSE = {torch.float32: 1 / 32, torch.float64: 2e-9}
r"""Pairs with :math:`\lVert x_i - x_j \rVert^2` below this share of :math:`\lVert x_i \rVert^2` are computed again."""
PAIRS = 2**15
"""Close pairs computed again at once."""
MANY = 1 / 16
"""Share of close pairs from which the whole block is done in float64 instead."""


def rdm(phi: Float[Tensor, "*seeds n d"], metric: Metric = "euclidean") -> Float[Tensor, "*seeds pairs"]:
    r"""Distance of every pair of examples, in the order of ``scipy.spatial.distance.pdist``.

    .. math:: d_{ij} = \lVert \phi_i - \phi_j \rVert,\quad \lVert \phi_i - \phi_j \rVert^2,\quad
              1 - r(\phi_i, \phi_j) \quad\text{or}\quad 1 - \cos(\phi_i, \phi_j), \qquad i < j

    with :math:`r` the correlation over units. Equal examples are exactly at 0 for ``euclidean``, and distances between
    whole numbers tie as they should.

    In float32 the largest error, measured at 4000 x 512 against float64, was 8e-7 of the largest distance for
    ``euclidean`` and 2e-6 for the others (normal, rectified and shifted units, units on scales from 1 to 1e-3, and
    clusters of a twentieth of the spread between them). The worst for ``euclidean`` are pairs not quite close enough to
    be computed again: in wider clusters (0.18) it was off by 4e-6, and by 3e-5 of a distance itself. The others lose
    more the closer a pair lies: 7e-4 of a distance itself within the tight clusters.

    Example:
        >>> rdm(torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]]))
        tensor([ 5., 10.,  5.])

    Args:
        phi: representations.
        metric: one of ``METRICS``.

    Returns:
        The upper triangle row by row, :math:`n (n - 1) / 2` numbers a seed; float64 for float64, float32 otherwise.

    Raises:
        ValueError: for an unknown metric, a shape that is not (seeds..., examples, units), a number that is not finite,
            or an example without a direction (constant for ``correlation``, zero for ``cosine``).
        TypeError: if ``phi`` is not floating point.
    """  # raised by what it calls
    exact = _moved(embedded(phi, metric))
    exact = exact.reshape(-1, *exact.shape[-2:])
    seeds, n, _ = exact.shape
    dtype = torch.float64 if phi.dtype == torch.float64 else torch.float32
    result = torch.empty(seeds, n * (n - 1) // 2, dtype=dtype, device=phi.device)
    block = BLOCK.get(phi.device.type, BLOCK["cuda"])
    together = max(1, block // (n * min(n, ROWS)))
    rows = max(ROWS, block // (n * together))
    fill = _fill_by_mask if phi.is_cuda else _fill_by_row
    for some, out in zip(torch.split(exact, together), torch.split(result, together), strict=True):
        points, lengths = some.to(dtype), some.square().sum(-1)
        for start in range(0, n - 1, rows):
            squares = _squares(points, lengths, start, rows)
            if metric == "euclidean":
                squares = _mended(squares, some, lengths, start).sqrt_()
            fill(out, squares, start)
    return result.reshape(*phi.shape[:-2], -1)


def embedded(phi: Float[Tensor, "*seeds n d"], metric: str) -> Float[Tensor, "*seeds n d"]:
    r"""Points in float64 whose *squared* Euclidean distance is the metric (``euclidean``: its square).

    For ``correlation`` and ``cosine`` they are the examples, centred over units or not, at length :math:`1/\sqrt{2}`:
    :math:`1 - z_i^\top z_j = \lVert z_i - z_j \rVert^2 / 2` where :math:`z` has length one.

    Raises:
        ValueError: for what :func:`rdm` refuses.
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}; got {metric!r}")
    check_representation(phi)
    check_finite(phi, "phi")
    x = phi.detach().double()
    if metric == "correlation":
        x = x - x[..., :1]  # a constant example becomes exactly zero
        x = x - x.mean(-1, keepdim=True)
    if metric in {"correlation", "cosine"}:
        length = x.norm(dim=-1, keepdim=True)
        if bool((length == 0).any()):
            example = int((length == 0).nonzero()[0, -2])
            what = "constant" if metric == "correlation" else "zero"
            raise ValueError(f"example {example} is {what}: it has no {metric}, leave it out or take another metric")
        x = x / (2**0.5 * length)
    return x


def _moved(x: Tensor) -> Tensor:
    """Points moved so that the one nearest to the mean is the origin, for an offset costs digits.

    The mean itself would do, but differences of whole numbers are whole: equal distances stay equal.
    """
    nearest = (x - x.mean(-2, keepdim=True)).square().sum(-1).argmin(-1)
    return x - x.take_along_dim(nearest[..., None, None], -2)


def _squares(points: Tensor, lengths: Tensor, start: int, rows: int) -> Tensor:
    """Squared distances of some rows from all examples that do not come before, [seeds, rows, n - start]."""
    rest, lengths = points[:, start:], lengths[:, start:].to(points.dtype)
    sums = lengths[:, :rows, None] + lengths[:, None]
    with fast_matmul():
        return sums.baddbmm_(rest[:, :rows], rest.mT, alpha=-2).clamp_min_(0)


def _mended(squares: Tensor, exact: Tensor, lengths: Tensor, start: int) -> Tensor:
    """The same with close pairs computed from their difference."""
    rest, (rows, columns) = exact[:, start:], squares.shape[1:]
    limits = (lengths[:, start : start + rows] * CLOSE[squares.dtype]).to(squares.dtype)
    squares.diagonal(dim1=1, dim2=2).fill_(torch.inf)
    seed, row = (squares.amin(-1) < limits).nonzero(as_tuple=True)  # most rows have no close pair
    close = squares[seed, row] < limits[seed, row, None]
    if squares.dtype != torch.float64 and int(close.sum()) > MANY * rows * columns * len(squares):
        return _mended(_squares(exact, lengths, start, rows), exact, lengths, start)
    pair, column = close.nonzero(as_tuple=True)
    for some, other in zip(torch.split(pair, PAIRS), torch.split(column, PAIRS), strict=True):
        first, second = rest[seed[some], row[some]], rest[seed[some], other]
        squares[seed[some], row[some], other] = (first - second).square().sum(-1).to(squares.dtype)
    return squares


def _fill_by_row(condensed: Tensor, block: Tensor, start: int) -> None:
    """Copy what lies right of the diagonal to its place."""
    place, columns = _place(block, start), block.shape[2]
    target, source = condensed.numpy(), block.numpy()  # the same memory; a slice costs a fifth of what torch asks
    for row in range(min(block.shape[1], columns - 1)):
        width = columns - row - 1
        target[:, place : place + width] = source[:, row, row + 1 :]
        place += width


def _fill_by_mask(condensed: Tensor, block: Tensor, start: int) -> None:
    """The same in one call, for a GPU: a call for each row would take longer than the distances."""
    above = torch.ones(block.shape[1:], dtype=torch.bool, device=block.device).triu_(1)
    values = block[:, above]
    condensed[:, _place(block, start) :][:, : values.shape[1]] = values


def _place(block: Tensor, start: int) -> int:
    """Where the pairs of row ``start`` begin in the condensed vector."""
    n = start + block.shape[2]
    return start * n - start * (start + 1) // 2
