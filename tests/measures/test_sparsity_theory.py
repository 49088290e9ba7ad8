"""The expected gradient on activations: autograd for the gradient, z-tests and quadrature for the expectation."""

import numpy as np
import pytest
import torch
from scipy import integrate, stats
from torch.nn import functional

from featlib.measures import sparsity_theory
from featlib.measures.sparsity_theory import activation_gradients, closed_form, expected_gradient

A = torch.tensor([0.7, 0.0, 1.3, 0.2, 0.0, 2.0], dtype=torch.float64)
Y = torch.tensor([0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
STD = torch.linspace(0.1, 0.9, 24, dtype=torch.float64).reshape(4, 6)


def by_autograd(V, a, y, loss):
    a = a.clone().requires_grad_()
    f = V @ a
    value = 0.5 * (f - y).square().sum() if loss == "squared_error" else functional.cross_entropy(f, y)
    return torch.autograd.grad(value, a)[0]


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
@pytest.mark.parametrize("y", [Y, torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=torch.float64)], ids=["hard", "soft"])
def test_gradients_are_those_of_autograd(loss, y):
    V = torch.randn(5, 3, 4, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    ours = activation_gradients(V, A, y, loss)
    assert ours.shape == (5, 3, 6)
    for index in np.ndindex(5, 3):
        torch.testing.assert_close(ours[index], by_autograd(V[index], A, y, loss))


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_mean_and_error_are_those_of_a_loop(loss, monkeypatch):
    """The same draws, seen one by one through autograd."""
    drawn = []
    draw = sparsity_theory._draw
    monkeypatch.setattr(sparsity_theory, "_draw", lambda *arguments: drawn.append(draw(*arguments)) or drawn[-1])
    monkeypatch.setattr(sparsity_theory, "CHUNK", 7 * STD.numel())
    found = expected_gradient(A, Y, STD, loss, draws=30)
    gradients = torch.stack([by_autograd(STD * V, A, Y, loss) for V in torch.cat(drawn)])
    assert len(gradients) == found.draws == 30
    torch.testing.assert_close(found.mean, gradients.mean(0))
    torch.testing.assert_close(found.error, gradients.std(0) / 30**0.5)
    active = gradients[:, A > 0].mean(1)
    assert found.mean_active == pytest.approx(float(active.mean()))
    assert found.error_active == pytest.approx(float(active.std()) / 30**0.5)
    assert found.closed_active == pytest.approx(float(found.closed[A > 0].mean()))


@pytest.mark.parametrize("law", ["normal", "uniform", "signs"])
@pytest.mark.parametrize("std", [0.3, STD], ids=["one", "each"])
def test_squared_error_z_test(law, std):
    found = expected_gradient(A, Y, std, "squared_error", law, draws=40_000)
    variance = std**2 * 4 if isinstance(std, float) else (std**2).sum(0)
    torch.testing.assert_close(found.closed, A * variance)
    assert ((found.mean - found.closed).abs() < 3 * found.error).all()
    assert abs(found.mean_active - found.closed_active) < 3 * found.error_active
    assert found.mean_active > 10 * found.error_active, "and far above zero, which a wrong sign would not be"
    assert (found.closed[A == 0] == 0).all()


@pytest.mark.parametrize("law", ["normal", "uniform", "signs"])
def test_cross_entropy_pulls_every_active_unit_down(law):
    found = expected_gradient(A, Y, 0.8, "cross_entropy", law, draws=40_000)
    z = found.mean / found.error
    assert (z[A > 0] > 3).all()
    assert (z[A == 0].abs() < 3).all(), "a silent unit is not pulled anywhere"
    assert found.mean_active > 10 * found.error_active
    assert (found.closed is None) == (found.closed_active is None) == (law != "normal")
    if law == "normal":
        assert ((found.mean - found.closed).abs() < 3 * found.error).all()
        assert abs(found.mean_active - found.closed_active) < 3 * found.error_active


def test_cross_entropy_of_weights_of_different_size_z_test():
    found = expected_gradient(A, Y, STD, "cross_entropy", draws=60_000)
    assert ((found.mean - found.closed).abs() < 3 * found.error).all()
    bound = closed_form(A, STD)
    assert (found.closed[A > 0] < bound[A > 0]).all()
    assert (found.closed[A > 0] > 0).all()


def test_cross_entropy_with_two_outputs_by_quadrature():
    """The difference of two normal logits is normal: one integral."""
    std = torch.tensor([[0.5, 0.2, 1.0], [0.3, 0.9, 0.4]], dtype=torch.float64)
    a = torch.tensor([1.0, 2.0, 0.5], dtype=torch.float64)
    spread = float(((std**2) @ a.square()).sum().sqrt())

    def slope(x):
        s = 1 / (1 + np.exp(-x))
        return s * (1 - s) * stats.norm.pdf(x, scale=spread)

    exact = integrate.quad(slope, -40, 40)[0] * a * (std**2).sum(0)
    ours = closed_form(a, std, "cross_entropy", draws=400_000)
    torch.testing.assert_close(ours, exact, rtol=0.005, atol=0)


def test_small_activations_see_a_uniform_softmax():
    closed = closed_form(1e-6 * A, torch.full((4, 6), 0.5, dtype=torch.float64), "cross_entropy", draws=10)
    torch.testing.assert_close(closed, 1e-6 * A * 0.25 * (1 - 1 / 4))


@pytest.mark.parametrize("loss", ["squared_error", "cross_entropy"])
def test_labels_do_not_matter(loss):
    """Same draws, other labels: the closed form does not know them, and the Monte Carlo agrees within its error."""
    first, second = (expected_gradient(A, Y.roll(k), 0.5, loss, draws=40_000, seed=k) for k in (0, 2))
    torch.testing.assert_close(first.closed, second.closed, rtol=0.02, atol=0)
    error = (first.error.square() + second.error.square()).sqrt()
    assert ((first.mean - second.mean).abs() < 3 * error).all()


def test_the_control_biased_weights_are_not_pulled_alike(monkeypatch):
    """Without mean zero the labels matter and the statement fails: the test can tell."""
    draw = sparsity_theory._draw
    monkeypatch.setattr(sparsity_theory, "_draw", lambda *arguments: draw(*arguments) + 1)
    found = expected_gradient(A, 20 * Y, 0.3, draws=4000)
    assert ((found.mean - found.closed).abs() > 3 * found.error).any()
    assert (found.mean < 0).all()


def test_negative_activations_are_pulled_up():
    found = expected_gradient(-A, Y, 0.5, "cross_entropy", draws=20_000)
    assert (found.mean[A > 0] < 0).all()
    assert np.isnan(found.mean_active)


def test_seed_decides():
    first, again, other = (expected_gradient(A.float(), Y.float(), 0.5, draws=500, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first.mean, again.mean)
    assert not torch.equal(first.mean, other.mean)
    assert first.mean.dtype == torch.float64


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named():
    for arguments, says in [
        ((A, Y, 0.5, "mse"), "loss must be 'squared_error' or 'cross_entropy', got 'mse'"),
        ((A, Y, 0.5, "squared_error", "cauchy"), "law must be"),
        ((A, Y, 0.5, "squared_error", "normal", 1), "two draws or more"),
        ((A, Y, 0.0), "std must be positive"),
        ((A, Y, STD.T), r"one number or \(4, 6\) of them"),
        ((A, Y + 1, 0.5, "cross_entropy"), "must not be negative and sum to one"),
        ((A, torch.tensor([1.5, -0.5]), 0.5, "cross_entropy"), "must not be negative"),
    ]:
        with pytest.raises(ValueError, match=says):
            expected_gradient(*arguments)
