"""Two objects in one scene: pixels that are known, then what holds for all, then what must be refused."""

import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featlib.data.pairs import compose_pairs
from featlib.data.photographs import Photograph
from featlib.data.stamps import Stamp

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)]
BLACK = [Photograph("black", torch.zeros(3, 90, 120))]


def solid(colour, height, width):
    return Stamp(f"{colour}", "", np.full((height, width, 4), (*colour, 255), np.uint8))


STAMPS = [solid(colour, 20, 12) for colour in COLOURS]


def test_each_mask_covers_its_own_object():
    pairs = compose_pairs(STAMPS, [0, 1, 2, 2], BLACK, 20, 64, object_size=(20, 30), background="natural")
    for image, masks, index in zip(pairs.images, pairs.masks, pairs.index, strict=True):
        for mask, stamp in zip(masks, index, strict=True):
            colour = torch.tensor(COLOURS[stamp]) / 255
            torch.testing.assert_close(image[:, mask], colour[:, None].expand(3, int(mask.sum())))
        assert (image[:, ~masks.any(0)] == 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 99), low=st.integers(4, 24), extra=st.integers(0, 20), size=st.sampled_from([48, 51]))
def test_objects_do_not_meet_and_differ(seed, low, extra, size):
    labels = [0, 0, 1, 1]
    pairs = compose_pairs(STAMPS, labels, [], 4, size, seed, (low, min(low + extra, size // 2)))
    assert not (pairs.masks[:, 0] & pairs.masks[:, 1]).any()
    assert pairs.masks.flatten(2).any(2).all()
    for (first, second), names in zip(pairs.index.tolist(), pairs.names, strict=True):
        assert labels[first] != labels[second]
        assert names == (STAMPS[first].name, STAMPS[second].name)
    for masks, boxes in zip(pairs.masks, pairs.boxes.tolist(), strict=True):
        for mask, (top, left, bottom, right) in zip(masks, boxes, strict=True):
            assert mask[top:bottom, left:right].all()
            assert mask.sum() == (bottom - top) * (right - left)


def test_both_halves_and_both_directions_occur():
    pairs = compose_pairs(STAMPS, [0, 1, 2, 3], [], 40, 64, object_size=(10, 32))
    first, second = pairs.boxes.unbind(1)
    for axis in (0, 1):
        level = (first[:, 1 - axis] < second[:, 3 - axis]) & (second[:, 1 - axis] < first[:, 3 - axis])
        assert (level & (first[:, 2 + axis] <= second[:, axis])).any()  # they overlap in the other direction
        assert (level & (second[:, 2 + axis] <= first[:, axis])).any()


def test_seed_decides_everything_and_fewer_are_the_first_of_more():
    few, many, again, other = (
        compose_pairs(STAMPS, [0, 1, 2, 3], [], n, 64, seed, (10, 30)) for n, seed in ((3, 0), (6, 0), (6, 0), (6, 1))
    )
    assert torch.equal(many.images, again.images)
    assert torch.equal(few.images, many.images[:3])
    assert torch.equal(few.masks, many.masks[:3])
    assert not torch.equal(many.images, other.images)


def test_no_scenes():
    pairs = compose_pairs([], [], [], 0, 32, object_size=(8, 8))
    assert pairs.images.shape == (0, 3, 32, 32)
    assert pairs.masks.shape == (0, 2, 32, 32)
    assert pairs.boxes.shape == (0, 2, 4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"object_size": (10, 33)}, "object_size must be two lengths in 1..32, the smaller first; got (10, 33)"),
        ({"labels": [1, 1, 1, 1]}, "two objects need stamps of at least two labels"),
        ({"labels": [1]}, "4 stamps need 4 labels, got 1"),
        ({"background": "sky"}, "background must be 'plain' or 'natural'"),
        ({"background": "natural"}, "background='natural' needs photographs"),
        (
            {"stamps": [Stamp("hair", "", np.full((200, 1, 4), (9, 9, 9, 120), np.uint8))] * 2, "labels": [0, 1]},
            "hair vanishes at 10 pixels",
        ),
    ],
)
@pytest.mark.usefixtures("as_users_run")
def test_refusals(change, message):
    arguments = {
        "stamps": STAMPS,
        "labels": [0, 1, 2, 3],
        "backgrounds": [],
        "n": 2,
        "size": 64,
        "object_size": (10, 10),
    }
    with pytest.raises(ValueError, match=re.escape(message)):
        compose_pairs(**{**arguments, **change})
