"""The closed form of the linear theory against gradient descent, an optimiser that knows nothing of it, and samples."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from featlib.measures import contrastive_theory as theory
from featlib.models.deep_linear import DeepLinear
from featlib.training import losses
from featlib.training.loop import fit

PHI = torch.tensor([2.0, 1.0, 0.6, 1.5], dtype=torch.float64)
SIGMA = torch.tensor([1.0, 1.0, 1.0, 0.2], dtype=torch.float64)


def descend(model, steps, phi=PHI, sigma=SIGMA, rate=0.01):
    optimiser = torch.optim.SGD(model.parameters(), lr=rate)
    fit(optimiser, lambda step: theory.loss(model.maps()[-1], phi, sigma), steps, every=steps)
    return model.gains().detach()


def test_the_minimum_is_what_a_general_optimiser_finds():
    shape = (4, 4)

    def flat(values):
        a = torch.tensor(values, dtype=torch.float64).reshape(shape).requires_grad_()
        value = theory.loss(a, PHI, SIGMA)
        value.backward()
        return float(value.detach()), a.grad.numpy().ravel()

    start = np.random.default_rng(0).normal(size=16)
    found = optimize.minimize(flat, start, jac=True, method="BFGS", options={"gtol": 1e-9})
    gains = torch.tensor(found.x).reshape(shape).norm(dim=0)
    torch.testing.assert_close(gains, theory.optimal_gains(PHI, SIGMA), rtol=1e-4, atol=0)


@pytest.mark.parametrize("layers", [2, 3])
def test_gradient_descent_from_a_balanced_start_gives_every_layer_its_power(layers):
    model = DeepLinear(4, layers, 0.5, seeds=[0, 1])
    gains = descend(model, 4000)
    expected = theory.layer_gains(PHI, SIGMA, layers)
    torch.testing.assert_close(gains, expected.expand_as(gains), rtol=1e-3, atol=0)
    assert (model.imbalance() < 0.02).all()
    ratio = theory.spread(gains) / theory.spread(gains[:, -1:])
    torch.testing.assert_close(
        ratio, (torch.arange(1.0, layers + 1).double() / layers).expand_as(ratio), rtol=0.01, atol=0
    )


def test_an_unbalanced_start_keeps_the_product_and_not_the_layers():
    gains = descend(DeepLinear(4, 2, 1.0, seeds=[0], balanced=False), 8000)
    expected = theory.layer_gains(PHI, SIGMA, 2)
    torch.testing.assert_close(gains[0, 1], expected[1], rtol=1e-3, atol=0)
    assert float((gains[0, 0] / expected[0] - 1).abs().max()) > 0.05


def test_fewer_outputs_keep_the_best_whitened_features():
    """Against gradient descent on a network that has only two outputs."""
    a = (0.3 * torch.randn(2, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).requires_grad_()
    fit(torch.optim.SGD([a], lr=0.01), lambda step: theory.loss(a, PHI, SIGMA), 6000, every=6000)
    expected = theory.optimal_gains(PHI, SIGMA, outputs=2)
    torch.testing.assert_close(a.detach().norm(dim=0), expected, rtol=1e-3, atol=1e-3)
    assert (expected > 0).tolist() == [True, False, False, True]


def test_the_population_loss_is_the_mean_of_the_textbook_loss():
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(3, 4, generator=generator, dtype=torch.float64) / 2

    def noise(scale):
        return scale * torch.randn(300, 400, 4, generator=generator, dtype=torch.float64)

    clean = noise(PHI)
    found = losses.spectral((clean + noise(SIGMA)) @ a.T, (clean + noise(SIGMA)) @ a.T)
    assert abs(float(found.mean() - theory.loss(a, PHI, SIGMA))) < 4 * float(found.std()) / 300**0.5


@settings(max_examples=50, deadline=None)
@given(st.floats(0.05, 20), st.floats(0.05, 20), st.floats(1.01, 3))
def test_the_gain_peaks_where_signal_equals_noise(sigma, phi, factor):
    def gain(p):
        return float(theory.optimal_gains(torch.tensor([p]).double(), torch.tensor([sigma]).double()))

    peak = gain(sigma)
    assert peak >= gain(phi)
    assert peak > gain(sigma * factor)
    assert gain(sigma * factor) == pytest.approx(gain(sigma / factor))


def test_spread_is_the_deviation_of_logarithms():
    gains = torch.tensor([1.0, math.e, math.e**2])
    assert float(theory.spread(gains)) == pytest.approx(1)
    assert float(theory.spread(gains**0.5)) == pytest.approx(0.5)


def test_signal_share_without_noise_is_blind_to_gains():
    gains = torch.rand(3, 4, dtype=torch.float64) + 0.1
    share = theory.signal_share(gains, PHI, SIGMA, 0.0)
    torch.testing.assert_close(share, (PHI**2 / (PHI**2 + SIGMA**2)).expand_as(share))
    noisy = theory.signal_share(torch.stack([gains[0], gains[0] * torch.tensor([9.0, 1, 1, 1])]), PHI, SIGMA, 0.5)
    assert noisy[1, 0] > noisy[0, 0]
    assert (noisy[1, 1:] < noisy[0, 1:]).all()


def test_starts_are_as_said():
    model = DeepLinear(5, 3, 0.2, seeds=[3, 4])
    assert (model.imbalance() < 1e-12).all()
    values = torch.linalg.svdvals(model.weights[0][0].detach())
    assert 0.1 <= float(values.min()) <= float(values.max()) <= 0.3
    x = torch.randn(2, 7, 5, dtype=torch.float64)
    by_hand = torch.stack([x[s] @ (model.weights[2][s] @ model.weights[1][s] @ model.weights[0][s]).T for s in (0, 1)])
    torch.testing.assert_close(model(x), by_hand)
    assert torch.equal(DeepLinear(5, 3, 0.2, seeds=[4]).weights[1][0], model.weights[1][1])
    assert float(DeepLinear(3, 1).imbalance()) == 0


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.optimal_gains(PHI, SIGMA[:2]), "one entry a feature"),
        (lambda: theory.optimal_gains(PHI * 0, SIGMA), "positive"),
        (lambda: theory.optimal_gains(PHI, SIGMA, 0), "outputs"),
        (lambda: theory.layer_gains(PHI, SIGMA, 0), "layers"),
        (lambda: theory.signal_share(PHI, PHI, SIGMA, -1.0), "noise"),
        (lambda: DeepLinear(3, 0), "layers"),
        (lambda: DeepLinear(3, seeds=[]), "seeds"),
        (lambda: DeepLinear(3, scale=0.0), "scale"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
