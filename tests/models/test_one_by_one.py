"""A stack of networks computed one by one: each is what it is alone."""

import pytest
import torch
from torch import nn

from featlib.models import build
from featlib.models.one_by_one import OneByOne


def small():
    return build("resnet18-tiny", depths=(1, 1, 1, 1), stem="large")


def test_a_network_is_the_same_alone_and_in_any_company():
    torch.manual_seed(4)
    alone, x = small(), torch.rand(2, 5, 3, 28, 28)
    stack = OneByOne(small, seeds=[9, 4])
    assert len(stack) == 2
    torch.testing.assert_close(stack(x)[1], alone(x[1]))
    assert not torch.equal(stack(x[:1].expand(2, -1, -1, -1, -1))[0], alone(x[0]))


def test_statistics_and_gradients_do_not_meet():
    stack = OneByOne(small, seeds=[0, 0]).train()
    stack(torch.rand(2, 5, 3, 28, 28) * torch.tensor([1.0, 2.0])[:, None, None, None, None])[0].sum().backward()
    first, second = stack.networks
    assert not torch.equal(first.stem.norm.running_mean, second.stem.norm.running_mean)
    assert any(bool(parameter.grad.any()) for parameter in first.parameters())
    assert not any(bool(parameter.grad.any()) for parameter in second.parameters())


def test_the_generator_is_left_as_it_was():
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    OneByOne(lambda: nn.Linear(2, 2), seeds=[1, 2])
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="no seeds given"):
        OneByOne(small, seeds=[])
    with pytest.raises(ValueError, match="3 batches for 2 networks"):
        OneByOne(lambda: nn.Linear(2, 2), seeds=[1, 2])(torch.zeros(3, 4, 2))
