"""SqueezeNet: a plain restatement over the published arrays, real photographs, and a file that must be refused."""

import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional

from featlib.models import build
from featlib.models.squeezenet import read


@pytest.fixture(scope="module")
def model(need):
    need("squeezenet")
    return build("squeezenet", weights="imagenet")


@pytest.fixture(scope="module")
def arrays(need):
    """The published arrays, read without our loader."""
    (file,) = need("squeezenet").glob("*.pkl")
    with file.open("rb") as stream:
        return pickle.load(stream, encoding="latin1")


def plain(arrays, images):
    """The network once more, as one function over the published names; kernels are rows, columns, inputs, outputs."""

    def convolution(x, name, **options):
        kernel, bias = (torch.from_numpy(np.asarray(part)) for part in arrays[name])
        return functional.conv2d(x, kernel.movedim((3, 2), (0, 1)), bias, **options).clamp_min(0)

    x = convolution(images, "conv1", stride=2)
    for fire in range(2, 10):
        if fire in {2, 4, 6}:
            x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        x = convolution(x, f"fire{fire}/squeeze1x1")
        wide = convolution(functional.pad(x, (1, 1, 1, 1)), f"fire{fire}/expand3x3")
        x = torch.cat([convolution(x, f"fire{fire}/expand1x1"), wide], 1)
    return convolution(x, "conv10").mean((2, 3))


@torch.no_grad()
def test_equals_a_plain_restatement(model, arrays, twenty):
    images = torch.cat([model.preprocess(photo.image[None]) for photo in twenty[:3]])
    theirs = plain(arrays, images)
    torch.testing.assert_close(model(images), theirs, rtol=1e-4, atol=1e-3)
    assert not torch.allclose(model(images.flip(1)), theirs, rtol=0.1)  # the control: colours in the other order


def test_every_weight_is_used_once(model, arrays):
    ours = sum(parameter.double().sum().item() for parameter in model.parameters())
    theirs = sum(float(part.astype(np.float64).sum()) for pair in arrays.values() for part in map(np.asarray, pair))
    assert ours == pytest.approx(theirs, rel=1e-9)
    assert sum(parameter.numel() for parameter in model.parameters()) == 1_235_496


@torch.no_grad()
def test_photographs_are_recognised(model, twenty):
    answers = [int(model(model.preprocess(photo.image[None])).argmax()) for photo in twenty]
    right = sum(answer == photo.label for answer, photo in zip(answers, twenty, strict=True))
    assert right >= 13
    turned = [int(model(model.preprocess(photo.image[None]).flip(1)).argmax()) for photo in twenty]
    assert right > sum(answer == photo.label for answer, photo in zip(turned, twenty, strict=True))


def test_colours_are_turned_around_and_centred():
    """Pure red, green and blue."""
    pixels = torch.eye(3)[:, :, None, None]
    prepared = build("squeezenet", device="meta").normalise(pixels)[:, :, 0, 0]
    mean = torch.tensor([103.939, 116.779, 123.68])
    torch.testing.assert_close(prepared, 255 * torch.eye(3).flip(1) - mean)


def test_layers_have_the_documented_shapes():
    model = build("squeezenet", device="meta")
    shapes = {}
    for name in ("stem", "fire2", "fire5", "fire7", "fire9", "classifier"):
        model.get_submodule(name).register_forward_hook(
            lambda _m, _i, out, name=name: shapes.update({name: out.shape[1:]})
        )
    assert model(torch.empty(1, 3, 227, 227, device="meta")).shape == (1, 1000)
    assert shapes == {
        "stem": (64, 113, 113),
        "fire2": (128, 56, 56),
        "fire5": (256, 28, 28),
        "fire7": (384, 14, 14),
        "fire9": (512, 14, 14),
        "classifier": (1000, 14, 14),
    }


class Bomb:
    """Unpickling this would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("inside", [Bomb, lambda path: np.array([Bomb(path)], object)])
def test_weights_cannot_run_code(tmp_path, inside):
    (tmp_path / "weights.pkl").write_bytes(pickle.dumps({"conv1": (inside(tmp_path / "written"), np.zeros(1))}))
    with pytest.raises(pickle.UnpicklingError, match="refused"):
        read(tmp_path)
    assert not (tmp_path / "written").exists()
