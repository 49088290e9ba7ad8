"""The plain loop: gradient descent by hand, records, and losses that leave the numbers."""

import pytest
import torch

from featlib.training.loop import fit


def test_it_goes_down_the_gradient():
    weight = torch.nn.Parameter(torch.tensor([2.0, -1.0], dtype=torch.float64))
    history = fit(torch.optim.SGD([weight], lr=0.1), lambda step: 0.5 * weight.square(), steps=10, every=4)
    torch.testing.assert_close(weight.detach(), torch.tensor([2.0, -1.0], dtype=torch.float64) * 0.9**10)
    assert history.steps == [4, 8, 10]
    expected = [[0.5 * (v * 0.9 ** (step - 1)) ** 2 for v in (2.0, -1.0)] for step in history.steps]
    torch.testing.assert_close(history.loss, torch.tensor(expected, dtype=torch.float64))


def test_steps_count_from_zero_and_watching_after_them():
    asked, weight = [], torch.nn.Parameter(torch.ones(1))
    history = fit(
        torch.optim.SGD([weight], lr=0.1), lambda step: asked.append(step) or weight.sum(), 5, 2, watch=lambda s: -s
    )
    assert asked == [0, 1, 2, 3, 4]
    assert history.watched == [-2, -4, -5]


def test_refusals():
    weight = torch.nn.Parameter(torch.ones(1))
    optimiser = torch.optim.SGD([weight], lr=0.1)
    with pytest.raises(ValueError, match="positive"):
        fit(optimiser, lambda step: weight.sum(), 0)
    with pytest.raises(ValueError, match="not finite after 3 steps"):
        fit(optimiser, lambda step: weight.sum() * (float("nan") if step == 2 else 1), 5, every=1)
