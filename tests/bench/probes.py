"""Logistic probes of many targets on one representation, against one scikit-learn fit for each target."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import sklearn
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import softplus

from featlib.measures import Logistic

from .runner import Axis, Case

TESTS = "tests/measures/test_probes.py"
TARGETS = 24
SOLVERS = ("lbfgs", "newton-cholesky")


@dataclass(frozen=True)
class Task:
    """A representation, and a row of labels for each target."""

    phi: Tensor
    targets: Tensor


def inputs(n: int, targets: int, seed: int, d: float) -> Task:
    """Units of decaying scale; each target is a noisy side of a plane."""
    generator = torch.Generator().manual_seed(seed)
    d = int(d)
    phi = torch.randn(n, d, generator=generator, dtype=torch.float64) * 0.99 ** torch.arange(d)
    planes = torch.randn(d, targets, generator=generator, dtype=torch.float64)
    logits = phi @ planes + 0.3 * d**0.5 * torch.randn(n, targets, generator=generator, dtype=torch.float64)
    return Task(phi, (logits.T > 0).long())


def of_targets(n: int, d: int, seed: int, targets: float) -> Task:
    """The same with the number of targets as what varies."""
    return inputs(n, int(targets), seed, d)


def ours(task: Task) -> np.ndarray:
    """All targets at once; the objective of each."""
    _, weights, intercept = Logistic().fit(task.phi, task.targets).fitted
    return objective(task, weights[..., 0], intercept[..., 0])


def theirs(task: Task, solver: str) -> np.ndarray:
    """One fit for each target."""
    fits = [LogisticRegression(solver=solver, max_iter=1000).fit(task.phi.numpy(), t.numpy()) for t in task.targets]
    weights, intercept = (np.concatenate([getattr(fit, name) for fit in fits]) for name in ("coef_", "intercept_"))
    return objective(task, torch.from_numpy(weights), torch.from_numpy(intercept))


def objective(task: Task, weights: Tensor, intercept: Tensor) -> np.ndarray:
    """What both sides minimise, of each target; cheap beside the fit, and part of both times."""
    logits = weights @ task.phi.T + intercept[:, None]
    loss = softplus(torch.where(task.targets > 0, -logits, logits)).sum(-1)
    return (loss + weights.square().sum(-1) / 2).numpy()


def error(mine: np.ndarray, other: np.ndarray) -> float:
    """Largest relative difference of an objective; infinite where ours is the larger one for any target."""
    excess = (mine - other) / other
    return float("inf") if excess.max() > 1e-9 else float(np.abs(excess).max())


def case(size: str, solver: str, make: partial[Task], batch: int, axis: Axis) -> Case:
    """One size against one solver."""
    return Case(
        op="logistic_probes",
        size=size,
        peer=f"scikit-learn LogisticRegression for each target, {solver}",
        peer_version=sklearn.__version__,
        inputs=make,
        ours=ours,
        theirs=partial(theirs, solver=solver),
        error=error,
        batch=batch,
        tolerance=1e-3,
        dtype="float64",
        axis=axis,
    )


CHAPTER = partial(of_targets, 500, 64)
LARGE = partial(inputs, 2000, TARGETS)
BY_TARGETS = Axis((1, 4, 16, 48), CHAPTER, "{} and more targets", "not even for {} targets")
BY_UNITS = Axis((512, 256, 128, 64, 32), LARGE, "{} units and fewer", "not even at {} units")
CASES = [case("500 x 64, 48 targets", solver, CHAPTER, 48, BY_TARGETS) for solver in SOLVERS]
CASES += [case(f"2000 x 256, {TARGETS} targets", solver, LARGE, 256, BY_UNITS) for solver in SOLVERS]
# the other solver takes half a minute for each repeat of this one
WIDE = partial(inputs, 5000, TARGETS)
BY_WIDTH = Axis((1280, 320), WIDE, "{} units and fewer", "not even at {} units")
CASES.append(case(f"5000 x 1280, {TARGETS} targets", "lbfgs", WIDE, 1280, BY_WIDTH))
