"""Our networks with published weights: against the authors' package, a plain restatement, and real photographs."""

import dataclasses
import pickle
import sys
import warnings

import pytest
import torch
from torch.nn import functional

from featlib.data import carriers, sources, verify
from featlib.data.catalogue import Source
from featlib.models import ModelError, build
from featlib.models.imagenet import LABELS

REFERENCE = Source(
    name="efficientnet-lite-pytorch", title="the reference", version="0.1.0", licence="Apache-2.0", credit="",
    upstream="", carrier="pip", package="efficientnet-lite-pytorch", inside="efficientnet_lite_pytorch",
    files={"*.py": "9b17f57d70ed45daf586badce35965f53f6841dff0a638c9cc0b97853bc58572"}, size_mb=0.1,
)  # fmt: skip


@pytest.fixture(scope="module")
def efficientnet(need):
    need("efficientnet-lite0")
    return build("efficientnet-lite0", weights="imagenet")


@pytest.fixture(scope="module")
def mobilenet(need):
    need("mobilenet-v2")
    return build("mobilenet-v2", weights="imagenet")


@pytest.fixture(scope="module")
def pictures(twenty):
    """A few photographs at 224, and noise, which reaches other parts of the activations."""
    from featlib.data.photographs import centre_square

    noise = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    return torch.cat([torch.stack([centre_square(photo.image, 224) for photo in twenty[:3]]), noise])


@pytest.fixture(scope="module")
def reference(tmp_path_factory, need):
    """The package that the EfficientNet-Lite weights were made for, unpacked aside and imported from there."""
    root = tmp_path_factory.mktemp("reference")
    folder = root / REFERENCE.inside
    folder.mkdir()
    try:
        carriers.obtain(REFERENCE, folder)
    except carriers.CarrierError as error:
        pytest.skip(str(error))
    assert verify.fault(REFERENCE, folder, verify.listing(REFERENCE, folder)) == ""  # before any of it is run
    (weights,) = need("efficientnet-lite0").glob("*.pth")
    sys.path.insert(0, str(root))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from efficientnet_lite_pytorch import EfficientNet
        yield EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(weights)).eval()
    finally:
        sys.path.remove(str(root))
        for name in [name for name in sys.modules if name.startswith("efficientnet_lite_pytorch")]:
            del sys.modules[name]


@pytest.mark.network
def test_efficientnet_equals_the_reference_package(efficientnet, reference, pictures):
    """Logits, and the maps that the chapters read: block by block."""
    images = efficientnet.preprocess(pictures)
    torch.testing.assert_close(images, (255 * pictures - 127) / 128)
    with torch.no_grad():
        ours, theirs = efficientnet(images), reference(images)
        assert theirs.std() > 0.5
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)
        features = efficientnet.head(efficientnet.blocks(efficientnet.stem(images)))
        torch.testing.assert_close(features, reference.extract_features(images), atol=1e-5, rtol=1e-4)


