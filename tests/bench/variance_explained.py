"""Variance explained by categorical features: one pass for all of them, against a regression for each."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score
from torch import Tensor

from featlib.measures import variance_of_features

from .runner import Axis, Case

TESTS = "tests/measures/test_variance.py"
VALUES = 4


@dataclass(frozen=True)
class Halves:
    """Representations and features of a fitting set and a test set, seeds first."""

    phi: Tensor
    features: Tensor
    phi_test: Tensor
    features_test: Tensor


def inputs(seeds: int, n: int, d: int, seed: int, features: float) -> Halves:
    """Each feature moves the representation in a direction of its own; the rest is a decaying spectrum."""
    generator = torch.Generator().manual_seed(seed)
    columns = torch.randint(0, VALUES, (seeds, 2 * n, int(features)), generator=generator)
    moves = torch.randn(seeds, int(features), VALUES, d, generator=generator)
    phi = torch.randn(seeds, 2 * n, d, generator=generator) * 3 * 0.99 ** torch.arange(d)
    for index in range(int(features)):
        phi += moves[:, index].gather(1, columns[..., index, None].expand(-1, -1, d))
    return Halves(phi[:, :n], columns[:, :n], phi[:, n:], columns[:, n:])


def of_seeds(n: int, d: int, features: int, seed: int, seeds: float) -> Halves:
    """The same with the number of seeds as what varies."""
    return inputs(int(seeds), n, d, seed, features)


def ours(data: Halves) -> np.ndarray:
    """All seeds and features at once."""
    return variance_of_features(data.phi, data.features, data.phi_test, data.features_test).numpy()


def theirs(data: Halves) -> np.ndarray:
    """For each seed and feature a regression on indicator columns, scored by the share of all variance."""
    results = [
        [one(phi, column, phi_test, column_test) for column, column_test in zip(columns.T, columns_test.T, strict=True)]
        for phi, columns, phi_test, columns_test in zip(
            *(part.numpy() for part in (data.phi, data.features, data.phi_test, data.features_test)), strict=True
        )
    ]
    return np.array(results)


def one(phi: np.ndarray, column: np.ndarray, phi_test: np.ndarray, column_test: np.ndarray) -> float:
    """The share of one feature; one value is the intercept's."""
    indicators, indicators_test = ((part[:, None] == np.arange(1, VALUES)) for part in (column, column_test))
    fit = LinearRegression().fit(indicators.astype(np.float32), phi)
    predicted = fit.predict(indicators_test.astype(np.float32))
    return float(r2_score(phi_test, predicted, multioutput="variance_weighted"))


def error(mine: np.ndarray, other: np.ndarray) -> float:
    """Largest difference of a share, which is at most 1."""
    return float(np.abs(mine - other).max())


def case(size: str, make: partial[Halves], batch: int, axis: Axis) -> Case:
    """One size."""
    return Case(
        op="variance_explained",
        size=size,
        peer="scikit-learn LinearRegression and r2_score for each feature",
        peer_version=sklearn.__version__,
        inputs=make,
        ours=ours,
        theirs=theirs,
        error=error,
        batch=batch,
        tolerance=1e-5,
        axis=axis,
    )


LARGE = partial(inputs, 1, 5000, 512)
CHAPTER = partial(of_seeds, 2000, 64, 2)
BY_FEATURES = Axis((1, 2, 4, 8), LARGE, "{} and more features", "not even for {} features")
BY_SEEDS = Axis((1, 2, 4, 8, 16), CHAPTER, "{} and more seeds", "not even for {} seeds")
CASES = [
    case("5000 x 512, 8 features", LARGE, 8, BY_FEATURES),
    case("16 seeds of 2000 x 64, 2 features", CHAPTER, 16, BY_SEEDS),
]
