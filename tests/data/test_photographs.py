"""Photographs: what is in them, and how squares are taken out of them."""

import numpy as np
import pytest
import torch
from PIL import Image

from featlib.data import sources
from featlib.data.photographs import BACKGROUNDS, NATURAL, centre_square, crops, imagenet_samples, natural


@pytest.mark.parametrize("name", NATURAL)
def test_natural_equals_what_the_packages_load(name):
    """skimage.data and sklearn.datasets read the same pixels."""
    import skimage.data
    from sklearn.datasets import load_sample_image

    loaders = {"china": lambda: load_sample_image("china.jpg"), "flower": lambda: load_sample_image("flower.jpg")}
    loaders["motorcycle_left"] = lambda: skimage.data.stereo_motorcycle()[0]
    theirs = loaders.get(name, getattr(skimage.data, name, None))()
    theirs = np.broadcast_to(theirs[..., None], (*theirs.shape, 3)) if theirs.ndim == 2 else theirs
    (photo,) = natural([name])
    assert photo.name == name
    assert photo.image.dtype == torch.float32
    np.testing.assert_array_equal((photo.image * 255).round().permute(1, 2, 0).numpy(), theirs)


def test_unknown_photograph():
    with pytest.raises(ValueError, match="no photograph 'cofee'; there are astronaut"):
        natural(["cofee"])


def test_backgrounds_are_large_enough():
    assert all(min(photo.image.shape[1:]) >= 400 for photo in natural(BACKGROUNDS))


def test_twenty_samples_with_labels():
    if not sources.present("imagenet-samples"):
        pytest.skip(sources.check("imagenet-samples").reason)
    photos = imagenet_samples()
    assert [photo.label for photo in photos[:5]] == [243, 559, 438, 990, 949]
    assert len(photos) == 20
    for photo in photos:
        assert photo.image.shape[0] == 3
        assert photo.image.min() >= 0
        assert 0.5 < photo.image.max() <= 1
        assert 0 <= photo.label < 1000


def gradient(height, width):
    """Red grows downwards, green to the right."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return torch.stack([rows, columns, torch.full_like(rows, 0.5)])


@pytest.mark.parametrize("shape", [(60, 100), (100, 60), (80, 80), (9, 7)])
def test_centre_square_equals_pillow(shape):
    image = (gradient(*shape) * 255).round() / 255
    side = min(shape)
    top, left = (shape[0] - side) // 2, (shape[1] - side) // 2
    pixels = (image * 255).byte().permute(1, 2, 0).numpy()
    box = (left, top, left + side, top + side)
    theirs = np.array(Image.fromarray(pixels).crop(box).resize((24, 24), Image.Resampling.BILINEAR)) / 255
    np.testing.assert_allclose(centre_square(image, 24).permute(1, 2, 0).numpy(), theirs, atol=1.5 / 255)


def test_crops_follow_the_seed_and_vary():
    image = gradient(100, 140)
    first, again, other = crops(image, 6, 32, seed=3), crops(image, 6, 32, seed=3), crops(image, 6, 32, seed=4)
    assert first.shape == (6, 3, 32, 32)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert len({round(float(crop[0, 0, 0]), 4) for crop in first}) == 6
    assert torch.equal(crops(image, 3, 32, seed=3), first[:3])


def test_crops_cover_the_picture_without_leaving_it():
    image = gradient(100, 140)
    many = crops(image, 300, 16)
    assert many.min() >= 0
    assert many.max() <= 1
    assert many[:, 0].min() < 0.03  # touches the top
    assert many[:, 0].max() > 0.97
    assert many[:, 1].min() < 0.03
    assert many[:, 1].max() > 0.97
    heights = many[:, 0, -1, 0] - many[:, 0, 0, 0]
    assert heights.min() < 0.2 < 0.9 < heights.max()  # from 16 pixels to all 100


def test_small_pictures_are_enlarged():
    assert crops(gradient(10, 12), 4, 32).shape == (4, 3, 32, 32)
