"""Sizes against the papers' figures, architectures against plain restatements, and what must be refused."""

import dataclasses
import typing

import pytest
import torch
from torch.nn import functional

from featlib.models import Classifier, ModelError, build, config, names, registry
from featlib.models.minilm import MiniLM
from featlib.models.t5 import T5

PARAMETERS = {
    "vgg16": 138_357_544,
    "caffenet": 60_965_224,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "mobilenet-v2": 3_504_872,
    "efficientnet-lite0": 4_652_008,
    "efficientnet-lite4": 13_006_568,
}

CLASSIFIERS = typing.get_args(registry.ClassifierName)

SHAPES = [  # at the side each network was trained on
    ("efficientnet-lite0", "blocks.4", (40, 28, 28)),
    ("efficientnet-lite0", "blocks.10", (112, 14, 14)),
    ("efficientnet-lite0", "blocks.15", (320, 7, 7)),
    ("efficientnet-lite0", "head", (1280, 7, 7)),
    ("efficientnet-lite4", "head", (1280, 10, 10)),
    ("mobilenet-v2", "stem", (32, 112, 112)),
    ("mobilenet-v2", "blocks.16", (320, 7, 7)),
    ("mobilenet-v2", "head", (1280, 7, 7)),
    ("mobilenet-v2-1.4", "head", (1792, 7, 7)),
    ("vgg16", "features.relu5_3", (512, 14, 14)),
    ("vgg16", "features.conv1_2", (64, 224, 224)),
    ("resnet50", "stem", (64, 112, 112)),
    ("resnet50", "layer1.2", (256, 56, 56)),
    ("resnet50", "layer4", (2048, 7, 7)),
    ("resnet18", "layer1", (64, 56, 56)),
    ("resnet18", "layer4.1.second", (512, 7, 7)),
    ("resnet18-tiny", "stem", (8, 32, 32)),
    ("resnet18-tiny", "layer4", (64, 4, 4)),
    ("caffenet", "features.conv1", (96, 55, 55)),
    ("caffenet", "features.conv5", (256, 13, 13)),
    ("caffenet", "features.pool5", (256, 6, 6)),
    ("convnet-small", "stage1", (16, 16, 16)),
    ("convnet-small", "stage4", (128, 4, 4)),
]


@pytest.mark.parametrize(("name", "expected"), PARAMETERS.items())
def test_parameters(name, expected):
    assert sum(parameter.numel() for parameter in build(name, device="meta").parameters()) == expected


def test_what_a_type_checker_is_told_is_so():
    """The names that stand for a type in the signature of build are those of its networks, and no others."""
    networks = {name: build(name, device="meta") for name in names()}
    for told, kind in ((registry.ClassifierName, Classifier), (registry.T5Name, T5), (registry.MiniLMName, MiniLM)):
        assert list(typing.get_args(told)) == [name for name, network in networks.items() if isinstance(network, kind)]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_everything_runs_on_meta(name):
    model = build(name, device="meta")
    side = model.preparation.side
    assert all(tensor.device.type == "meta" for tensor in model.state_dict().values())
    logits = model(model.preprocess(torch.rand(2, 3, side + 9, side + 20, device="meta")))
    assert logits.shape == (2, config(name).classes)
    assert not model.training
    assert build(name, device="meta", classes=7)(torch.rand(1, 3, side, side, device="meta")).shape == (1, 7)


@pytest.mark.parametrize(("name", "layer", "shape"), SHAPES)
def test_layers_have_their_names_and_shapes(name, layer, shape):
    model = build(name, device="meta")
    seen = []
    model.get_submodule(layer).register_forward_hook(lambda *args: seen.append(tuple(args[-1].shape)))
    side = model.preparation.side
    model(torch.rand(1, 3, side, side, device="meta"))
    assert seen == [(1, *shape)]


def images(side=224):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) - 0.5


def test_vgg_equals_a_plain_restatement():
    torch.manual_seed(0)
    model = build("vgg16-small")
    state = {key: value.double() for key, value in model.state_dict().items()}
    x = images().double()
    for stage, depth in enumerate((2, 2, 3, 3, 3), 1):
        for k in range(1, depth + 1):
            name = f"features.conv{stage}_{k}"
            x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1).clamp(min=0)
        x = x.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).amax((3, 5))
    x = x.reshape(2, -1)
    for name in ("fc6", "fc7", "fc8"):
        x = x.clamp(min=0) @ state[f"classifier.{name}.weight"].T + state[f"classifier.{name}.bias"]
    with torch.no_grad():
        torch.testing.assert_close(model(images()).double(), x, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name not in {"vgg16", "resnet50", "caffenet"}])
def test_every_parameter_learns(name):
    """No parameter is left out of the computation."""
    torch.manual_seed(0)
    model = build(name, classes=5).train()
    model(images(64)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_random_weights_follow_the_seed():
    first, second, third = (torch.manual_seed(seed) and build("resnet50-small") for seed in (0, 0, 1))
    assert torch.equal(first.stem.conv.weight, second.stem.conv.weight)
    assert not torch.equal(first.stem.conv.weight, third.stem.conv.weight)


def test_settings_are_frozen():
    settings = config("vgg16", classes=10)
    assert (settings.classes, config("vgg16").classes) == (10, 1000)
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.classes = 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "efficientnet_lite0"}, "unknown network 'efficientnet_lite0'; did you mean 'efficientnet-lite0'"),
        ({"name": "vgg16", "widht": 3}, "unknown setting of vgg16 'widht'; did you mean 'width'"),
        ({"name": "relu-vit-b16"}, "unknown network 'relu-vit-b16'; did you mean 'relu_vit_b16'"),
        ({"name": "T5_11B"}, "unknown network 'T5_11B'; did you mean 't5_11b'"),
        ({"name": "t5_tiny", "depth": 3}, "unknown setting of t5_tiny 'depth'; did you mean 'width'"),
        ({"name": "relu_vit_tiny", "patch": 5}, "relu_vit_tiny: patches of 5 pixels do not cover a side of 28"),
        ({"name": "relu_vit_tiny", "topk": 300}, "relu_vit_tiny: topk must lie in 1..256"),
        ({"name": "vgg16", "weights": "imagenet"}, "no 'imagenet' weights for 'vgg16'; there are"),
        ({"name": "mobilenet-v2", "weights": "coco"}, "no 'coco' weights for 'mobilenet-v2'"),
        ({"name": "minilm", "weights": "imagenet"}, "no 'imagenet' weights for 'minilm'; there are 'imagenet' for"),
        ({"name": "squeezenet", "weights": "sentences"}, "'sentences' for minilm"),
        ({"name": "minilm", "heads": 7}, "minilm: 7 heads do not divide a width of 384"),
        ({"name": "mobilenet-v2", "weights": "imagenet", "device": "meta"}, "leave out weights="),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ModelError) as caught:
        build(**arguments)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
