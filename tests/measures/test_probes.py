"""Probes against scikit-learn's classifiers with the same objective, and where the answer is known beforehand."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.neighbors import NearestCentroid

from featlib.measures import newton
from featlib.measures.newton import fit_logistic
from featlib.measures.probes import Logistic, NearestMean, Ridge

PROBES = [Ridge(), Ridge(alpha=0.0), Logistic(), NearestMean()]


@pytest.fixture(params=["whole system", "conjugate gradients"])
def way(request, monkeypatch):
    """Both ways to a Newton step."""
    monkeypatch.setattr(newton, "DIRECT", 10**9 if request.param == "whole system" else 0)


def sample(n=120, d=7, seeds=(), classes=2, seed=0, apart=1.0, dtype=torch.float64):
    """Overlapping clouds of unequal size, scale and offset in each unit, with labels that are not 0, 1, 2."""
    generator = torch.Generator().manual_seed(seed)
    means = apart * torch.randn(*seeds, classes, d, generator=generator, dtype=torch.float64)
    place = torch.multinomial(torch.arange(1.0, classes + 1), n, replacement=True, generator=generator)
    place = place.expand(*seeds, n)
    noise = torch.randn(*seeds, n, d, generator=generator, dtype=torch.float64)
    phi = means.gather(-2, place[..., None].expand(*seeds, n, d)) + noise
    return (phi * torch.linspace(0.3, 3, d) + 5).to(dtype), 3 * place - 2


def sklearn_logistic(alpha):
    return LogisticRegression(C=1 / alpha, tol=1e-10, max_iter=1000, solver="newton-cholesky")


def assert_same_plane(probe, peer, atol=1e-4):
    """Weights and intercepts of one problem; a constant that all classes share means nothing."""
    _, weights, intercept = probe.fitted
    shift = peer.intercept_.mean() if len(peer.intercept_) > 1 else 0.0
    np.testing.assert_allclose(weights.mT, np.atleast_2d(peer.coef_), rtol=0, atol=atol)
    own = intercept.mean() if len(peer.intercept_) > 1 else 0.0
    np.testing.assert_allclose(intercept - own, peer.intercept_ - shift, rtol=0, atol=10 * atol)  # the data lie at 5


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("alpha", [1e-3, 1.0, 100.0])
def test_ridge_has_the_weights_of_scikit_learn(alpha, classes):
    phi, target = sample(classes=classes)
    peer = RidgeClassifier(alpha=alpha).fit(phi.numpy(), target.numpy())
    ours = Ridge(alpha).fit(phi, target)
    assert_same_plane(ours, peer, 1e-8)
    assert torch.equal(ours.predict(phi), torch.from_numpy(peer.predict(phi.numpy())))
    assert ours.score(phi, target) == pytest.approx(peer.score(phi.numpy(), target.numpy()))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("alpha", [1e-2, 1.0, 100.0])
def test_logistic_has_the_weights_of_scikit_learn(alpha, classes):
    phi, target = sample(classes=classes)
    peer = sklearn_logistic(alpha).fit(phi.numpy(), target.numpy())
    ours = Logistic(alpha).fit(phi, target)
    assert_same_plane(ours, peer)
    assert torch.equal(ours.predict(phi), torch.from_numpy(peer.predict(phi.numpy())))
    assert ours.score(phi, target) == pytest.approx(peer.score(phi.numpy(), target.numpy()))


@pytest.mark.parametrize("classes", [2, 4])
def test_nearest_mean_predicts_as_scikit_learn(classes):
    phi, target = sample(classes=classes, apart=0.3)
    peer = NearestCentroid().fit(phi.numpy(), target.numpy())
    assert torch.equal(NearestMean().fit(phi, target).predict(phi), torch.from_numpy(peer.predict(phi.numpy())))


def test_least_squares_takes_the_shortest_weights_where_many_fit():
    phi, target = sample(n=10, d=30)
    centred = (phi - phi.mean(0)).numpy()
    sign = np.sign((target - target.double().mean()).numpy())
    expected = np.linalg.pinv(centred) @ (sign - sign.mean())
    np.testing.assert_allclose(Ridge(alpha=0.0).fit(phi, target).fitted.weights[:, 0], expected, atol=1e-10)


def objective(probe, phi, target):
    """Written out, in the wording of the docstring."""
    classes, weights, intercept = probe.fitted
    logits = phi @ weights + intercept
    if logits.shape[-1] == 1:
        logits = torch.cat([torch.zeros_like(logits), logits], -1)
    place = torch.searchsorted(classes, target)
    likelihood = torch.nn.functional.cross_entropy(logits, place, reduction="sum")
    return float(likelihood + probe.alpha / 2 * weights.square().sum())


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 1.0])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_logistic_is_solved_also_where_the_classes_are_apart(alpha, classes, scale):
    phi, target = sample(classes=classes, apart=6.0)
    phi = scale * phi
    ours = Logistic(alpha).fit(phi, target)
    classes, weights, intercept = ours.fitted
    w, b = weights.clone().requires_grad_(), intercept.clone().requires_grad_()
    ours._reading = ours.fitted._replace(weights=w, intercept=b)
    logits = phi @ w + b
    logits = torch.cat([torch.zeros_like(logits), logits], -1) if logits.shape[-1] == 1 else logits
    loss = torch.nn.functional.cross_entropy(logits, torch.searchsorted(classes, target), reduction="sum")
    gradients = torch.autograd.grad(loss + alpha / 2 * w.square().sum(), [w, b])
    assert max(float(g.abs().max()) for g in gradients) < 1e-7 * scale * len(target)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("classes", [2, 3])
def test_no_peer_reaches_a_lower_objective(classes):
    phi, target = sample(classes=classes, seed=3)
    peer = sklearn_logistic(0.1).fit(phi.numpy(), target.numpy())
    ours = Logistic(0.1).fit(phi, target)
    mine = objective(ours, phi, target)
    theirs = Logistic(0.1)
    planes = torch.from_numpy(peer.coef_.T), torch.from_numpy(peer.intercept_)
    theirs._reading = ours.fitted._replace(weights=planes[0], intercept=planes[1])
    assert mine <= objective(theirs, phi, target) + 1e-9


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("probe", PROBES, ids=repr)
@pytest.mark.parametrize("classes", [2, 3])
def test_seeds_side_by_side_are_seeds_one_by_one(probe, classes):
    phi, target = sample(seeds=(2, 3), classes=classes)
    probe.fit(phi, target)
    weights, scores, predictions = probe.fitted.weights, probe.score(phi, target), probe.predict(phi)
    assert scores.shape == (2, 3)
    for place in np.ndindex(2, 3):
        alone = probe.fit(phi[place], target[place])
        torch.testing.assert_close(alone.fitted.weights, weights[place], rtol=1e-8, atol=1e-10)
        assert torch.equal(alone.predict(phi[place]), predictions[place])
        assert alone.score(phi[place], target[place]) == scores[place]


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_one_representation_serves_many_targets(probe):
    phi, _ = sample()
    targets = (phi[:, :5].T > phi[:, :5].mean(0)[:, None]).long()
    scores = probe.fit(phi, targets).score(phi, targets)
    assert scores.shape == (5,)
    predictions = probe.predict(phi)
    for target, score, prediction in zip(targets, scores, predictions, strict=True):
        assert probe.fit(phi, target).score(phi, target) == score
        assert torch.equal(probe.predict(phi), prediction)


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_one_target_serves_many_seeds(probe):
    phi, target = sample(seeds=(3,))
    scores = probe.fit(phi, target[0]).score(phi, target[0])
    assert scores.tolist() == [float(probe.fit(part, target[0]).score(part, target[0])) for part in phi]


@pytest.mark.parametrize("block", [1, 2000])
def test_blocks_of_any_size_give_the_same(monkeypatch, block):
    phi, target = sample(seeds=(5,))
    whole = Logistic().fit(phi, target).fitted.weights
    targets = (phi[0, :, :4].T > 5).long()
    shared = Logistic().fit(phi[0], targets).fitted.weights
    monkeypatch.setattr(newton, "BLOCK", block)
    torch.testing.assert_close(Logistic().fit(phi, target).fitted.weights, whole)
    torch.testing.assert_close(Logistic().fit(phi[0], targets).fitted.weights, shared)


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_names_of_the_classes_do_not_matter(probe):
    phi, target = sample(classes=3)
    first = probe.fit(phi, target).predict(phi)
    assert torch.equal(probe.fit(phi, 10 * target + 7).predict(phi), 10 * first + 7)
    truth = target == 1
    assert torch.equal(probe.fit(phi, truth).predict(phi), probe.fit(phi, truth.long()).predict(phi))


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_separable_classes_are_read_and_shuffled_ones_are_not(probe):
    phi, target = sample(n=2000, apart=6.0)
    other, truth = phi[1000:], target[1000:]
    assert probe.fit(phi[:1000], target[:1000]).score(other, truth) == 1
    shuffled = target[torch.randperm(2000, generator=torch.Generator().manual_seed(1))]
    most = float((truth == target.mode().values).double().mean())
    assert abs(float(probe.fit(phi[:1000], shuffled[:1000]).score(other, shuffled[1000:])) - most) < 0.3


@pytest.mark.parametrize("probe", PROBES, ids=repr)
def test_float32_is_read_as_its_float64_value(probe):
    phi, target = sample(dtype=torch.float32)
    weights = probe.fit(phi, target).fitted.weights
    assert weights.dtype == torch.float64
    assert torch.equal(weights, probe.fit(phi.double(), target).fitted.weights)
    assert not phi.requires_grad


def test_a_large_penalty_turns_ridge_into_the_difference_of_means():
    phi, target = sample()
    ridge = Ridge(alpha=1e9).fit(phi, target).fitted.weights[:, 0]
    means = NearestMean().fit(phi, target).fitted.weights[:, 0]
    assert torch.nn.functional.cosine_similarity(ridge, means, dim=0) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("probe", PROBES, ids=repr)
@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_refused(probe):
    phi, target = sample(seeds=(3,))
    with pytest.raises(ValueError, match="one class an example"):
        probe.fit(phi, target[:, 1:])
    with pytest.raises(ValueError, match="one class an example"):
        probe.fit(phi, target[:2])
    with pytest.raises(TypeError, match=r"\.float\(\)"):
        probe.fit(phi.long(), target)
    with pytest.raises(TypeError, match=r"\.long\(\)"):
        probe.fit(phi, target.double())
    with pytest.raises(ValueError, match="NaN"):
        probe.fit(phi.clone().index_fill_(1, torch.tensor([4]), torch.nan), target)
    with pytest.raises(ValueError, match=r"seed\(s\) \[1\]"):
        probe.fit(phi, torch.stack([target[0], torch.ones_like(target[0]), target[0]]))
    with pytest.raises(ValueError, match="two classes or more"):
        probe.fit(phi[0], torch.ones_like(target[0]))
    probe.fit(phi, target)
    with pytest.raises(ValueError, match="7 units"):
        probe.predict(phi[..., 1:])
    with pytest.raises(ValueError, match="seeds"):
        probe.predict(phi[:2])
    with pytest.raises(ValueError, match="no example"):
        probe.score(phi[:, :0], target[:, :0])
    with pytest.raises(ValueError, match="NaN"):
        probe.predict(torch.full_like(phi, torch.inf))


def test_bad_parameters_are_refused():
    with pytest.raises(ValueError, match="0 or more"):
        Ridge(alpha=-1.0)
    with pytest.raises(ValueError, match="positive"):
        Logistic(alpha=0.0)
    with pytest.raises(RuntimeError, match="call fit"):
        Ridge().predict(torch.zeros(3, 2))


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("classes", [2, 3])
def test_logistic_copes_with_hard_data(classes):
    """Units that are constant, doubled or far from zero, more units than examples, a class that is rare."""
    phi, target = sample(n=40, d=30, classes=classes)
    phi = torch.cat([phi, phi, torch.ones(40, 1, dtype=phi.dtype), 1e6 + phi[:, :1]], -1)
    rare = torch.where(torch.arange(40) < 38, 0, torch.arange(40) % classes + 1)
    for labels in (target, rare):
        for alpha in (1e-6, 1.0, 1e6):
            probe = Logistic(alpha).fit(phi, labels)
            weights = probe.fitted.weights
            torch.testing.assert_close(weights[:30], weights[30:60], rtol=1e-5, atol=1e-8)
            assert float(weights[60].abs().max()) < 1e-8


def test_what_is_not_solved_is_an_error(monkeypatch):
    monkeypatch.setattr(newton, "MAX_STEPS", 2)
    phi, target = sample()
    with pytest.raises(RuntimeError, match=r"1 problem\(s\)"):
        fit_logistic(phi, (target > 1).double()[:, None], 1e-3)


def test_a_fit_is_named_and_versioned():
    assert [(probe.name, probe.version) for probe in (Ridge(), Logistic(), NearestMean())] == [
        ("ridge", 1),
        ("logistic", 1),
        ("nearest mean", 1),
    ]
    assert repr(Ridge(alpha=0.5)) == "Ridge(alpha=0.5)"
