"""When training has arrived."""

import pytest
import torch

from featlib.training.plateau import learned, plateaued


def test_learned_asks_for_every_output():
    accuracy = torch.tensor([[1.0, 0.99], [1.0, 0.98], [0.5, 1.0]])
    assert learned(accuracy).tolist() == [True, False, False]
    assert learned(accuracy, at_least=0.98).tolist() == [True, True, False]


def test_percentages_are_refused():
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        learned(torch.tensor([[99.0]]))
    with pytest.raises(ValueError, match="NaN"):
        learned(torch.tensor([[float("nan")]]))


def test_curves_that_fall_rise_and_rest():
    steps = torch.linspace(0, 1, 20)
    falling, resting, rising = 1 - 0.9 * steps, torch.exp(-40 * steps), torch.exp(-40 * steps) + 0.5 * (steps > 0.8)
    loss = torch.stack([falling, resting, rising], 1)[..., None]
    assert plateaued(loss).tolist() == [False, True, False]


def test_every_output_must_have_arrived():
    loss = torch.ones(10, 1, 2)
    loss[:, 0, 1] = torch.linspace(1, 0, 10)
    assert plateaued(loss).tolist() == [False]
    assert plateaued(loss[..., :1]).tolist() == [True]


def test_an_output_that_was_learned_at_once_may_go_on_shrinking():
    loss = torch.ones(10, 1, 2)
    loss[:, 0, 0] = torch.logspace(-3, -6, 10)
    assert plateaued(loss).tolist() == [True]
    assert plateaued(loss[..., :1]).tolist() == [False]


def test_too_few_records():
    with pytest.raises(ValueError, match="9 records are too few"):
        plateaued(torch.ones(9, 1, 1))
