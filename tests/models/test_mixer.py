"""MLP-Mixer and the perceptron of two layers: published sizes and plain restatements."""

import pytest
import torch
from torch.nn import functional

from featlib.models import build, config
from featlib.models.relu_mlp import TopKReLU

SMALL = {"size": 12, "channels": 3, "patch": 4, "width": 10, "token_ff": 14, "ff": 20, "classes": 5}


def closed_form(c):
    """Parameters of a mixer, counted on paper."""
    tokens = (c.size // c.patch) ** 2
    mix = 2 * tokens * c.token_ff + c.token_ff + tokens + 2 * c.width * c.ff + c.ff + c.width
    patches = c.channels * c.patch**2 * c.width + c.width
    return patches + c.depth * (mix + 4 * c.width) + 2 * c.width + c.width * c.classes + c.classes


def count(name, **overrides):
    return sum(parameter.numel() for parameter in build(name, device="meta", **overrides).parameters())


def test_parameters_of_the_mixer():
    assert count("mlp_mixer_s16") == closed_form(config("mlp_mixer_s16")) == 18_528_264
    for overrides in ({}, SMALL):
        assert count("mlp_mixer_tiny", **overrides) == closed_form(config("mlp_mixer_tiny", **overrides))


def test_the_mixer_equals_a_plain_restatement():
    torch.manual_seed(0)
    model = build("mlp_mixer_tiny", **SMALL).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    state = {name: value.detach() for name, value in model.state_dict().items()}

    def norm(x, name):
        centred = x - x.mean(-1, keepdim=True)
        scaled = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]

    def mlp(x, name):
        hidden = (x @ state[f"{name}.w_in"].T + state[f"{name}.b_in"]).clamp(min=0)
        return hidden @ state[f"{name}.w_out"].T + state[f"{name}.b_out"]

    images = torch.rand(2, 3, 12, 12, dtype=torch.float64)
    x = functional.conv2d(images, state["patches.conv.weight"], state["patches.conv.bias"], 4).flatten(2).mT
    for block in ("blocks.0", "blocks.1"):
        x = x + mlp(norm(x, f"{block}.tokens_norm").mT, f"{block}.tokens").mT
        x = x + mlp(norm(x, f"{block}.channels_norm"), f"{block}.channels")
    expected = norm(x, "norm").mean(1) @ state["head.weight"].T + state["head.bias"]
    torch.testing.assert_close(model(images), expected)


def test_the_mixer_runs_and_learns():
    assert build("mlp_mixer_s16", device="meta")(torch.rand(2, 3, 224, 224, device="meta")).shape == (2, 1000)
    first, again = (torch.manual_seed(0) and build("mlp_mixer_tiny") for _ in range(2))
    images = torch.rand(4, 1, 28, 28)
    assert torch.equal(first(images), again(images))
    assert first(images).shape == (4, 10)
    assert float(first.head.weight.detach().var()) == pytest.approx(1 / 64, rel=0.2)
    first(images).logsumexp(-1).sum().backward()
    for name, parameter in first.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_parameters_of_the_perceptron():
    for ff in (128, 512, 2048):
        assert count("mlp2", ff=ff) == 784 * ff + ff + ff * 10 + 10


@pytest.mark.parametrize("init", ["he", "pytorch"])
def test_the_perceptron_equals_a_plain_restatement(init):
    torch.manual_seed(0)
    model = build("mlp2", ff=30, init=init).double()
    images = torch.rand(6, 28, 28, dtype=torch.float64)
    rows = images.reshape(6, 784)
    variance, mean = torch.var_mean(rows, 1, correction=0, keepdim=True)
    hidden = ((rows - mean) / (variance + 1e-5).sqrt() @ model.mlp.w_in.T + model.mlp.b_in).clamp(min=0)
    expected = hidden @ model.mlp.w_out.T + model.mlp.b_out
    torch.testing.assert_close(model(images), expected)
    torch.testing.assert_close(model(rows), expected)
    assert bool(model.mlp.b_in.any()) is (init == "pytorch")


def test_the_perceptron_keeps_the_largest_and_learns():
    torch.manual_seed(0)
    model, seen = build("mlp2", ff=64, topk=4), []
    assert isinstance(model.mlp.act, TopKReLU)
    model.mlp.act.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    model(torch.rand(9, 1, 28, 28)).logsumexp(-1).sum().backward()
    assert (seen[0] > 0).sum(-1).tolist() == [4] * 9
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters())


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    with pytest.raises(ValueError, match="patches of 5 pixels"):
        build("mlp_mixer_tiny", patch=5)
    with pytest.raises(ValueError, match="token_ff must be at least 1, got 0"):
        build("mlp_mixer_tiny", token_ff=0)
    with pytest.raises(ValueError, match=r"images must be \(batch, 1, 28, 28\)"):
        build("mlp_mixer_tiny")(torch.rand(2, 3, 28, 28))
    with pytest.raises(ValueError, match="ff must be at least 1"):
        build("mlp2", ff=0)
    with pytest.raises(ValueError, match="init must be one of"):
        build("mlp2", init="xavier")
    with pytest.raises(ValueError, match="build the network with inputs=100"):
        build("mlp2")(torch.rand(2, 10, 10))
