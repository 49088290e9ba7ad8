"""Coloured shapes against scikit-image's polygons and closed forms, then balance and independence, then refusals."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, chisquare, kstest
from skimage.draw import polygon2mask
from skimage.measure import label, moments_central, regionprops

from featlib.data.shapes import COLOURS, GROUND, KINDS, shapes

ALL = tuple(KINDS)


def plain(n=200, size=64, scale=0.4, **options):
    """Shapes of one size without jitter, and the share of each pixel that lies inside, read off the colours."""
    drawn = shapes(n, size=size, kinds=ALL, scale=(scale, scale), jitter=0.0, **options)
    paint = torch.tensor(list(COLOURS.values())[:2])[drawn.colours]
    inside = (drawn.images - GROUND) / (paint - GROUND)[..., None, None]
    torch.testing.assert_close(inside, inside[:, :1].expand_as(inside), atol=1e-5, rtol=0)  # no fourth colour
    return drawn, inside[:, 0].double().numpy()


def corners(kind, side):
    """The outline about the centre: right, down."""
    if kind == "circle":
        around = np.linspace(0, 2 * math.pi, 180, endpoint=False)
        return side / math.sqrt(math.pi) * np.stack([np.cos(around), np.sin(around)], 1)
    if kind == "triangle":
        edge = 2 * side / 3**0.25
        height = edge * math.sqrt(3) / 2
        return np.array([[0, -2 * height / 3], [edge / 2, height / 3], [-edge / 2, height / 3]])
    if kind == "square":
        return side / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    a = side / math.sqrt(5) / 2
    quarter = np.array([[a, 3 * a], [a, a], [3 * a, a]])
    turn = np.array([[0, -1], [1, 0]])
    return np.concatenate([quarter @ np.linalg.matrix_power(turn, k) for k in range(4)])


def centroid(picture):
    moments = [(picture * axis).sum() / picture.sum() for axis in np.mgrid[: len(picture), : len(picture)] + 0.5]
    return np.array(moments)


@pytest.mark.parametrize("kind", ALL)
def test_pixels_equal_the_polygon_of_scikit_image(kind):
    """Not turned: each pixel's share inside the outline, counted on a grid sixteen times as fine."""
    drawn, inside = plain(16, turn=0.0)
    for picture in inside[drawn.shapes.numpy() == ALL.index(kind)]:
        outline = (corners(kind, 0.4 * 64)[:, ::-1] + centroid(picture)) * 16 - 0.5
        fine = polygon2mask((64 * 16, 64 * 16), outline)
        wanted = fine.reshape(64, 16, 64, 16).mean((1, 3))
        assert np.abs(picture - wanted).max() < 0.3  # at a corner, where one distance stands for two edges
        assert np.abs(picture - wanted).sum() < 0.01 * wanted.sum()


def test_all_shapes_have_the_same_area_at_every_turn():
    _, inside = plain(turn=180.0)
    np.testing.assert_allclose(inside.sum((1, 2)), (0.4 * 64) ** 2, rtol=0.01)


def test_shapes_differ_by_closed_forms():
    """Second moment over the squared area, which no turn changes, and the share of the convex hull."""
    moment = {"square": 1 / 6, "circle": 1 / (2 * math.pi), "triangle": 1 / (3 * math.sqrt(3)), "cross": 29 / 150}
    hull = {"square": 1, "circle": 1, "triangle": 1, "cross": 5 / 7}
    drawn, inside = plain(60, size=128, turn=180.0)
    for kind, picture in zip(drawn.shapes.tolist(), inside, strict=True):
        central = moments_central(picture)
        assert (central[0, 2] + central[2, 0]) / central[0, 0] ** 2 == pytest.approx(moment[ALL[kind]], rel=0.015)
        (region,) = regionprops(label(picture > 0.5))
        assert region.solidity == pytest.approx(hull[ALL[kind]], abs=0.04)


def test_pictures_hold_the_colour_inside_and_the_ground_outside():
    drawn = shapes(100, 3, colours=tuple(COLOURS), jitter=0.1)
    palette = torch.tensor(list(COLOURS.values()))
    for image, colour in zip(drawn.images, drawn.colours, strict=True):
        corner = image[:, [0, 0, -1, -1], [0, -1, 0, -1]].median(1).values  # a shape may reach into one corner
        assert (corner - GROUND).abs().max() <= 0.1 + 1e-6
        away = (image - corner[:, None, None]).norm(dim=0)
        inside = image.flatten(1)[:, away.flatten() > 0.99 * away.max()]
        assert inside.shape[1] > 20
        assert (inside - palette[colour][:, None]).abs().max() <= 0.1 + 0.01
        assert (palette - inside.mean(1)).norm(dim=1).argmin() == colour


