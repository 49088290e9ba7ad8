"""Padding, rounding and the preparation of pictures, against known answers and Pillow."""

import numpy as np
import pytest
import torch
from PIL import Image

from featlib.models import build
from featlib.models.layers import SameConv2d, divisible


def sums(kernel, stride, row):
    """A one-row convolution with a kernel of ones."""
    layer = SameConv2d(1, 1, (1, kernel), (1, stride), bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
        return layer(torch.tensor(row, dtype=torch.float32)[None, None, None])[0, 0, 0].tolist()


def test_same_padding_of_the_textbook_example():
    """Width 13, kernel 6, stride 5 is padded by 1 before and 2 after."""
    assert sums(6, 5, range(13)) == [sum(range(5)), sum(range(4, 10)), sum(range(9, 13))]


@pytest.mark.parametrize("width", range(1, 12))
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 3, 5])
def test_same_padding_by_counting(width, stride, kernel):
    """ceil(width / stride) windows; the padding they need is shared out, the odd one at the end."""
    windows = -(-width // stride)
    padding = max((windows - 1) * stride + kernel - width, 0)
    starts = [window * stride - padding // 2 for window in range(windows)]
    row = [2**k for k in range(width)]
    expected = [sum(row[max(start, 0) : max(start + kernel, 0)]) for start in starts]
    assert sums(kernel, stride, row) == expected


def test_same_padding_keeps_rows_and_columns_apart():
    layer = SameConv2d(1, 1, (3, 1), (2, 1), bias=False)
    with torch.no_grad():
        layer.weight.fill_(1)
        column = torch.arange(4.0)[None, None, :, None]
        assert layer(column).flatten().tolist() == [0 + 1 + 2, 2 + 3]


@pytest.mark.parametrize(
    ("channels", "expected"), [(16, 16), (16 * 1.4, 24), (24 * 1.4, 32), (3, 8), (33.6, 32), (268.8, 272), (11, 16)]
)
def test_widths_are_multiples_of_eight(channels, expected):
    assert divisible(channels) == expected


def picture(height, width):
    """Smooth colours with some noise, in whole steps of 1/255."""
    rows, columns = np.mgrid[0:height, 0:width]
    random = np.random.default_rng(0)
    pixels = np.stack([128 + 90 * np.sin(rows / 9 + k) * np.cos(columns / 13) for k in range(3)], -1)
    return (pixels + random.normal(0, 8, pixels.shape)).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["efficientnet-lite0", "efficientnet-lite4", "mobilenet-v2"])
@pytest.mark.parametrize("size", [(300, 400), (500, 333), (120, 100)])
def test_crop_equals_pillow(name, size):
    """The central part of the shorter side, then resized, as Pillow does both."""
    model = build(name, device="meta")
    side = model.preparation.side
    pixels = picture(*size)
    square = round(min(size) * side / (side + 32))
    top, left = (size[0] - square) // 2, (size[1] - square) // 2
    how = Image.Resampling.BICUBIC if name.startswith("efficient") else Image.Resampling.BILINEAR
    box = (left, top, left + square, top + square)
    theirs = np.array(Image.fromarray(pixels).crop(box).resize((side, side), how)) / 255
    ours = model.crop(torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 255)[0].permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).max() < 1.5 / 255  # Pillow rounds after each direction
    assert np.abs(ours - theirs).mean() < 0.4 / 255
    assert ours.min() >= 0
    assert ours.max() <= 1


def test_pictures_of_the_right_size_are_only_normalised():
    """So that masks drawn at that size still fit."""
    images = torch.rand(2, 3, 224, 224)
    model = build("mobilenet-v2", device="meta")
    assert torch.equal(model.crop(images), images)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = ((images.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(model.preprocess(images), expected)


def test_efficientnet_colours():
    model = build("efficientnet-lite0", device="meta")
    bytes_ = torch.arange(256.0).repeat(3, 1)[None, :, :, None]
    torch.testing.assert_close(model.normalise(bytes_ / 255), (bytes_ - 127) / 128)


def test_preparation_is_differentiable():
    images = torch.rand(1, 3, 250, 240, requires_grad=True)
    build("efficientnet-lite0", device="meta").preprocess(images).sum().backward()
    inner = images.grad[0, :, 125 - 90 : 125 + 90, 120 - 90 : 120 + 90]
    assert (inner != 0).float().mean() > 0.95
