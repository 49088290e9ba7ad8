"""Several components at once, the Lanczos path on its own, and the switch for faster products."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from featlib.kernels import precision, top_component
from featlib.kernels.top_component.lanczos import lanczos
from featlib.kernels.top_component.reference import top_component_reference

MODULE = sys.modules["featlib.kernels.top_component.lanczos"]  # the function of that name hides it


def random_maps(shape, batch=3, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, *shape, generator=generator, dtype=dtype) ** 2


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("shape", [(40, 5, 6), (7, 9, 9), (64, 3, 3)])
def test_several_components_equal_numpy(shape, k):
    scores, sigma = top_component(random_maps(shape), k=k)
    assert scores.shape == (3, k, *shape[1:])
    for image, ours, values in zip(random_maps(shape), scores, sigma, strict=True):
        left, theirs, _ = np.linalg.svd(image.double().flatten(1).T.numpy(), full_matrices=True)
        np.testing.assert_allclose(values, theirs[:k], rtol=1e-5)
        for index in range(k):
            expected = theirs[index] * left[:, index]
            mine = ours[index].double().flatten().numpy()
            assert mine.sum() >= 0
            np.testing.assert_allclose(mine, expected * np.sign(expected @ mine), atol=1e-4 * theirs[index])


def test_several_centred_components_equal_pca():
    maps = random_maps((30, 6, 7), seed=2)
    scores, sigma = top_component(maps, centre=True, k=4)
    for image, ours, values in zip(maps, scores, sigma, strict=True):
        pca = PCA(4, svd_solver="full").fit(image.double().flatten(1).T.numpy())
        theirs = pca.transform(image.double().flatten(1).T.numpy()).T
        mine = ours.double().flatten(1).numpy()
        np.testing.assert_allclose(values, pca.singular_values_, rtol=1e-5)
        np.testing.assert_allclose(mine, theirs * np.sign((theirs * mine).sum(1, keepdims=True)), atol=1e-4)
        assert (mine @ image.double().mean(0).flatten().numpy() > 0).all()


def test_the_first_of_several_is_the_only_one():
    maps = random_maps((30, 8, 8))
    alone, value = top_component(maps)
    several, values = top_component(maps, k=3)
    torch.testing.assert_close(several[:, 0], alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(values[:, 0], value)


@pytest.mark.parametrize("shape", [(6, 4, 4), (40, 3, 3)])
def test_components_that_do_not_exist_are_zero(shape):
    """Rank 2 and rank 0, asked for five components; and more components than there are channels or positions."""
    left, right = torch.rand(shape[0], 2), torch.rand(2, shape[1] * shape[2])
    maps = torch.stack([(left @ right).reshape(shape), torch.zeros(shape)])
    scores, sigma = top_component(maps, k=5)
    assert (sigma[0, :2] > 0).all()
    assert (sigma[0, 2:] == 0).all()
    assert (scores[0, 2:] == 0).all()
    assert (scores[1] == 0).all()
    torch.testing.assert_close((scores[0, :2] ** 2).sum(), (maps[0] ** 2).sum())
    assert top_component(maps, k=100)[0].shape == (2, 100, *shape[1:])


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("shape", [(7, 3, 2), (3, 4, 2)])
def test_gradients_of_several_components(shape, centre):
    maps = random_maps(shape, batch=2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: top_component(x, centre=centre, k=3)[0] ** 2, maps, atol=1e-6)
    assert torch.autograd.gradcheck(lambda x: top_component(x, centre=centre, k=2)[1], maps, atol=1e-6)


@pytest.mark.parametrize("path", ["eigh", "lanczos"])
def test_half_precision_gradient_is_that_of_its_values(path):
    maps = random_maps((20, 4, 5)).bfloat16()
    ours, theirs = maps.clone().requires_grad_(), maps.double().requires_grad_()
    weight = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(2))
    (top_component(ours, method=path)[0] * weight).sum().backward()
    (top_component_reference(theirs)[0] * weight).sum().backward()
    assert ours.grad.dtype == torch.bfloat16
    assert float((ours.grad.double() - theirs.grad).norm() / theirs.grad.norm()) < 1e-2


# The Lanczos path on its own: its answers must not be those of the fall-back.


@pytest.fixture
def no_fallback(monkeypatch):
    def refuse(*_):
        raise AssertionError("fell back to the eigensolver")

    monkeypatch.setattr(MODULE, "gram_eigh", refuse)
    eigh = torch.linalg.eigh
    monkeypatch.setattr(torch.linalg, "eigh", lambda matrix: eigh(matrix) if matrix.shape[-1] <= 48 else refuse())


def with_spectrum(values, positions, channels, seed=0):
    """Rows with given singular values, float32."""
    generator = torch.Generator().manual_seed(seed)
    left, _ = torch.linalg.qr(torch.randn(positions, len(values), generator=generator, dtype=torch.float64))
    right, _ = torch.linalg.qr(torch.randn(channels, len(values), generator=generator, dtype=torch.float64))
    return ((left * torch.tensor(values, dtype=torch.float64)) @ right.T).float()[None], left[:, 0]


@pytest.mark.usefixtures("no_fallback")
@pytest.mark.parametrize("ratio", [0.3, 0.9, 0.965])
@pytest.mark.parametrize(("positions", "channels"), [(196, 320), (300, 128), (500, 49)])
def test_lanczos_gets_there_by_itself(ratio, positions, channels):
    tail = np.linspace(ratio, 0.05, min(100, channels - 1))
    rows, first = with_spectrum([1.0, *tail], positions, channels)
    scores, sigma = lanczos(rows)
    assert float(sigma) == pytest.approx(1, rel=1e-5)
    assert abs(float(scores[0, 0].double() @ first)) > 1 - 1e-6


@pytest.mark.usefixtures("no_fallback")
def test_a_large_mean_costs_no_digits():
    """The mean is thirty times what is looked for, in float32."""
    maps = random_maps((150, 12, 11))
    shifted = maps + 30 * torch.rand(3, 150, 1, 1)
    expected, _ = top_component_reference(shifted, centre=True)
    scores, _ = top_component(shifted, centre=True, method="lanczos")
    torch.testing.assert_close(scores.double(), expected, rtol=1e-3, atol=1e-3)


def test_lanczos_falls_back_when_its_steps_run_out(monkeypatch):
    rows, first = with_spectrum([1.0, *np.linspace(0.999, 0.9, 90)], 120, 100)
    scores, _ = lanczos(rows, max_steps=8)
    assert abs(float(scores[0, 0].double() @ first)) > 0.99
    monkeypatch.setattr(MODULE, "gram_eigh", lambda rows: (rows.new_zeros(1, 1, 120), rows.new_zeros(1, 1)))
    assert (lanczos(rows, max_steps=8)[0] == 0).all()


@pytest.mark.parametrize("centre", [False, True])
def test_lanczos_treats_images_one_by_one(centre):
    """Zero, constant, rank one and ordinary images in one batch."""
    generator = torch.Generator().manual_seed(3)
    rank_one = torch.rand(90, 1, 1, generator=generator) * torch.rand(10, 11, generator=generator)
    ordinary = torch.rand(90, 10, 11, generator=generator)
    maps = torch.stack([torch.zeros(90, 10, 11), torch.full((90, 10, 11), 0.5), rank_one, ordinary])
    scores, sigma = top_component(maps, centre=centre, method="lanczos")
    expected, values = top_component_reference(maps, centre=centre)
    torch.testing.assert_close(scores.double(), expected, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(sigma.double(), values, rtol=1e-5, atol=1e-4)
    assert (scores[0] == 0).all()


@pytest.mark.usefixtures("as_users_run")
def test_wrong_counts_are_named():
    maps = torch.rand(1, 3, 4)
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        top_component(maps, k=0)
    with pytest.raises(ValueError, match="one component only"):
        top_component(maps, method="lanczos", k=2)


# Faster products.


def test_the_flag_is_restored_also_after_an_error():
    before = precision._get()
    with precision.fast_matmul() as faster:
        assert precision._get() == ("bf16" if faster else before)
        with precision.fast_matmul():
            pass
        assert precision._get() == ("bf16" if faster else before)
    assert precision._get() == before
    with pytest.raises(ZeroDivisionError), precision.fast_matmul():
        raise ZeroDivisionError
    assert precision._get() == before


def test_a_rounding_path_is_not_taken(monkeypatch):
    before = precision._get()
    monkeypatch.setattr(precision, "probe", lambda: 3e-3)
    with precision.fast_matmul() as faster:
        assert faster is False
        assert precision._get() == before


def test_products_stay_as_exact_as_float32(monkeypatch):
    left, right = torch.randn(3, 200, 400), torch.randn(3, 400, 200)
    exact = left.double() @ right.double()
    with precision.fast_matmul():
        error = float((left @ right - exact).norm() / exact.norm())
    assert error < precision.LIMIT


def test_the_probe_sees_bfloat16(monkeypatch):
    """The control: where the other path rounds, the probe must say so."""
    precision.probe.cache_clear()
    real = torch.Tensor.__matmul__
    monkeypatch.setattr(
        torch.Tensor,
        "__matmul__",
        lambda a, b: real(a.bfloat16(), b.bfloat16()).float() if a.dtype == torch.float32 else real(a, b),
    )
    try:
        assert precision.probe() > 100 * precision.LIMIT
    finally:
        precision.probe.cache_clear()


def test_importing_sets_nothing():
    code = (
        "import torch; before = torch.get_float32_matmul_precision(); import featlib.kernels, sys;"
        "assert torch.get_float32_matmul_precision() == before; assert 'triton' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
