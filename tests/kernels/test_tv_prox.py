"""Total-variation denoising: closed forms, what must not change, and scikit-image's Chambolle as the oracle."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data, restoration, transform

from featlib.kernels import tv_prox
from featlib.kernels.tv_prox import tv_dual
from featlib.kernels.tv_prox.reference import differences, divergence, gap, objective, tv_prox_reference

ENOUGH = 2000


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def photograph(side=64):
    picture = transform.resize(data.astronaut() / 255, (side, side), anti_aliasing=True)
    noisy = picture + np.random.default_rng(0).normal(0, 0.03, picture.shape)
    return torch.from_numpy(noisy.clip(0, 1)).permute(2, 0, 1)[None]


def steps(weights, height=6):
    """Pictures of two halves, 0 and 1, each 5 pixels wide; and what the closed form makes of them."""
    left = torch.zeros(len(weights), 1, height, 10, dtype=torch.float64)
    left[..., 5:] = 1
    moved = (torch.tensor(weights, dtype=torch.float64) / 5).clamp(max=0.5)[:, None, None, None]
    return left, torch.where(left > 0, 1 - moved, moved)


@pytest.mark.parametrize("weight", [0.002, 0.0098, 0.05])
def test_agrees_with_chambolle_of_scikit_image(weight):
    y = photograph(24)
    theirs = restoration.denoise_tv_chambolle(
        y[0].permute(1, 2, 0).numpy(), weight=weight, eps=1e-13, max_num_iter=30_000, channel_axis=-1
    )
    theirs = torch.from_numpy(theirs).permute(2, 0, 1)[None]
    mine = tv_prox(y, weight, ENOUGH)
    assert float((mine - theirs).abs().max()) < 1e-3
    assert float((objective(mine, y, weight) / objective(theirs, y, weight) - 1).abs()) < 1e-4  # plain steps crawl
    single = tv_prox(y.float(), weight, 500)
    assert float((single - mine).abs().max()) < 2e-3


def test_at_equal_residual_it_needs_fewer_steps_than_chambolle_has_taken():
    """The default of scikit-image stops on the change of its energy; here the true distance to the optimum counts."""
    y, weight = photograph(96), 0.0098
    theirs = restoration.denoise_tv_chambolle(y[0].permute(1, 2, 0).numpy(), weight=weight, channel_axis=-1)
    theirs = torch.from_numpy(theirs).permute(2, 0, 1)[None]
    assert float(objective(tv_prox(y, weight, 20), y, weight)) < float(objective(theirs, y, weight))


def test_agrees_with_the_reference_on_odd_sizes():
    for shape in ((2, 3, 7, 11), (1, 1, 1, 9), (3, 2, 8, 1), (1, 1, 1, 1)):
        y = noise(*shape)
        assert torch.allclose(tv_prox(y, 0.1, ENOUGH), tv_prox_reference(y, 0.1), atol=1e-5)


def test_differences_and_divergence_are_adjoint():
    x, p = noise(3, 5, 8), noise(2, 3, 5, 8, seed=1)
    assert float((differences(x) * p).sum()) == pytest.approx(-float((x * divergence(p)).sum()))


def test_two_halves_move_towards_each_other_by_weight_over_width():
    weights = [0.0, 0.1, 1.0, 2.5, 40.0]
    y, expected = steps(weights)
    assert torch.allclose(tv_prox(y, torch.tensor(weights), ENOUGH), expected, atol=1e-6)


@settings(deadline=None, max_examples=10)
@given(weight=st.floats(1e-3, 0.5), seed=st.integers(0, 99))
def test_what_a_proximal_step_keeps(weight, seed):
    y = 0.2 + 0.6 * noise(2, 2, 6, 9, seed=seed)
    x = tv_prox(y, weight, 200)
    assert torch.allclose(x.mean((2, 3)), y.mean((2, 3)), atol=1e-9)
    assert torch.allclose(tv_prox(y + 0.1, weight, 200), x + 0.1, atol=1e-4)
    assert torch.allclose(tv_prox(y.mT.contiguous(), weight, 200), x.mT, atol=1e-9)
    assert bool((objective(x, y, weight) <= objective(y, y, weight)).all())
    other = 0.2 + 0.6 * noise(2, 2, 6, 9, seed=seed + 1)
    assert float((x - tv_prox(other, weight, 200)).norm()) <= float((y - other).norm()) + 1e-2


def test_the_gap_bounds_the_distance_to_the_optimum():
    y, weight = photograph(48), 0.03
    best = objective(tv_prox(y, weight, ENOUGH), y, weight)
    for n in (1, 5, 30):
        dual = tv_dual(y)
        x = tv_prox(y, weight, n, dual=dual)
        above = objective(x, y, weight) - best
        assert bool((above >= -1e-9).all())
        assert bool((above <= gap(y, weight, dual) + 1e-9).all())


def test_a_warm_start_goes_on_where_the_last_call_ended():
    y, weight = photograph(), 0.01
    dual = tv_dual(y)
    settled = tv_prox(y, weight, 1000, dual=dual)
    assert torch.allclose(tv_prox(y, weight, 0, dual=dual), settled, atol=1e-12)
    moved = (y + 0.008 * (noise(*y.shape) - 0.5)).clamp(0, 1)
    best = objective(tv_prox(moved, weight, ENOUGH), moved, weight)
    warm = objective(tv_prox(moved, weight, 5, dual=dual.clone()), moved, weight) - best
    cold = objective(tv_prox(moved, weight, 5), moved, weight) - best
    assert float(warm) < float(cold) / 3


def test_a_warm_start_fits_a_smaller_weight_and_a_view():
    y = photograph()
    dual = tv_dual(y)
    tv_prox(y, 0.5, 50, dual=dual)
    assert float(dual.square().sum(2).sqrt().max()) <= 0.5 + 1e-9
    part = dual[..., 8:40, 4:36]
    before = dual.clone()
    found = tv_prox(y[..., 8:40, 4:36], 0.01, 800, dual=part)
    assert torch.allclose(found, tv_prox(y[..., 8:40, 4:36].clone(), 0.01, 800), atol=1e-4)
    assert float(part.square().sum(2).sqrt().max()) <= 0.01 + 1e-9
    outside = torch.ones_like(dual, dtype=torch.bool)
    outside[..., 8:40, 4:36] = False
    assert torch.equal(dual[outside], before[outside])


def test_pictures_of_a_batch_do_not_mix():
    y, weights = noise(5, 2, 12, 17), torch.tensor([0.0, 0.01, 0.1, 0.3, 2.0])
    together = tv_prox(y, weights, 40)
    for one, weight, found in zip(y, weights.tolist(), together, strict=True):
        assert torch.allclose(tv_prox(one[None], weight, 40)[0], found, atol=1e-7)
    assert torch.allclose(together[0], y[0])
    strided = noise(12, 5, 17, 2).movedim(0, 2).movedim(-1, 1)
    assert torch.allclose(tv_prox(strided, 0.1, 40), tv_prox(strided.contiguous(), 0.1, 40))


def test_empty_half_and_constant():
    assert tv_prox(torch.empty(0, 3, 4, 4), 0.1).shape == (0, 3, 4, 4)
    assert tv_prox(torch.empty(2, 3, 0, 4), 0.1).shape == (2, 3, 0, 4)
    flat = torch.full((1, 3, 9, 9), 0.25)
    assert torch.equal(tv_prox(flat, 0.7), flat)
    half = noise(1, 1, 9, 9, dtype=torch.float32).bfloat16()
    assert tv_prox(half, 0.1).dtype == torch.bfloat16
    wants = noise(1, 1, 9, 9, dtype=torch.float32).requires_grad_()
    assert not tv_prox(wants, 0.1).requires_grad


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"images": torch.rand(3, 8, 8)}, r"use image\[None\]"),
        ({"images": torch.zeros(1, 3, 8, 8, dtype=torch.uint8)}, r"images.float\(\) / 255"),
        ({"images": 255 * torch.rand(1, 3, 8, 8)}, "scale or clamp"),
        ({"images": torch.full((1, 1, 2, 2), torch.nan)}, "scale or clamp"),
        ({"weight": -1.0}, "not negative"),
        ({"weight": float("nan")}, "finite"),
        ({"weight": torch.ones(3)}, "one weight for all or 2"),
        ({"iterations": -1}, "iterations must not"),
        ({"dual": torch.zeros(2, 3, 8, 8)}, r"tv_dual\(images\)"),
        ({"method": "bregman"}, "auto, torch, triton"),
    ],
)
def test_what_cannot_be_denoised_is_refused(arguments, hint, as_users_run):
    given_ = {"images": torch.rand(2, 3, 8, 8), "weight": 0.1, **arguments}
    with pytest.raises((ValueError, TypeError), match=hint):
        tv_prox(**given_)