def test_shapes_lie_wholly_inside_and_everywhere():
    drawn, inside = plain(400, size=48, scale=0.3, turn=180.0)
    assert (inside.sum((1, 2)) > 0.99 * (0.3 * 48) ** 2).all()
    reach = 2 / 3**0.75 * 0.3 * 48
    places = (np.array([centroid(picture) for picture in inside]) - reach) / (48 - 2 * reach)
    assert (np.abs(places - 0.5) < 0.51).all()
    for axis in (0, 1):
        assert kstest(places[:, axis], "uniform").pvalue > 0.01
        halves = np.histogram2d(drawn.shapes, places[:, axis] > 0.5, bins=(4, 2))[0]
        assert chi2_contingency(halves).pvalue > 0.01  # place says nothing about shape


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(0, 40), kinds=st.integers(1, 4), colours=st.integers(1, 4))
def test_every_pair_comes_equally_often(seed, n, kinds, colours):
    drawn = shapes(n, seed, 12, ALL[:kinds], tuple(COLOURS)[:colours], jitter=0.5)
    counts = (drawn.shapes * colours + drawn.colours).bincount(minlength=kinds * colours)
    assert counts.sum() == n
    assert counts.max() - counts.min() <= (n % (kinds * colours) > 0)
    assert drawn.images.shape == (n, 3, 12, 12)
    assert drawn.images.dtype == torch.float32
    assert not n or 0 <= drawn.images.min() <= drawn.images.max() <= 1


def test_what_is_left_over_and_the_order_are_random():
    """Over many batches of five, which of the four pairs comes twice and which stands where."""
    generator = torch.Generator().manual_seed(0)
    batches = [shapes(5, generator, 8) for _ in range(300)]
    pairs = torch.stack([2 * drawn.shapes + drawn.colours for drawn in batches])
    twice = (torch.nn.functional.one_hot(pairs, 4).sum(1) == 2).nonzero()[:, 1]
    for numbers in (twice, *pairs.T):
        assert chisquare(numbers.bincount(minlength=4)).pvalue > 0.01


def test_the_largest_circle_lies_in_the_middle():
    """It has no room to move, so mirroring the picture changes nothing."""
    largest = 0.5 * 3**0.75 / 2
    images = shapes(4, kinds=("circle",), scale=(largest, largest)).images
    torch.testing.assert_close(images, images.flip(2), atol=1e-4, rtol=0)
    torch.testing.assert_close(images, images.flip(3), atol=1e-4, rtol=0)


def test_seed_decides_everything_and_a_generator_moves_on():
    first, again, other = (shapes(20, seed).images for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    generator = torch.Generator().manual_seed(0)
    assert torch.equal(shapes(20, generator).images, first)
    assert not torch.equal(shapes(20, generator).images, first)
    before = torch.random.get_rng_state()
    shapes(5)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_seed_shows_the_same_scene_at_every_size():
    small, large = shapes(20, size=32), shapes(20, size=64)
    assert torch.equal(small.shapes, large.shapes)
    halved = torch.nn.functional.avg_pool2d(large.images, 2)
    assert (halved - small.images).abs().mean() < 0.005


def test_turn_and_jitter_do_what_they_say():
    (_, upright), (_, turned) = plain(40, turn=0.0), plain(40, turn=45.0)
    assert not np.allclose(upright, turned, atol=0.1)
    corners_seen = shapes(50, jitter=0.1).images[:, :, 0, 0]
    assert corners_seen.std(0).min() > 0.03
    assert shapes(50, jitter=0.0, scale=(0.2, 0.2)).images[:, :, 0, 0].std(0).max() < 0.05


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kinds": ("square", "circel")}, "unknown shape 'circel'; did you mean 'circle'? Known: square, circle"),
        ({"colours": ("rot", "blue")}, "unknown colour 'rot'; did you mean"),
        ({"kinds": ()}, "give at least one shape, and each once; got ()"),
        ({"colours": ("red", "red")}, "give at least one colour, and each once; got ('red', 'red')"),
        ({"scale": (0.3, 0.6)}, "scale must be two shares in (0, 0.57], the smaller first; got (0.3, 0.6)"),
        ({"scale": (0.4, 0.3)}, "the smaller first"),
        ({"jitter": 0.6}, "jitter must lie in [0, 0.5], got 0.6"),
        ({"n": -1}, "n must be 0 or more, got -1"),
    ],
)
@pytest.mark.usefixtures("as_users_run")
def test_refusals(options, message):
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        shapes(**{"n": 4, **options})
    assert "\n" not in str(caught.value)
