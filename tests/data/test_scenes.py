"""Scenes against pixels that are known, then what holds for all of them, then what must be refused."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from featlib.data.photographs import Photograph
from featlib.data.scenes import compose, on_grey
from featlib.data.stamps import Stamp

RED, GREEN = (255, 0, 0), (0, 255, 0)


def solid(colour, height, width):
    """An opaque rectangle of one colour."""
    return Stamp(f"{colour}", "", np.full((height, width, 4), (*colour, 255), np.uint8))


def disc(side, hidden=(0, 0, 255)):
    """A white disc; other colours lie hidden under the transparent part."""
    rows, columns = np.mgrid[0:side, 0:side] - (side - 1) / 2
    inside = np.hypot(rows, columns) < side / 2
    rgba = np.zeros((side, side, 4), np.uint8)
    rgba[..., :3] = hidden
    rgba[inside] = 255
    return Stamp("disc", "", rgba)


BLACK = [Photograph("black", torch.zeros(3, 90, 120))]
NOISE = [Photograph("noise", torch.rand(3, 90, 120, generator=torch.Generator().manual_seed(0)))]


def test_an_opaque_rectangle_is_pasted_pixel_by_pixel():
    """At its own size a stamp is copied unchanged: mask, box and colours are known."""
    scenes = compose([solid(RED, 20, 30)], BLACK, 12, 64, object_size=(30, 30), background="natural")
    expected = torch.tensor([1.0, 0, 0])[:, None, None]
    places = set()
    for image, mask, box in zip(scenes.images, scenes.masks, scenes.boxes, strict=True):
        top, left, bottom, right = box.tolist()
        assert (bottom - top, right - left) == (20, 30)
        assert mask.sum() == 600
        assert mask[top:bottom, left:right].all()
        torch.testing.assert_close(image, expected * mask)
        places.add((top, left))
    assert len(places) > 8


def test_resized_mask_equals_pillow():
    """The mask is the alpha channel, resized, above one half."""
    stamp = disc(90)
    scenes = compose([stamp], [], 1, 64, object_size=(40, 40))
    top, left, bottom, right = scenes.boxes[0].tolist()
    alpha = Image.fromarray(stamp.rgba[..., 3]).resize((40, 40), Image.Resampling.BILINEAR)
    theirs = np.asarray(alpha) > 127
    assert np.array_equal(scenes.masks[0, top:bottom, left:right].numpy(), theirs[theirs.any(1)][:, theirs.any(0)])
    assert abs(int(scenes.masks.sum()) - np.pi * 400) < 20


def test_hidden_colours_do_not_bleed():
    """A white disc on black has no blue rim, whatever colour lies under its transparent pixels."""
    scenes = compose([disc(90)], BLACK, 3, 64, object_size=(30, 50), background="natural")
    torch.testing.assert_close(scenes.images[:, 2], scenes.images[:, 0])
    blue, green = (compose([disc(90, hidden)], BLACK, 2, 64, object_size=(30, 50), background="natural")
                   for hidden in (RED, GREEN))  # fmt: skip
    assert torch.equal(blue.images, green.images)


def test_half_transparent_pixels_mix():
    stamp = Stamp("veil", "", np.full((20, 20, 4), (255, 255, 255, 153), np.uint8))
    scenes = compose([stamp], BLACK, 1, 32, object_size=(20, 20), background="natural")
    torch.testing.assert_close(scenes.images[0, :, scenes.masks[0]], torch.full((3, 400), 0.6))


def test_plain_backgrounds_are_one_colour_each():
    scenes = compose([solid(RED, 20, 20)], [], 5, 64, object_size=(20, 20))
    colours = []
    for image, mask in zip(scenes.images, scenes.masks, strict=True):
        ground = image[:, ~mask]
        assert torch.equal(ground, ground[:, :1].expand_as(ground))
        colours.append(tuple(ground[:, 0].tolist()))
    assert len(set(colours)) == 5


def test_every_stamp_comes_before_any_comes_again():
    given_stamps = [solid((k, 0, 0), 10, 10) for k in range(7)]
    scenes = compose(given_stamps, [], 17, 32, object_size=(10, 10))
    assert sorted(scenes.index[:7].tolist()) == sorted(scenes.index[7:14].tolist()) == list(range(7))
    assert scenes.index[:7].tolist() != scenes.index[7:14].tolist()
    assert scenes.names == tuple(given_stamps[k].name for k in scenes.index)


@settings(max_examples=40, deadline=None)
@given(
    height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 99), low=st.integers(1, 48),
    extra=st.integers(0, 47), natural=st.booleans(),
)  # fmt: skip
def test_objects_lie_inside_at_the_asked_size(height, width, seed, low, extra, natural):
    high = min(48, low + extra)
    background = "natural" if natural else "plain"
    scenes = compose([solid(RED, height, width)], NOISE, 3, 48, seed, (low, high), background)
    assert scenes.images.min() >= 0
    assert scenes.images.max() <= 1
    for mask, (top, left, bottom, right) in zip(scenes.masks, scenes.boxes.tolist(), strict=True):
        assert low <= max(bottom - top, right - left) <= high
        assert mask.sum() == (bottom - top) * (right - left)  # an opaque rectangle stays one
        assert 0 <= top < bottom <= 48
        assert 0 <= left < right <= 48
    picture = scenes.images.movedim(1, -1)[scenes.masks]
    torch.testing.assert_close(picture, torch.tensor([1.0, 0, 0]).expand_as(picture))


@pytest.mark.parametrize("background", ["plain", "natural"])
def test_seed_decides_everything_and_fewer_are_the_first_of_more(background):
    given_stamps = [disc(30), solid(RED, 20, 30), solid(GREEN, 25, 10)]

    def make(n, seed):
        return compose(given_stamps, NOISE, n, 48, seed, (20, 40), background)

    few, many, again, other = make(4, 0), make(9, 0), make(9, 0), make(9, 1)
    assert torch.equal(many.images, again.images)
    assert torch.equal(many.masks, again.masks)
    assert torch.equal(few.images, many.images[:4])
    assert torch.equal(few.boxes, many.boxes[:4])
    assert few.names == many.names[:4]
    assert not torch.equal(many.images, other.images)


def test_stamps_and_backgrounds_are_left_as_they_were():
    stamp, photo = disc(30), torch.rand(3, 64, 64)
    pixels, before = stamp.rgba.copy(), photo.clone()
    compose([stamp], [Photograph("photo", photo)], 4, 64, object_size=(30, 30), background="natural")
    on_grey([stamp], 64)
    assert np.array_equal(stamp.rgba, pixels)
    assert torch.equal(photo, before)


def test_no_scenes():
    scenes = compose([], [], 0, 32, object_size=(8, 8))
    assert scenes.images.shape == (0, 3, 32, 32)
    assert scenes.masks.shape == (0, 32, 32)
    assert scenes.boxes.shape == (0, 4)
    assert scenes.names == ()


def test_on_grey_is_centred():
    pictures = on_grey([solid(RED, 10, 20), disc(30)], 40, share=0.5)
    assert pictures.shape == (2, 3, 40, 40)
    expected = torch.full((3, 40, 40), 0.5)
    expected[:, 15:25, 10:30] = torch.tensor([1.0, 0, 0])[:, None, None]
    torch.testing.assert_close(pictures[0], expected)
    assert on_grey([], 40).shape == (0, 3, 40, 40)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object_size": (10, 65)}, "object_size must be two lengths in 1..64, the smaller first; got (10, 65)"),
        ({"object_size": (20, 10)}, "the smaller first; got (20, 10)"),
        ({"object_size": (0, 10)}, "got (0, 10)"),
        ({"stamps": []}, "no stamps given"),
        ({"background": "natural"}, "background='natural' needs photographs"),
        ({"background": "sky"}, "background must be 'plain' or 'natural', got 'sky'"),
        ({"stamps": [Stamp("hair", "", np.full((200, 1, 4), (9, 9, 9, 120), np.uint8))]}, "hair vanishes at 10 pixels"),
    ],
)
@pytest.mark.usefixtures("as_users_run")
def test_refusals(change, message):
    arguments = {"stamps": [disc(30)], "backgrounds": [], "n": 2, "size": 64, "object_size": (10, 10)}
    with pytest.raises(ValueError, match=re.escape(message)):
        compose(**{**arguments, **change})


@pytest.mark.parametrize("share", [0, -1.0, 1.5])
@pytest.mark.usefixtures("as_users_run")
def test_on_grey_refuses(share):
    with pytest.raises(ValueError, match="share must lie in"):
        on_grey([disc(30)], 64, share)
