"""Garments with digits: pixels against scikit-learn's own reader, views against what they were made of."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from featlib.data import sources
from featlib.data.digits import DigitOnGarment, digits, paste_digits
from featlib.data.fashion import COARSE, Garments, coarse


def garments(n=40):
    generator = torch.Generator().manual_seed(0)
    return Garments(torch.rand(n, 28, 28, generator=generator), torch.arange(n) % 10)


def test_digits_are_those_that_scikit_learn_reads():
    if not sources.present("digits"):
        pytest.skip("no digits on this machine")
    bunch = load_digits()
    pixels, kinds = (torch.cat(part) for part in zip(digits("train"), digits("test"), strict=True))
    np.testing.assert_allclose(pixels * 16, bunch.images)
    np.testing.assert_array_equal(kinds, bunch.target)
    assert len(digits("train")[1]) == 1300
    assert digits("test")[1].bincount().min() > 40


def test_only_a_quadrant_is_pasted_over():
    plain = garments(400)
    found = paste_digits(plain, "train", seed=1)
    assert torch.equal(found.bare, plain.images)
    assert torch.equal(found.marked[:, 14:], plain.images[:, 14:])
    assert torch.equal(found.marked[:, :, 14:], plain.images[:, :, 14:])
    assert not torch.equal(found.marked[:, :14, :14], plain.images[:, :14, :14])
    assert torch.equal(found.garment, plain.labels)
    assert found.digit.bincount(minlength=10).min() > 15
    again, other = (paste_digits(plain, "train", seed=seed).digit for seed in (1, 2))
    assert torch.equal(found.digit, again)
    assert not torch.equal(found.digit, other)


def dots():
    """One bright pixel on each garment, another one in the digit's place."""
    bare = torch.zeros(5, 28, 28)
    marked = bare.clone()
    bare[:, 20, 20] = 50.0
    marked[:, 20, 20] = 50.0
    marked[:, 5, 5] = 50.0
    return DigitOnGarment(bare, marked, torch.arange(5), torch.arange(5))


def peaks(picture):
    return (picture.reshape(28, 28) > 15).nonzero().tolist()


@pytest.mark.parametrize(("drop", "points"), [(0.0, 2), (1.0, 1)])
def test_a_view_moves_as_a_whole_and_loses_only_its_digit(drop, points):
    views = dots().views(torch.arange(5).repeat(40), drop, torch.Generator().manual_seed(0)).flatten(0, 1)
    shifts = []
    for view in views:
        found = peaks(view)
        assert len(found) == points
        row, column = found[-1]
        if points == 2:
            assert [row - 15, column - 15] == found[0]
        shifts.append((row - 20, column - 20))
    assert set(shifts) == {(a, b) for a in range(-2, 3) for b in range(-2, 3)}


def test_brightness_noise_and_the_share_of_dropped_digits():
    views = dots().views(torch.arange(5).repeat(200), 0.3, torch.Generator().manual_seed(0)).flatten(0, 1)
    bright = views.amax(1) / 50
    assert 0.58 < float(bright.min()) < 0.64
    assert 1.36 < float(bright.max()) < 1.42
    assert float(views.median(1).values.abs().mean()) < 0.02
    assert float((views.sort(1).values[:, 100:700]).std()) == pytest.approx(0.06, abs=0.03)
    assert sum(len(peaks(view)) == 1 for view in views) / 2000 == pytest.approx(0.3, abs=0.04)


def test_both_views_and_all_pictures_differ_and_seeds_repeat():
    data = paste_digits(garments(), "train")
    first, second = data.views(torch.arange(20), 0.5, torch.Generator().manual_seed(1))
    assert not torch.equal(first, second)
    again, _ = data.views(torch.arange(20), 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(first, again)


def test_rates_differ_in_the_digits_they_lose_and_only_there():
    data, rows, rates = paste_digits(garments(), "train"), torch.arange(20), [0.0, 0.2, 0.5, 1.0]
    together = data.views_at(rows, rates, torch.Generator().manual_seed(1))
    for rate, views in zip(rates, together, strict=True):
        assert torch.equal(views, data.views(rows, rate, torch.Generator().manual_seed(1)))
    kept = (together == together[0]).all(-1).flatten(1).double().mean(1)
    assert kept[0] == 1
    assert kept[3] == 0
    assert kept[1] > kept[2]


def test_coarse_groups_hold_every_class_once():
    assert sorted(c for classes in COARSE.values() for c in classes) == list(range(10))
    assert coarse(torch.arange(10)).bincount().tolist() == [4, 1, 1, 3, 1]


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: digits("all"), "split"),
        (lambda: dots().views(torch.arange(2), 1.5, torch.Generator()), "drop"),
        (lambda: coarse(torch.tensor([10])), "numbered"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
