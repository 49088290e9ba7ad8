"""Dissimilarity matrices, their correlations, and linear CKA: against scipy, and against matrices written out."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy
import torch
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from torch import Tensor

from featlib.measures import compare_rdms, linear_cka, rdm, rsa

from .runner import Axis, Case

TESTS = "tests/measures/test_similarity.py"
N, D = 4000, 512
EXAMPLES = (50, 100, 200, 500, 1000, 2000, N)
Pair = tuple[Tensor, Tensor]


def inputs(dtype: torch.dtype, seed: int, n: float) -> Tensor:
    """Points with a decaying spectrum, away from the origin."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(int(n), D, generator=generator) * 0.99 ** torch.arange(D) + 0.5).to(dtype)


def relatives(seed: int, n: float) -> Pair:
    """Two representations of the same examples that have something in common."""
    first = inputs(torch.float32, seed, n)
    mixed = first.sin() @ torch.randn(D, D, generator=torch.Generator().manual_seed(seed + 1)) / D**0.5
    return first, mixed + inputs(torch.float32, seed + 2, n)


def condensed(seed: int, n: float) -> Pair:
    """Their matrices."""
    first, second = relatives(seed, n)
    return rdm(first), rdm(second)


def two_matrices(pair: Pair) -> float:
    """Correlation matrices of both, upper triangles, correlation of those."""
    upper = np.triu_indices(len(pair[0]), 1)
    first, second = (1 - np.corrcoef(phi.numpy())[upper] for phi in pair)
    return float(np.corrcoef(first, second)[0, 1])


def naive_cka(pair: Pair, debiased: bool = False) -> float:
    """With matrices of examples by examples; traces of products as sums of elementwise ones, the fairer naive way."""
    kernels = []
    for phi in pair:
        x = phi.numpy() - phi.numpy().mean(0)
        kernels.append(x @ x.T)
        if debiased:
            np.fill_diagonal(kernels[-1], 0)

    def dependence(first: np.ndarray, second: np.ndarray) -> float:
        product = np.multiply(first, second).sum(dtype=np.float64)
        if not debiased:
            return float(product)
        n, rows = len(first), [kernel.sum(0, dtype=np.float64) for kernel in (first, second)]
        total = rows[0].sum() * rows[1].sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (rows[0] @ rows[1])
        return float(product + total)

    x, y = kernels
    return dependence(x, y) / (dependence(x, x) * dependence(y, y)) ** 0.5


def largest(mine: Tensor, other: np.ndarray) -> float:
    """Largest difference of a distance, as a share of the largest distance."""
    return float(np.abs(mine.numpy() - other).max() / other.max())


def difference(mine: Tensor, other: float) -> float:
    """Of two correlations."""
    return abs(float(mine) - other)


def case(
    op: str,
    size: str,
    peer: tuple[str, str],
    sides: tuple[Callable[[Any], Any], Callable[[Any], Any]],
    make: Callable[[int, float], Any],
    tolerance: float,
    dtype: str = "float32",
) -> Case:
    """All are timed at N examples and look for the fewest from which on ours is faster."""
    return Case(
        op=op,
        size=size,
        peer=peer[0],
        peer_version=peer[1],
        inputs=make,
        ours=sides[0],
        theirs=sides[1],
        error=largest if op == "rdm" else difference,
        batch=N,
        tolerance=tolerance,
        dtype=dtype,
        axis=Axis(EXAMPLES, make, "{} and more examples", "not even for {} examples"),
    )


CASES = [
    case(
        "rdm",
        f"{N} x {D}, {metric}, {str(dtype).removeprefix('torch.')}",  # the size tells rows of one peer apart
        (f"scipy pdist, {metric} (float64)", scipy.__version__),
        (partial(rdm, metric=metric), lambda phi, metric=metric: pdist(phi.numpy(), metric)),
        partial(inputs, dtype),
        tolerance,
        str(dtype).removeprefix("torch."),
    )
    for metric in ("correlation", "euclidean")
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-12))
]
CASES += [
    case(
        "rsa",
        f"{N} x {D}, correlation, Pearson",
        ("two matrices and their correlation, numpy corrcoef (float64)", np.__version__),
        (lambda pair: rsa(*pair, metric="correlation"), two_matrices),
        relatives,
        1e-5,
    ),
    case(
        "rsa",
        f"{N * (N - 1) // 2} pairs, Spearman",
        ("scipy spearmanr", scipy.__version__),
        (
            lambda pair: compare_rdms(*pair, compare="spearman"),
            lambda pair: float(spearmanr(*(matrix.numpy() for matrix in pair)).statistic),
        ),
        condensed,
        1e-6,
    ),
    *(
        case(
            "linear_cka",
            f"{N} x {D}, {'debiased' if debiased else 'biased'}",
            ("matrices of examples by examples, numpy", np.__version__),
            (partial(lambda pair, debiased: linear_cka(*pair, debiased=debiased), debiased=debiased),
             partial(naive_cka, debiased=debiased)),
            relatives,
            1e-5,
        )
        for debiased in (False, True)
    ),
]  # fmt: skip
