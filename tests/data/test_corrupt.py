"""Noise on pictures: its distribution against scipy, its strengths, and what it depends on."""

import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from featlib.data.corrupt import KINDS, STRENGTHS, corrupt


def grey(level, n=40, side=32):
    return torch.full((n, 1, side, side), level, dtype=torch.float64)


EVERY = [(table, severity) for table in STRENGTHS for severity in range(1, 6)]


@pytest.mark.parametrize(("table", "severity"), EVERY)
def test_gaussian_noise_is_normal_and_cut_off(table, severity):
    """Inside (0, 1) the distribution function is the normal's; at the ends lies what is cut off."""
    c = STRENGTHS[table]["gaussian"][severity - 1]
    values = corrupt(grey(0.6), "gaussian", severity, table=table).flatten().numpy()
    normal = stats.norm(0.6, c)
    inside = values[(values > 0) & (values < 1)]
    truncated = stats.truncnorm(-0.6 / c, 0.4 / c, 0.6, c)
    assert stats.kstest(inside, truncated.cdf).pvalue > 1e-3
    for hits, p in (((values == 0).sum(), normal.cdf(0)), ((values == 1).sum(), normal.sf(1))):
        assert stats.binomtest(int(hits), len(values), p).pvalue > 1e-3


@pytest.mark.parametrize(("table", "severity"), EVERY)
def test_impulses_hit_their_share_half_of_them_white(table, severity):
    c = STRENGTHS[table]["impulse"][severity - 1]
    values = corrupt(grey(0.6), "impulse", severity, table=table).flatten()
    hit = values != 0.6
    assert set(values[hit].tolist()) == {0, 1}
    assert stats.binomtest(int(hit.sum()), len(values), c).pvalue > 1e-3
    assert stats.binomtest(int((values == 1).sum()), int(hit.sum()), 0.5).pvalue > 1e-3


@pytest.mark.parametrize(("table", "severity"), EVERY)
def test_shot_noise_counts_photons(table, severity):
    c = STRENGTHS[table]["shot"][severity - 1]
    values = corrupt(grey(0.4), "shot", severity, table=table).flatten().numpy()
    photons = np.rint(values * c)
    np.testing.assert_allclose(values, photons / c, atol=1e-12)
    low, high = stats.poisson(0.4 * c).ppf([0.01, 0.99])
    cells = np.arange(low, min(high, c - 1) + 1)
    p = stats.poisson(0.4 * c).pmf(cells)
    observed = [(photons == cell).sum() for cell in cells]
    expected = len(values) * np.append(p, 1 - p.sum())
    assert stats.chisquare([*observed, len(values) - sum(observed)], expected).pvalue > 1e-3
    assert values.max() <= 1


def test_strengths_are_those_of_the_paper_and_rise():
    assert STRENGTHS["imagenet"]["gaussian"] == (0.08, 0.12, 0.18, 0.26, 0.38)
    assert STRENGTHS["imagenet"]["impulse"] == (0.03, 0.06, 0.09, 0.17, 0.27)
    assert STRENGTHS["imagenet"]["shot"] == (60, 25, 12, 5, 3)
    assert STRENGTHS["cifar"]["gaussian"] == (0.04, 0.06, 0.08, 0.09, 0.10)
    assert STRENGTHS["cifar"]["impulse"] == (0.01, 0.02, 0.03, 0.05, 0.07)
    assert STRENGTHS["cifar"]["shot"] == (500, 250, 100, 75, 50)
    for table in STRENGTHS:
        for kind in KINDS:
            damage = [
                float((corrupt(grey(0.5, 4), kind, severity, table=table) - 0.5).square().mean())
                for severity in range(1, 6)
            ]
            assert damage == sorted(damage)
            assert damage[0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_gets_the_same_noise_in_any_company(kind):
    images = torch.rand(6, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    whole = corrupt(images, kind, 3, seed=5)
    assert torch.equal(corrupt(images, kind, 3, seed=5), whole)
    assert torch.equal(corrupt(images[:2], kind, 3, seed=5), whole[:2])
    assert torch.equal(corrupt(images[2:], kind, 3, seed=5, start=2), whole[2:])
    assert not torch.equal(corrupt(images, kind, 3, seed=6), whole)
    same = corrupt(images[:1].expand(4, -1, -1, -1), kind, 3)
    assert len({tuple(one.flatten().tolist()) for one in same}) == 4, "equal pictures get noise of their own"
    channels = corrupt(grey(0.5, 1, 32).expand(-1, 3, -1, -1), kind, 3)[0]
    assert not torch.equal(channels[0], channels[1]), "and so do channels"


def test_severities_share_what_is_random():
    images = grey(0.5, 4)
    noise = [corrupt(images, "gaussian", severity, table="cifar") - 0.5 for severity in range(1, 6)]
    for values, c in zip(noise, STRENGTHS["cifar"]["gaussian"], strict=True):
        torch.testing.assert_close(values / c, noise[0] / 0.04)
    hit = [corrupt(images, "impulse", severity) for severity in range(1, 6)]
    for milder, harder in itertools.pairwise(hit):
        assert bool(((milder == 0.5) | (milder == harder)).all())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "shape", [(3, 28, 28), (2, 1, 28, 28), (2, 3, 9, 10), (2, 9, 10, 4), (5, 7), (0, 3, 4, 4)], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_any_shape_and_type_and_the_input_is_left_alone(kind, shape, dtype):
    images = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    before = images.clone()
    noisy = corrupt(images, kind, 4)
    assert torch.equal(images, before)
    assert noisy.shape == shape
    assert noisy.dtype == dtype
    if noisy.numel():
        assert 0 <= noisy.min() <= noisy.max() <= 1


def test_black_stays_black_under_shot_noise():
    assert not corrupt(grey(0.0, 2), "shot", 5).any()


def test_the_seeds_of_others_are_left_alone():
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    corrupt(grey(0.5, 2), "gaussian", 1)
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((grey(0.5, 1), "gausian", 1), "did you mean 'gaussian'"),
        ((grey(0.5, 1), "shot", 0), "severity must be 1, 2, 3, 4 or 5, got 0"),
        ((grey(0.5, 1), "shot", 6), "got 6"),
        ((grey(1.5, 1), "shot", 1), "before they are normalised"),
        ((grey(-0.1, 1), "shot", 1), r"must lie in \[0, 1\]"),
        ((grey(float("nan"), 1), "shot", 1), "hold no NaN"),
        ((grey(0.5, 1), "shot", 1, 0, 0, "mnist"), "table must be one of imagenet, cifar"),
    ],
)
def test_bad_input_is_named(arguments, says, as_users_run):
    with pytest.raises(ValueError, match=says):
        corrupt(*arguments)
