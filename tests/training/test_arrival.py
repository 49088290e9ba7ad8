"""Descents that stop of themselves: the closed form of the linear theory, and saddles that look like an end."""

import pytest
import torch

from featlib.measures import contrastive_theory as theory
from featlib.models.deep_linear import DeepLinear, gains, maps
from featlib.training.arrival import descend, relative_change
from featlib.training.plateau import plateaued

PHI = torch.tensor([[2.0, 1.0, 0.6, 1.5], [0.7, 1.1, 1.9, 0.8]], dtype=torch.float64)
SIGMA = torch.tensor([[1.0, 1.0, 1.0, 0.2], [0.3, 1.5, 1.0, 0.2]], dtype=torch.float64)


def loss_of(weights, rows):
    return theory.loss(maps(weights)[-1], PHI[rows], SIGMA[rows])


def beside_a_saddle(smallest, layers=3):
    """Diagonal weights, of which one direction is nearly lost: the second feature in the first of two networks."""
    first = torch.full((2, 4), 0.6, dtype=torch.float64)
    first[0, 1] = smallest
    return [torch.diag_embed(first) for _ in range(layers)]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_what_has_arrived_has_the_gains_of_the_closed_form(layers):
    found = descend(list(DeepLinear(4, layers, 0.5, seeds=[0, 1]).weights), loss_of, 0.005, 20_000)
    assert found.arrived.all()
    expected = theory.layer_gains(PHI, SIGMA, layers)
    torch.testing.assert_close(gains(found.weights), expected, rtol=2e-3, atol=0)


def test_a_start_that_cannot_arrive_is_reported():
    first = list(DeepLinear(4, 3, 0.5, seeds=[0, 1]).weights)
    found = descend(first, loss_of, 0.005, ceiling=300, every=100)
    assert found.arrived.tolist() == [False, False]
    assert found.steps.tolist() == [300, 300]
    assert descend(first, loss_of, 0.005, ceiling=99, every=100).arrived.tolist() == [False, False]


def test_the_slow_network_waits_and_the_other_has_left():
    """A start beside a saddle is on its way as long as it waits, where a flat loss says that it has arrived."""
    first, both = beside_a_saddle(0.17), torch.arange(2)
    half = descend(first, loss_of, 0.02, 750)
    short = descend(first, loss_of, 0.02, 1500)
    assert short.arrived.tolist() == [False, True]
    least = -(PHI**2 / (PHI**2 + SIGMA**2)).square().sum(-1)
    above = torch.stack([loss_of(weights, both) - least for weights in (first, half.weights, short.weights)])
    assert plateaued(above[..., None], window=1).tolist() == [True, True]
    assert gains(short.weights)[0, -1, 1] < 0.01 < theory.optimal_gains(PHI, SIGMA)[0, 1]
    long = descend(first, loss_of, 0.02, 10_000)
    assert long.arrived.all()
    assert long.steps[1] < 1500 < long.steps[0]
    torch.testing.assert_close(gains(long.weights), theory.layer_gains(PHI, SIGMA, 3), rtol=1e-3, atol=0)


def test_no_network_depends_on_its_company():
    first = list(DeepLinear(4, 2, 0.5, seeds=[0, 1]).weights)
    both = descend(first, loss_of, 0.005, 20_000)
    alone = descend([w[1:] for w in first], lambda w, rows: loss_of(w, rows + 1), 0.005, 20_000)
    assert alone.steps[0] == both.steps[1]
    torch.testing.assert_close(alone.weights[0][0], both.weights[0][1], rtol=1e-9, atol=1e-12)


def test_first_weights_stay_as_they_are():
    first = list(DeepLinear(4, 2, 0.5, seeds=[0, 1]).weights)
    copies = [weight.detach().clone() for weight in first]
    found = descend(first, loss_of, 0.005, 250)
    assert all(torch.equal(weight, copy) for weight, copy in zip(first, copies, strict=True))
    assert not any(weight.requires_grad for weight in found.weights)


def test_one_step_is_the_gradients():
    first = list(DeepLinear(4, 2, 0.5, seeds=[0, 1]).weights)
    slopes = torch.autograd.grad(loss_of(first, torch.arange(2)).sum(), first)
    found = descend(first, loss_of, 0.01, 1)
    for weight, slope, after in zip(first, slopes, found.weights, strict=True):
        torch.testing.assert_close(after, weight.detach() - 0.01 * slope)


def test_a_small_direction_counts_as_much_as_a_large_one():
    before = torch.diag_embed(torch.tensor([[1.0, 1e-6], [1.0, 1.0], [1.0, 0.0]], dtype=torch.float64))
    after = before.clone()
    after[0, 1, 1] = 2e-6
    after[1] *= 0.75
    assert relative_change(before, after).tolist() == pytest.approx([1.0, 0.25, float("inf")])


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("wrong", [{"rate": 0.0}, {"ceiling": 0}, {"every": 0}, {"tolerance": -1.0}])
def test_numbers_must_be_positive(wrong):
    with pytest.raises(ValueError, match="all must be positive"):
        descend(beside_a_saddle(0.6), loss_of, **({"rate": 0.01, "ceiling": 10} | wrong))


def test_a_rate_that_is_too_large_is_named():
    with pytest.raises(ValueError, match="not finite after 250 steps: lower the rate"):
        descend(beside_a_saddle(0.6), loss_of, rate=3.0, ceiling=500)