def plain_mobilenet_v2(state, images):
    """MobileNetV2 once more, as one function over torchvision's names."""

    def conv_norm(x, conv, norm, stride=1, groups=1, clip=True):
        weight = state[f"{conv}.weight"]
        x = functional.conv2d(x, weight, None, stride, weight.shape[-1] // 2, 1, groups)
        mean, variance = (state[f"{norm}.running_{part}"][:, None, None] for part in ("mean", "var"))
        scale, shift = state[f"{norm}.weight"][:, None, None], state[f"{norm}.bias"][:, None, None]
        x = (x - mean) / (variance + 1e-5).sqrt() * scale + shift
        return x.clamp(0, 6) if clip else x

    x = conv_norm(images, "features.0.0", "features.0.1", stride=2)
    for block in range(1, 18):
        name, first = f"features.{block}.conv", x
        wide = x if block == 1 else conv_norm(x, f"{name}.0.0", f"{name}.0.1")
        k = 0 if block == 1 else 1
        stride = 2 if block in {2, 4, 7, 14} else 1
        wide = conv_norm(wide, f"{name}.{k}.0", f"{name}.{k}.1", stride, groups=wide.shape[1])
        x = conv_norm(wide, f"{name}.{k + 1}", f"{name}.{k + 2}", clip=False)
        if x.shape == first.shape:
            x = x + first
    x = conv_norm(x, "features.18.0", "features.18.1")
    return x.mean((2, 3)) @ state["classifier.1.weight"].T + state["classifier.1.bias"]


def test_mobilenet_equals_a_plain_restatement(mobilenet, need, pictures):
    (file,) = need("mobilenet-v2").glob("*.pth")
    state = torch.load(file, weights_only=True)
    images = mobilenet.preprocess(pictures)
    with torch.no_grad():
        theirs = plain_mobilenet_v2(state, images)
        torch.testing.assert_close(mobilenet(images), theirs, atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("name", ["efficientnet", "mobilenet"])
def test_every_weight_is_used_once(name, request, need):
    """Same numbers, none left over: every published tensor is in the model and the model has no other."""
    model = request.getfixturevalue(name)
    (file,) = need({"efficientnet": "efficientnet-lite0", "mobilenet": "mobilenet-v2"}[name]).glob("*.pth")
    theirs = torch.load(file, weights_only=True)
    ours = model.state_dict()
    assert len(ours) == len(theirs)
    ours_sum, theirs_sum = (sum(value.double().sum().item() for value in state.values()) for state in (ours, theirs))
    assert ours_sum == pytest.approx(theirs_sum, rel=1e-12)
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(("name", "at_least"), [("efficientnet", 17), ("mobilenet", 18)])
def test_photographs_are_recognised(name, at_least, twenty, request):
    model = request.getfixturevalue(name)
    with torch.no_grad():
        answers = [int(model(model.preprocess(photo.image[None])).argmax()) for photo in twenty]
    right = sum(answer == photo.label for answer, photo in zip(answers, twenty, strict=True))
    assert len(twenty) == 20
    assert right >= at_least


@pytest.mark.parametrize("name", ["efficientnet", "mobilenet"])
def test_signs_of_the_layers(name, pictures, request):
    """The head is ReLU6; blocks end in linear bottlenecks, which are signed."""
    model = request.getfixturevalue(name)
    with torch.no_grad():
        maps = model.stem(model.preprocess(pictures))
        assert 0 <= maps.min()
        assert maps.max() <= 6
        for block in model.blocks:
            maps = block(maps)
            assert maps.min() < -0.1
        head = model.head(maps)
    assert head.min() == 0
    assert 0 < head.max() <= 6


def test_classes_have_their_names(need):
    """Indices that everybody knows by heart."""
    need("imagenet-labels")
    known = {
        0: "tench",
        1: "goldfish",
        207: "golden retriever",
        281: "tabby",
        340: "zebra",
        609: "jeep",
        949: "strawberry",
    }
    assert {index: LABELS[index] for index in known} == known
    assert len(LABELS) == len(list(LABELS)) == 1000
    assert LABELS[-1] == "toilet tissue"


# What must be refused.


def test_weights_leave_the_seed_alone(efficientnet):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    build("efficientnet-lite0", weights="imagenet")
    assert torch.equal(torch.rand(3), expected)


def test_weights_do_not_fit_other_settings(efficientnet):
    with pytest.raises(ModelError, match="do not fit these settings") as caught:
        build("efficientnet-lite0", weights="imagenet", classes=10)
    assert "\n" not in str(caught.value)


def test_missing_weights_say_how_to_fetch_them(tmp_path, monkeypatch):
    monkeypatch.setenv("FEATLIB_DATA", str(tmp_path))
    with pytest.raises(sources.DataError, match="run: featlib fetch mobilenet-v2"):
        build("mobilenet-v2", weights="imagenet")


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_weights_cannot_run_code(tmp_path, monkeypatch):
    torch.save({"stem.conv.weight": Bomb(tmp_path / "written")}, tmp_path / "evil.pth")
    monkeypatch.setattr(sources, "folder", lambda _: tmp_path)
    with pytest.raises(pickle.UnpicklingError):
        build("mobilenet-v2", weights="imagenet")
    assert not (tmp_path / "written").exists()


def test_preparation_is_not_shared(efficientnet, mobilenet):
    assert dataclasses.asdict(efficientnet.preparation)["resize"] == "bicubic"
    assert dataclasses.asdict(mobilenet.preparation)["resize"] == "bilinear"
