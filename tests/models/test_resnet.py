"""ResNets of both blocks and both stems, and the plain convolutional network, against plain restatements."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from featlib.models import build


def with_statistics(name, **settings):
    """A network whose normalisation layers have something to do."""
    torch.manual_seed(0)
    model = build(name, **settings)
    for key, value in model.state_dict().items():
        if key.endswith(("running_mean", "bias")):
            value.normal_(0, 0.1)
        elif key.endswith(("running_var", "norm.weight")):
            value.uniform_(0.5, 2)
    return model, {key: value.double() for key, value in model.state_dict().items()}


def images(side):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) - 0.5


def plain_resnet(state, x, depths, large):
    """The network once more, as one function over the names of its layers; what the classifier reads."""

    def conv_norm(x, name, stride=1):
        weight = state[f"{name}.conv.weight"]
        x = functional.conv2d(x, weight, None, stride, (weight.shape[-1] - 1) // 2)
        mean, variance = (state[f"{name}.norm.running_{part}"][:, None, None] for part in ("mean", "var"))
        scale, shift = (state[f"{name}.norm.{part}"][:, None, None] for part in ("weight", "bias"))
        return (x - mean) / (variance + 1e-5).sqrt() * scale + shift

    x = conv_norm(x, "stem", 2 if large else 1).clamp(min=0)
    if large:
        x = functional.max_pool2d(functional.pad(x, (1, 1, 1, 1), value=-torch.inf), 3, 2)
    for stage, depth in enumerate(depths, 1):
        for block in range(depth):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            if f"{name}.reduce.conv.weight" in state:
                y = conv_norm(x, f"{name}.reduce").clamp(min=0)
                y = conv_norm(conv_norm(y, f"{name}.filter", stride).clamp(min=0), f"{name}.expand")
                changes = block == 0
            else:
                y = conv_norm(conv_norm(x, f"{name}.first", stride).clamp(min=0), f"{name}.second")
                changes = block == 0 and stage > 1
            assert (f"{name}.shortcut.conv.weight" in state) == changes
            x = (y + (conv_norm(x, f"{name}.shortcut", stride) if changes else x)).clamp(min=0)
    return x.mean((2, 3))


@pytest.mark.parametrize(
    ("name", "settings", "depths", "side"),
    [
        ("resnet50-small", {}, (3, 4, 6, 3), 224),
        ("resnet18", {"width": 8}, (2, 2, 2, 2), 96),
        ("resnet18", {"width": 8, "depths": (3, 4, 6, 3)}, (3, 4, 6, 3), 64),
        ("resnet18-tiny", {}, (2, 2, 2, 2), 32),
        ("resnet18-tiny", {"block": "bottleneck", "classes": 5}, (2, 2, 2, 2), 31),
    ],
)
def test_resnet_equals_a_plain_restatement(name, settings, depths, side):
    model, state = with_statistics(name, **settings)
    features = plain_resnet(state, images(side).double(), depths, large=name != "resnet18-tiny")
    logits = features @ state["classifier.weight"].T + state["classifier.bias"]
    with torch.no_grad():
        torch.testing.assert_close(model.features(images(side)).double(), features, atol=1e-4, rtol=1e-3)
        torch.testing.assert_close(model(images(side)).double(), logits, atol=1e-4, rtol=1e-3)


@pytest.mark.parametrize("side", [32, 17])
def test_convnet_equals_a_plain_restatement(side):
    model, state = with_statistics("convnet-small")
    x = images(side).double()
    for stage in (1, 2, 3, 4):
        weight, bias = (state[f"stage{stage}.conv.{part}"] for part in ("weight", "bias"))
        x = functional.conv2d(x, weight, bias, padding=1).clamp(min=0)
        if stage < 4:
            even = x.shape[-1] // 2 * 2
            x = x[..., :even, :even].unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
    features = x.flatten(2).mean(2)
    logits = features @ state["classifier.weight"].T + state["classifier.bias"]
    with torch.no_grad():
        torch.testing.assert_close(model.features(images(side)).double(), features, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(model(images(side)).double(), logits, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("name", "trunk"), [("resnet18", 11_176_512), ("resnet50", 23_508_032)])
def test_trunks_have_the_known_sizes(name, trunk):
    """Everything before the classifier, as the models are known in the literature."""
    model = build(name, device="meta", classes=7)
    head = sum(parameter.numel() for parameter in model.classifier.parameters())
    assert head == 7 * (model.classifier.in_features + 1)
    assert sum(parameter.numel() for parameter in model.parameters()) - head == trunk


def test_resnet34_comes_of_the_same_blocks():
    model = build("resnet18", device="meta", depths=(3, 4, 6, 3))
    assert sum(parameter.numel() for parameter in model.parameters()) == 21_797_672


def test_convnet_by_formula():
    sides = [3, 16, 32, 64, 128]
    expected = sum(9 * a * b + b for a, b in pairwise(sides)) + 2 * 128 + 2
    assert sum(parameter.numel() for parameter in build("convnet-small", device="meta").parameters()) == expected
    assert build("convnet-small", device="meta", stages=2, width=5).classifier.in_features == 10


def test_convnet_starts_so_that_nothing_fades():
    """Mean squares after each ReLU are those of the input, up to chance, as He's start promises for noise."""
    torch.manual_seed(0)
    model = build("convnet-small", width=64)
    maps = torch.randn(8, 3, 32, 32)
    for stage in (1, 2, 3, 4):
        conv = model.get_submodule(f"stage{stage}.conv")
        assert not conv.bias.any()
        before, maps = maps.square().mean(), conv(maps).clamp(min=0)
        assert 0.5 < maps.square().mean() / before < 1.5


@pytest.mark.parametrize("name", ["convnet-small", "resnet18-tiny"])
def test_small_pictures_keep_their_border(name):
    """Pictures larger than 32 are shrunk whole: a shape may lie at the edge."""
    model = build(name, device="meta")
    picture = torch.zeros(1, 3, 64, 64)
    picture[..., :2, :] = 1
    assert model.crop(picture)[..., 0, :].min() > 0.5
    assert build("resnet18", device="meta").crop(torch.ones(1, 3, 256, 256)).shape == (1, 3, 224, 224)


@pytest.mark.parametrize("name", ["convnet-small", "resnet18-tiny"])
def test_two_features_are_learned_together(name):
    """Whether a picture is bright and whether it is striped: each on a logit of its own."""
    torch.manual_seed(0)
    model = build(name, width=8).train()
    labels = torch.cartesian_prod(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0])).repeat(8, 1)
    stripes = torch.tensor([-1.0, 1.0]).repeat(8)
    step = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        pictures = labels[:, :1, None, None] + labels[:, 1:, None, None] * stripes + 0.1 * torch.randn(32, 3, 16, 16)
        step.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(model(pictures), labels)
        loss.backward()
        step.step()
    assert ((model(pictures) > 0) == labels.bool()).float().mean() > 0.95


@pytest.mark.parametrize("settings", [{"block": "basik"}, {"stem": "tiny"}])
@pytest.mark.usefixtures("as_users_run")
def test_unknown_parts_are_refused(settings):
    with pytest.raises(ValueError, match="block must be 'basic' or 'bottleneck' and stem 'large' or 'small'; got"):
        build("resnet18", device="meta", **settings)
