"""Weights out of a reader's own file: torchvision's names, our own names, and files that must be refused."""

import json
import os
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.nn import functional

from featlib.models import ModelError, build, mobilenet, resnet, vgg, weights

VGG_CHANNELS = [64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool"]


def torchvision_vgg16(width=64, hidden=4096, classes=1000):
    """Names and shapes as torchvision writes them: layers counted, with ReLUs, poolings and dropouts among them."""
    shapes, position, before = {}, 0, 3
    for entry in VGG_CHANNELS:
        if entry == "pool":
            position += 1
            continue
        channels = entry * width // 64
        shapes[f"features.{position}.weight"] = (channels, before, 3, 3)
        shapes[f"features.{position}.bias"] = (channels,)
        position, before = position + 2, channels
    for position, inputs, outputs in ((0, 49 * before, hidden), (3, hidden, hidden), (6, hidden, classes)):
        shapes[f"classifier.{position}.weight"] = (outputs, inputs)
        shapes[f"classifier.{position}.bias"] = (outputs,)
    return shapes


def torchvision_resnet(depths, bottleneck, width=64, classes=1000, counter=True):
    """Names and shapes as torchvision writes them, of ResNet-50 for (3, 4, 6, 3) and bottlenecks."""
    shapes, before = {}, width

    def pair(conv, norm, outputs, inputs, kernel):
        shapes[f"{conv}.weight"] = (outputs, inputs, kernel, kernel)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{norm}.{part}"] = (outputs,)
        if counter:
            shapes[f"{norm}.num_batches_tracked"] = ()

    pair("conv1", "bn1", width, 3, 7)
    for stage, depth in enumerate(depths, 1):
        planes = width * 2 ** (stage - 1)
        out = planes * (4 if bottleneck else 1)
        for k in range(depth):
            name = f"layer{stage}.{k}"
            sizes = [(planes, before, 1), (planes, planes, 3), (out, planes, 1)] if bottleneck else [
                (planes, before, 3), (out, planes, 3)
            ]  # fmt: skip
            for number, (outputs, inputs, kernel) in enumerate(sizes, 1):
                pair(f"{name}.conv{number}", f"{name}.bn{number}", outputs, inputs, kernel)
            if k == 0 and out != before:
                pair(f"{name}.downsample.0", f"{name}.downsample.1", out, before, 1)
            before = out
    shapes["fc.weight"], shapes["fc.bias"] = (classes, before), (classes,)
    return shapes


def random_state(shapes, seed=0):
    """Numbers for these shapes, with which a deep network neither fades nor overflows."""
    generator, state = torch.Generator().manual_seed(seed), {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif key.endswith("running_var") or (key.endswith("weight") and ("bn" in key or "downsample.1" in key)):
            state[key] = torch.rand(shape, generator=generator) + 0.5
        else:
            fan_in = torch.Size(shape[1:]).numel() if len(shape) > 1 else 100
            state[key] = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
    return state


def as_safetensors(path, state):
    table, data = {}, b""
    for key, value in state.items():
        kind = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64"}[value.dtype]
        content = value.contiguous().numpy().tobytes()
        table[key] = {"dtype": kind, "shape": list(value.shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    text = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def saved(path, state):
    if path.suffix == ".safetensors":
        return as_safetensors(path, state)
    torch.save(state, path)
    return path


def images(side):
    return torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(1)) - 0.5


# Sizes and order, at full size and without memory.


@pytest.mark.parametrize(
    ("name", "shapes", "rename", "parameters"),
    [
        ("vgg16", torchvision_vgg16(), vgg.rename, 138_357_544),
        ("resnet50", torchvision_resnet((3, 4, 6, 3), True), resnet.rename, 25_557_032),
        (
            "resnet18",
            torchvision_resnet((2, 2, 2, 2), False),
            lambda key: resnet.rename(key, "basic"),
            11_689_512,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_torchvisions_parameters_are_ours_in_the_same_order(name, shapes, rename, parameters):
    ours = {key: tuple(value.shape) for key, value in build(name, device="meta").state_dict().items()}
    assert [(rename(key), shape) for key, shape in shapes.items()] == list(ours.items())
    learnt = [shape for key, shape in shapes.items() if not key.rpartition(".")[2].startswith(("running", "num"))]
    assert sum(torch.Size(shape).numel() for shape in learnt) == parameters


def test_known_names():
    """The first, the last, and some that are often looked up."""
    known = {"features.0.weight": "features.conv1_1.weight", "features.28.bias": "features.conv5_3.bias",
             "features.17.weight": "features.conv4_1.weight", "classifier.6.bias": "classifier.fc8.bias"}  # fmt: skip
    assert {key: vgg.rename(key) for key in known} == known
    nineteen = (2, 2, 4, 4, 4)
    assert vgg.rename("features.34.weight", nineteen) == "features.conv5_4.weight"
    known = {"conv1.weight": "stem.conv.weight", "bn1.running_var": "stem.norm.running_var",
             "layer4.2.conv3.weight": "layer4.2.expand.conv.weight", "fc.bias": "classifier.bias",
             "layer2.0.downsample.1.bias": "layer2.0.shortcut.norm.bias"}  # fmt: skip
    assert {key: resnet.rename(key) for key in known} == known
    for key in ("features.1.weight", "head.weight"):
        with pytest.raises((KeyError, ValueError)):
            vgg.rename(key)
    for key in ("layer1.0.conv4.weight", "layer1.0.fc.weight", "conv2.weight", "downsample.0.weight", "fc"):
        with pytest.raises(KeyError):
            resnet.rename(key)


# What comes out, against torchvision's networks as one function over torchvision's names.


def plain_vgg(state, x):
    position = 0
    for entry in VGG_CHANNELS:
        if entry == "pool":
            x, position = functional.max_pool2d(x, 2), position + 1
            continue
        x = functional.conv2d(x, state[f"features.{position}.weight"], state[f"features.{position}.bias"], padding=1)
        x, position = x.relu(), position + 2
    x = x.flatten(1)
    for position in (0, 3, 6):
        x = functional.linear(x, state[f"classifier.{position}.weight"], state[f"classifier.{position}.bias"])
        x = x.relu() if position < 6 else x
    return x


def plain_resnet(state, x):
    """The stride lies in the 3 x 3 convolution of a bottleneck, in the first of a basic block."""

    def conv_norm(x, conv, norm, stride=1):
        x = functional.conv2d(x, state[f"{conv}.weight"], None, stride, state[f"{conv}.weight"].shape[-1] // 2)
        return functional.batch_norm(
            x, *(state[f"{norm}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")), eps=1e-5
        )

    x = functional.max_pool2d(conv_norm(x, "conv1", "bn1", 2).relu(), 3, 2, 1)
    for name in dict.fromkeys(".".join(key.split(".")[:2]) for key in state if key.startswith("layer")):
        stride = 2 if name.endswith(".0") and not name.startswith("layer1") else 1
        convs = [k for k in (1, 2, 3) if f"{name}.conv{k}.weight" in state]
        y = x
        for k in convs:
            strided = state[f"{name}.conv{k}.weight"].shape[-1] == 3 and (len(convs) == 3 or k == 1)
            y = conv_norm(y, f"{name}.conv{k}", f"{name}.bn{k}", stride if strided else 1)
            y = y.relu() if k < convs[-1] else y
        if f"{name}.downsample.0.weight" in state:
            x = conv_norm(x, f"{name}.downsample.0", f"{name}.downsample.1", stride)
        x = (x + y).relu()
    return functional.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


NETWORKS = {
    "vgg16": ({"width": 8, "hidden": 32, "classes": 9}, torchvision_vgg16(8, 32, 9), plain_vgg, 224),
    "resnet50": (
        {"width": 8, "classes": 9},
        torchvision_resnet((3, 4, 6, 3), True, 8, 9, counter=False),
        plain_resnet,
        96,
    ),
    "resnet18": ({"width": 8, "classes": 9}, torchvision_resnet((2, 2, 2, 2), False, 8, 9), plain_resnet, 96),
}


@pytest.mark.parametrize("ending", weights.ENDINGS)
@pytest.mark.parametrize("name", NETWORKS)
def test_torchvisions_files_give_torchvisions_logits(tmp_path, name, ending):
    """Also from files that are older than the counter of batches."""
    options, shapes, plain, side = NETWORKS[name]
    state = random_state(shapes)
    model = build(name, weights=saved(tmp_path / f"mine{ending}", state), **options)
    assert not model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        theirs = plain(state, images(side))
        assert theirs.std() > 0.1
        torch.testing.assert_close(model(images(side)), theirs, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["vgg16-small", "resnet18-tiny", "mobilenet-v2", "convnet-small", "relu_vit_tiny"])
@pytest.mark.parametrize("ending", weights.ENDINGS)
def test_our_own_files(tmp_path, name, ending):
    torch.manual_seed(0)
    first = build(name)
    file = saved(tmp_path / f"mine{ending}", first.state_dict())
    second = build(name, weights=str(file))
    assert list(second.state_dict()) == list(first.state_dict())
    assert all(torch.equal(value, first.state_dict()[key]) for key, value in second.state_dict().items())


def test_files_leave_the_seed_alone_and_share_nothing(tmp_path):
    file = saved(tmp_path / "mine.pth", build("resnet18-tiny").state_dict())
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    first, second = (build("resnet18-tiny", weights=file) for _ in range(2))
    assert torch.equal(torch.rand(3), expected)
    with torch.no_grad():
        first.classifier.weight.zero_()
    assert second.classifier.weight.any()


def test_a_path_below_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    saved(tmp_path / "mine.pth", build("resnet18-tiny").state_dict())
    assert build("resnet18-tiny", weights="~/mine.pth")(images(32)).shape == (2, 2)


def test_half_precision_becomes_the_networks(tmp_path):
    state = {key: value.half() if value.is_floating_point() else value for key, value in
             build("resnet18-tiny").state_dict().items()}  # fmt: skip
    model = build("resnet18-tiny", weights=saved(tmp_path / "mine.safetensors", state))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model(images(32)).isfinite().all()


def test_published_names_of_the_other_networks(tmp_path, need):
    (file,) = need("mobilenet-v2").glob("*.pth")
    theirs = build("mobilenet-v2", weights="imagenet").state_dict()
    ours = build("mobilenet-v2", weights=file).state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    assert mobilenet.rename("classifier.1.bias") == "classifier.bias"


# What must be refused.


def refused(message, name, file, **options):
    with pytest.raises(ModelError) as caught:
        build(name, weights=file, **options)
    assert message in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_of_another_network(tmp_path):
    state = random_state(torchvision_vgg16(8, 32, 9))
    file = saved(tmp_path / "vgg.pth", state)
    small = {"width": 8, "classes": 9}
    refused("vgg.pth does not fit resnet50: missing stem.conv.weight, stem.norm.weight and", "resnet50", file)
    refused("unexpected features.0.weight, features.0.bias and 30 more. What", "resnet50", file)
    refused("What fits is its own state_dict(), or torchvision's, with the same settings", "resnet50", file)
    refused("features.0.weight (8 x 3 x 3 x 3 instead of 64 x 3 x 3 x 3)", "vgg16", file)
    refused("of another shape classifier.6.weight (9 x 32 instead of 5 x 32), classifier.6.bias (9 instead of 5). What",
            "vgg16", file, width=8, hidden=32, classes=5)  # fmt: skip
    del state["classifier.3.bias"]
    refused("missing classifier.fc7.bias. What", "vgg16", saved(file, state), hidden=32, **small)
    state |= {"classifier.3.bias": torch.zeros(32), "extra": torch.zeros(1), "features.1.running_mean": torch.ones(8)}
    refused("unexpected extra, features.1.running_mean. What", "vgg16", saved(file, state), hidden=32, **small)
    refused("missing stem.conv.weight", "mobilenet-v2", file)
    refused("missing stem.conv.weight", "efficientnet-lite0", file)
    refused("or the same as safetensors", "relu_vit_tiny", file)
    refused("missing", "vgg16", saved(file, {}))


def test_basic_blocks_are_no_bottlenecks(tmp_path):
    file = saved(tmp_path / "eighteen.pth", random_state(torchvision_resnet((2, 2, 2, 2), False, 8, 9)))
    refused("missing layer1.0.expand.conv.weight", "resnet50", file, width=8, classes=9)


def test_a_counter_may_lack_but_nothing_else(tmp_path):
    state = build("resnet18-tiny").state_dict()
    del state["stem.norm.num_batches_tracked"]
    assert int(build("resnet18-tiny", weights=saved(tmp_path / "a.pth", state)).stem.norm.num_batches_tracked) == 0
    del state["stem.norm.running_var"]
    refused("missing stem.norm.running_var. What", "resnet18-tiny", saved(tmp_path / "a.pth", state))


def test_parameters_under_two_names(tmp_path):
    """Were one of them silently taken, it would be a matter of chance which."""
    with pytest.raises(ValueError, match="it has parameters twice, under two names"):
        weights.load(torch.nn.Linear(2, 1, bias=False), {"a": torch.zeros(1, 2), "b": torch.ones(1, 2)},
                     lambda _: "weight")  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"epoch": 3, "state_dict": {}}, "holds more than parameters, 'epoch' for one: save model.state_dict() alone"),
        ({0: torch.zeros(1)}, "holds more than parameters, 0 for one"),
        ([torch.zeros(1)], "holds a list, no parameters by name: save model.state_dict() alone"),
        (torch.nn.Linear(2, 2), "holds no plain parameters, or is damaged: save model.state_dict() alone"),
    ],
    ids=["checkpoint", "numbers", "list", "network"],
)
def test_files_that_hold_other_things(tmp_path, content, message):
    refused(message, "resnet18-tiny", saved(tmp_path / "mine.pt", content))


def test_files_that_are_none(tmp_path):
    refused("no weights for vgg16: there is no file", "vgg16", str(tmp_path / "nowhere.pth"))
    refused("there is no file", "vgg16", tmp_path / "nowhere.safetensors")
    (tmp_path / "folder.pth").mkdir()
    refused("there is no file", "vgg16", tmp_path / "folder.pth")
    refused("weights.bin must end in .pth, .pt, .safetensors", "vgg16", tmp_path / "weights.bin")
    refused("or a file .pth, .pt, .safetensors", "vgg16", "weights.bin")
    for ending in weights.ENDINGS:
        (tmp_path / f"mine{ending}").write_bytes(b"nothing")
        refused("no weights for vgg16: ", "vgg16", tmp_path / f"mine{ending}")
    refused("leave out weights=", "vgg16", tmp_path / "mine.pth", device="meta")


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_files_cannot_run_code(tmp_path):
    file = saved(tmp_path / "evil.pth", {"stem.conv.weight": Bomb(tmp_path / "made")})
    refused("holds no plain parameters, or is damaged", "resnet18-tiny", file)
    assert not (tmp_path / "made").exists()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)
@given(data=st.data(), ending=st.sampled_from([".pth", ".safetensors"]))
def test_damage_ends_well(tmp_path, data, ending):
    """A file with a stretch of it changed is read, or refused; nothing else happens."""
    file = saved(tmp_path / f"mine{ending}", {"weight": torch.ones(2, 3), "bias": torch.ones(2)})
    whole = file.read_bytes()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, min(len(whole), start + 40)))
    file.write_bytes(whole[:start] + data.draw(st.binary(max_size=40)) + whole[end:])
    model = torch.nn.Linear(3, 2)
    complaint = ""
    try:
        weights.load(model, weights.read(file))
    except ValueError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert model.weight.shape == (2, 3)
