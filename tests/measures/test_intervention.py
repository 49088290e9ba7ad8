"""Interventions on a representation whose head and directions are known in closed form."""

import pytest
import torch

from featlib.measures.intervention import direction, flip_rates


def world(n=400):
    """Two features on axes of their own, of sizes 3 and 1, and noise on a third."""
    torch.manual_seed(0)
    f = torch.randint(2, (2, n, 2))
    signs = 2.0 * f - 1
    phi = torch.stack([3 * signs[..., 0], signs[..., 1], torch.randn(2, n)], -1).double()
    return phi, f


def head(phi):
    return phi[..., :2]


def test_direction_is_the_difference_of_means():
    phi, f = world()
    for seed in range(2):
        for which in range(2):
            there = f[seed, :, which] == 1
            wanted = phi[seed][there].mean(0) - phi[seed][~there].mean(0)
            torch.testing.assert_close(direction(phi, f[..., which])[seed], wanted)
    assert direction(phi, f[..., 0])[:, 0].tolist() == pytest.approx([6.0, 6.0])
    torch.testing.assert_close(direction(phi, f[..., 0] == 1), direction(phi, f[..., 0]))


def test_half_a_step_is_the_border():
    phi, f = world()
    only = torch.zeros(2, 3, dtype=torch.float64)
    only[:, 0] = 6
    rates = flip_rates(phi, only, f[..., 0], head, [0.0, 0.49, 0.51, 1.0])
    assert rates.shape == (4, 2, 2)
    assert rates[:, :, 0].tolist() == [[0, 0], [0, 0], [1, 1], [1, 1]]
    assert not rates[:, :, 1].any()


def test_examples_go_to_the_other_side():
    """With the feature turned around every example is pushed further away and nothing flips."""
    phi, f = world()
    step = direction(phi, f[..., 0])
    assert not flip_rates(phi, step, 1 - f[..., 0], head, [1.0])[..., 0].any()
    assert not flip_rates(phi, -step, f[..., 0], head, [1.0])[..., 0].any()


def test_rates_are_shares_of_examples():
    phi, f = world()
    phi[0, :100, 0] *= 10  # too far to be flipped
    step = torch.tensor([6.0, 0, 0]).double().expand(2, 3)
    assert flip_rates(phi, step, f[..., 0], head, [1.0])[0, :, 0].tolist() == [0.75, 1.0]


def test_refusals():
    phi, f = world()
    with pytest.raises(ValueError, match="same value for all examples"):
        direction(phi, torch.ones(2, 400).long())
    with pytest.raises(ValueError, match="must be 0 or 1"):
        direction(phi, f[..., 0] * 2)
    with pytest.raises(ValueError, match="alphas is empty"):
        flip_rates(phi, direction(phi, f[..., 0]), f[..., 0], head, [])
