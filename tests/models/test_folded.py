"""A folded network is the same function: of its pictures, and in its gradient back to them."""

import pytest
import torch
from torch import nn

from featlib.explain.objectives import Channel
from featlib.models import build
from featlib.models.folded import Lopsided, Pointwise, folded
from featlib.models.layers import SameConv2d

NAMES = ("efficientnet-lite0", "mobilenet-v2")


def network(name):
    """Random weights, with normalisation that has something to fold."""
    torch.manual_seed(0)
    model = build(name)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.weight, 0.8, 1.2)
            nn.init.normal_(part.bias, std=0.2)
            nn.init.normal_(part.running_mean, std=0.1)
            nn.init.uniform_(part.running_var, 0.5, 1.5)
    return model


def both(name, values):
    """What ``values`` gives for the plain network and for the folded one."""
    pictures = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return values(network(name), pictures), values(folded(network(name)), pictures)


@pytest.mark.parametrize("recorded", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_logits_are_those_of_the_plain_network(name, recorded):
    with torch.set_grad_enabled(recorded):
        plain, ours = both(name, lambda model, pictures: model(model.normalise(pictures)).detach())
    assert plain.std() > 1e-4
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_so_is_the_gradient_of_a_hidden_channel_before_its_activation(name):
    def gradient(model, pictures):
        pixels = pictures.clone().requires_grad_()
        value = Channel("head.norm", 7, "mean")(model, model.normalise(pixels)).sum()
        return torch.autograd.grad(value, pixels)[0]

    plain, ours = both(name, gradient)
    assert plain.abs().max() > 0
    torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-4 * float(plain.abs().max()))


def test_a_channel_before_its_activation_is_read_before_it_is_overwritten():
    with torch.no_grad():
        plain, ours = both("mobilenet-v2", lambda model, x: Channel("head.norm", 7, "mean")(model, model.normalise(x)))
    torch.testing.assert_close(ours, plain, rtol=1e-4, atol=1e-5)


def test_every_normalisation_is_gone_and_nothing_is_left_to_learn():
    model = folded(network("mobilenet-v2"))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("bias", [True, False])
def test_a_pointwise_convolution_is_a_matrix_product_in_either_layout(bias):
    torch.manual_seed(0)
    conv = nn.Conv2d(5, 7, 1, bias=bias).double()
    maps = torch.randn(2, 5, 3, 4, dtype=torch.float64)
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.testing.assert_close(Pointwise(conv)(maps.contiguous(memory_format=layout)), conv(maps))


@pytest.mark.parametrize("sides", [(8, 12), (9, 12), (7, 7)])
@pytest.mark.parametrize("kernel", [3, 5, (5, 3)])
def test_uneven_padding_is_the_same_without_a_padded_copy(kernel, sides):
    torch.manual_seed(0)
    conv = SameConv2d(6, 6, kernel, 2, groups=6).double()
    maps = torch.randn(2, 6, *sides, dtype=torch.float64, requires_grad=True)
    plain, ours = conv(maps), Lopsided(conv)(maps)
    torch.testing.assert_close(ours, plain)
    slopes = [torch.autograd.grad(out.square().sum(), maps)[0] for out in (plain, ours)]
    torch.testing.assert_close(*slopes)


def test_only_uneven_padding_is_rewritten():
    kinds = {name: isinstance(part, Lopsided) for name, part in folded(network(NAMES[0])).named_modules()}
    assert kinds["stem.conv"]
    assert kinds["blocks.1.depthwise.conv"]
    assert not kinds["blocks.2.depthwise.conv"]
    assert not any(isinstance(part, Lopsided) for part in folded(network(NAMES[1])).modules())


def test_a_network_in_training_mode_is_refused():
    with pytest.raises(ValueError, match="eval"):
        folded(network("mobilenet-v2").train())
