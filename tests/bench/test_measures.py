"""Peers compute what we compute, at small sizes; and the errors see what is not the same."""

import numpy as np
import pytest
import torch

from tests.bench import contrastive, probes, similarity, variance_explained


def test_variance_explained_and_regressions_agree():
    data = variance_explained.inputs(2, 60, 9, seed=0, features=3)
    mine, theirs = variance_explained.ours(data), variance_explained.theirs(data)
    assert mine.shape == (2, 3)
    assert variance_explained.error(mine, theirs) < 1e-5
    assert variance_explained.error(np.roll(mine, 1, axis=1), theirs) > 1e-2


@pytest.mark.parametrize("case", similarity.CASES, ids=lambda case: f"{case.op} {case.size} {case.dtype}")
def test_similarities_and_their_peers_agree(case):
    data = case.inputs(0, 60)
    mine, theirs = case.ours(data), case.theirs(data)
    assert case.error(mine, theirs) <= case.tolerance
    other = case.inputs(1, 60)
    assert case.error(case.ours(other), theirs) > 100 * case.tolerance


@pytest.mark.parametrize("case", contrastive.CASES[:: len(contrastive.SIZES)], ids=lambda case: case.peer)
def test_contrastive_losses_and_their_peers_agree_in_value_and_gradient(case):
    data = case.inputs(0, 60)
    (value, gradient), theirs = case.ours(data), case.theirs(data)
    assert case.error([value, gradient], theirs) <= case.tolerance
    assert case.error([value, 1.01 * gradient], theirs) > 1e-3
    assert case.error([1.01 * value, gradient], theirs) > 1e-3


@pytest.mark.parametrize("solver", probes.SOLVERS)
def test_probes_never_have_the_larger_objective(solver):
    task = probes.inputs(100, 3, seed=0, d=8)
    mine, theirs = probes.ours(task), probes.theirs(task, solver)
    assert probes.error(mine, theirs) < 1e-4
    assert probes.error(1.1 * mine, theirs) == float("inf")
    assert probes.error(0.9 * mine, theirs) > 0.05
    assert torch.equal(probes.of_targets(100, 8, 0, 3).targets, task.targets)
