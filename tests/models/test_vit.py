"""The vision transformer: against torch's encoder layer, published sizes, and a plain restatement."""

import pytest
import torch
from torch.nn import functional

from featlib.models import build, config
from featlib.models.relu_mlp import TopKReLU
from featlib.models.vit import Block, ReluViTConfig

SMALL = {"size": 12, "channels": 3, "patch": 4, "width": 24, "depth": 2, "heads": 3, "ff": 40, "classes": 5}


def small(seed=0, **overrides):
    torch.manual_seed(seed)
    return build("relu_vit_tiny", **(SMALL | overrides))


def closed_form(c):
    """Parameters, counted on paper."""
    attention = 4 * c.width**2 + 4 * c.width
    mlp = 2 * c.width * c.ff + c.ff + c.width
    block = attention + mlp + 2 * 2 * c.width
    patches = c.channels * c.patch**2 * c.width + c.width
    tokens = (c.size // c.patch) ** 2 + 1
    return patches + c.width + tokens * c.width + c.depth * block + 2 * c.width + c.width * c.classes + c.classes


def count(name, **overrides):
    return sum(parameter.numel() for parameter in build(name, device="meta", **overrides).parameters())


@pytest.mark.parametrize(("classes", "expected"), [(1000, 86_567_656), (21_843, 102_595_923)])
def test_parameters_of_the_paper(classes, expected):
    assert count("relu_vit_b16", classes=classes) == expected
    assert count("relu_vit_b16", classes=classes, topk=128) == expected
    assert closed_form(config("relu_vit_b16", classes=classes)) == expected


@pytest.mark.parametrize("overrides", [{}, SMALL, {"ff": 1024, "depth": 4}])
def test_parameters_by_the_closed_form(overrides):
    assert count("relu_vit_tiny", **overrides) == closed_form(config("relu_vit_tiny", **overrides))


def test_sizes_of_the_laptop():
    settings = config("relu_vit_tiny")
    assert settings == ReluViTConfig(28, 1, 7, 64, 2, 4, 256, 10)
    assert settings.tokens == 17
    assert config("relu_vit_b16").tokens == 197


@pytest.mark.parametrize("training", [True, False])
def test_a_block_equals_torchs_encoder_layer(training):
    """Pre-norm, ReLU, biases: the same function once it has the same weights."""
    torch.manual_seed(1)
    theirs = torch.nn.TransformerEncoderLayer(
        24, 3, 40, dropout=0, activation="relu", norm_first=True, batch_first=True, layer_norm_eps=1e-6
    )
    theirs = theirs.double().train(training)
    for parameter in theirs.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    ours = Block(24, 3, 40, None).double()
    names = {
        "attention.query_key_value.weight": "self_attn.in_proj_weight",
        "attention.query_key_value.bias": "self_attn.in_proj_bias",
        "attention.out.weight": "self_attn.out_proj.weight",
        "attention.out.bias": "self_attn.out_proj.bias",
        "attention_norm.weight": "norm1.weight",
        "attention_norm.bias": "norm1.bias",
        "mlp_norm.weight": "norm2.weight",
        "mlp_norm.bias": "norm2.bias",
        "mlp.w_in": "linear1.weight",
        "mlp.b_in": "linear1.bias",
        "mlp.w_out": "linear2.weight",
        "mlp.b_out": "linear2.bias",
    }
    state = theirs.state_dict()
    ours.load_state_dict({name: state[peer] for name, peer in names.items()})
    x = torch.randn(4, 7, 24, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-12, rtol=1e-10)
    ours(x).square().sum().backward()
    theirs(x).square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[names[name]], atol=1e-9, rtol=1e-9)


def test_the_network_around_its_blocks():
    """Patches cut out by hand, the class token in front, positions added, the head on the class token."""
    model = small().double()
    images = torch.rand(2, 3, 12, 12, dtype=torch.float64)
    weight, bias = model.patches.conv.weight.flatten(1), model.patches.conv.bias
    rows = []
    for image in images:
        squares = [image[:, r : r + 4, c : c + 4].flatten() for r in (0, 4, 8) for c in (0, 4, 8)]
        rows.append(torch.stack([model.class_token[0, 0], *(weight @ square + bias for square in squares)]))
    x = torch.stack(rows) + model.positions
    for block in model.blocks:
        x = block(x)
    x = functional.layer_norm(x[:, 0], (24,), model.norm.weight, model.norm.bias, 1e-6)
    torch.testing.assert_close(model(images), x @ model.head.weight.T + model.head.bias)


def test_the_head_starts_normal():
    torch.manual_seed(0)
    head = build("relu_vit_tiny", width=256, classes=500).head
    assert float(head.weight.detach().var()) == pytest.approx(1 / 256, rel=0.02)
    assert not head.bias.any()


def test_about_half_of_the_units_fire_at_the_start():
    """Silence comes by training: the spec's trials began at 0.49."""
    torch.manual_seed(0)
    model, seen = build("relu_vit_tiny"), []
    for block in model.blocks:
        block.mlp.act.register_forward_hook(lambda _module, _inputs, output: seen.append((output > 0).double().mean()))
    model(torch.rand(32, 1, 28, 28))
    assert all(0.4 < float(density) < 0.6 for density in seen)
    assert len(seen) == 2


def test_topk_reaches_every_block():
    model = small(topk=7)
    acts = [module for module in model.modules() if isinstance(module, TopKReLU)]
    assert [act.k for act in acts] == [7, 7]
    images = torch.rand(2, 3, 12, 12)
    assert torch.equal(small(topk=40)(images), small()(images))
    assert not torch.equal(model(images), small()(images))


def test_every_parameter_learns():
    model = small(topk=9).train()
    model(torch.rand(8, 3, 12, 12)).logsumexp(-1).sum().backward()
    for name, parameter in model.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("overrides", [{}, {"topk": 9}, {"depth": 1}])
def test_logits_without_the_other_tokens_and_their_gradients_are_the_same(overrides):
    model, images = small(**overrides).double(), torch.rand(5, 3, 12, 12, dtype=torch.float64)
    found = []
    for logits in (model(images), model.logits(images)):
        model.zero_grad()
        logits.logsumexp(-1).sum().backward()
        found.append((logits, *(parameter.grad.clone() for parameter in model.parameters())))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain)


def test_random_weights_follow_the_seed():
    first, again, other = (small(seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["class_token"], other["class_token"])


def test_it_runs_on_meta():
    images = torch.rand(2, 3, 224, 224, device="meta")
    assert build("relu_vit_b16", device="meta", topk=256)(images).shape == (2, 1000)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"heads": 5}, "5 heads do not divide a width of 24"),
        ({"patch": 5}, "patches of 5 pixels do not cover a side of 12"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"topk": 41}, r"topk must lie in 1\.\.40"),
        ({"topk": 0}, "topk must be at least 1"),
    ],
)
def test_errors_of_settings(overrides, message):
    with pytest.raises(ValueError, match=message):
        small(**overrides)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("shape", [(2, 1, 12, 12), (2, 3, 16, 16), (3, 12, 12)])
def test_errors_of_pictures(shape):
    with pytest.raises(ValueError, match=r"images must be \(batch, 3, 12, 12\)"):
        small()(torch.rand(shape))
