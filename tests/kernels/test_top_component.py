"""The first component against full decompositions by numpy and scikit-learn, in both forms and on both paths."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from featlib.kernels import top_component
from featlib.kernels.top_component.gram import gram_eigh, gram_power
from featlib.kernels.top_component.lanczos import lanczos
from featlib.kernels.top_component.reference import top_component_reference

SHAPES = [(1280, 7, 7), (320, 7, 7), (112, 14, 14), (40, 28, 28), (3, 5, 11), (1, 6, 6), (17, 1, 1), (5, 13)]
PATHS = ["eigh", "power", "lanczos", "auto"]


def random_maps(shape, batch=3, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, *shape, generator=generator, dtype=dtype) ** 2


def relative(ours, theirs):
    return float((ours.double() - theirs).norm() / theirs.norm())


def numpy_scores(image):
    """Independent restatement: numpy's full SVD of positions x channels, no sign rule."""
    positions = image.double().flatten(1).T.numpy()
    left, sigma, _ = np.linalg.svd(positions, full_matrices=True)
    return sigma[0] * left[:, 0], sigma[0]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", SHAPES)
def test_equals_numpy_up_to_sign(shape, path):
    maps = random_maps(shape)
    scores, sigma = top_component(maps, method=path)
    for image, ours, value in zip(maps, scores, sigma, strict=True):
        theirs, largest = numpy_scores(image)
        ours = ours.double().flatten().numpy()
        theirs = theirs * np.sign(theirs @ ours)
        assert np.linalg.norm(ours - theirs) <= 1e-5 * np.linalg.norm(theirs)
        assert value == pytest.approx(largest, rel=1e-5)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", [(32, 7, 7), (5, 8, 8), (320, 9, 9)])
def test_centred_form_equals_pca(shape, path):
    maps = random_maps(shape, seed=3)
    scores, _ = top_component(maps, centre=True, method=path)
    for image, ours in zip(maps, scores, strict=True):
        theirs = PCA(1, svd_solver="full").fit_transform(image.double().flatten(1).T.numpy())[:, 0]
        ours = ours.double().flatten().numpy()
        theirs = theirs * np.sign(theirs @ ours)
        assert np.linalg.norm(ours - theirs) <= 2e-4 * np.linalg.norm(theirs)


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_equals_reference_with_its_sign(centre, dtype):
    maps = random_maps((40, 6, 5), seed=1).to(dtype)
    scores, sigma = top_component(maps, centre=centre)
    expected, expected_sigma = top_component_reference(maps, centre=centre)
    tolerance = {torch.float64: 1e-10, torch.float32: 1e-4, torch.bfloat16: 6e-3}[dtype]
    assert scores.dtype == sigma.dtype == dtype
    assert relative(scores, expected) < tolerance
    assert relative(sigma, expected_sigma) < tolerance


def test_non_negative_maps_give_non_negative_scores():
    scores, _ = top_component(random_maps((64, 7, 7), batch=20))
    assert (scores >= -1e-6).all()


def test_signed_maps_sum_to_a_positive_score():
    maps = torch.randn(30, 20, 5, 5, generator=torch.Generator().manual_seed(0))
    scores, _ = top_component(maps)
    flipped, _ = top_component(-maps)
    assert (scores.sum((1, 2)) > 0).all()
    torch.testing.assert_close(scores, flipped, rtol=1e-3, atol=1e-3)


def test_centred_scores_rise_with_the_mean_activation():
    maps = random_maps((64, 7, 7), batch=20)
    scores, _ = top_component(maps, centre=True)
    assert ((scores * maps.mean(1)).sum((1, 2)) > 0).all()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("shape", [(6, 4, 4), (40, 3, 3)])
def test_rank_one_and_zero_images(shape, path):
    spatial = torch.rand(shape[1:]) + 0.1
    maps = torch.stack([torch.rand(shape[0], 1, 1) * spatial, torch.zeros(shape)])
    scores, sigma = top_component(maps, method=path)
    assert torch.corrcoef(torch.stack([scores[0].flatten(), spatial.flatten()]))[0, 1] > 0.999999
    assert (scores[1] == 0).all()
    assert sigma[1] == 0


@pytest.mark.parametrize("shape", [(0, 4, 3, 3), (2, 0, 3, 3), (2, 4, 0, 3)])
def test_empty_inputs_keep_their_shape(shape):
    scores, sigma = top_component(torch.zeros(shape))
    assert scores.shape == (shape[0], *shape[2:])
    assert sigma.shape == (shape[0],)
    assert (scores == 0).all()


def test_strided_input_equals_contiguous():
    maps = random_maps((24, 10, 10)).permute(0, 1, 3, 2)[:, ::2, 1::2]
    assert not maps.is_contiguous()
    torch.testing.assert_close(top_component(maps)[0], top_component(maps.contiguous())[0])


def test_power_falls_back_where_the_gap_is_tiny():
    left, _ = torch.linalg.qr(torch.randn(70, 70, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    values = torch.linspace(1.0, 0.1, 70, dtype=torch.float64)
    values[1] = 0.9999
    rows = (left * values) @ left.T
    exact, _ = gram_eigh(rows[None])
    for path in (gram_power, lanczos):
        found, _ = path(rows[None])
        assert abs(float(torch.nn.functional.cosine_similarity(found[0], exact[0]))) > 1 - 1e-9


def test_power_is_not_trapped_by_an_orthogonal_row_sum():
    """The row sum of the Gram matrix is exactly orthogonal to the answer."""
    first, second = torch.tensor([1.0, -1.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
    rows = 3 * torch.outer(first, first) + torch.outer(second, second)
    _, sigma = gram_power(rows[None].double())
    assert float(sigma) == pytest.approx(6.0)


@pytest.fixture
def no_eigensolver(monkeypatch):
    def refuse(*_):
        raise AssertionError("fell back to the eigensolver")

    monkeypatch.setattr(torch.linalg, "eigh", refuse)


def with_values(values, size, dtype, seed=0):
    """A square map with these singular values, and its first direction."""
    generator = torch.Generator().manual_seed(seed)
    left, right = (
        torch.linalg.qr(torch.randn(size, len(values), dtype=torch.float64, generator=generator))[0] for _ in range(2)
    )
    return ((left * torch.tensor(values, dtype=torch.float64)) @ right.T).to(dtype)[None], left[:, 0]


@pytest.mark.usefixtures("no_eigensolver")
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("ratio", [0.0, 0.5, 0.97, 0.9995])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_power_gets_there_by_itself(ratio, scale, dtype):
    rows, first = with_values([1.0, ratio, 0.9 * ratio, 0.1 * ratio], 49, dtype)
    scores, sigma = gram_power(scale * rows)
    assert float(sigma) == pytest.approx(scale, rel=1e-5)
    limit = 1e-9 if ratio < 0.99 or dtype == torch.float64 else 1e-5
    assert 1 - abs(float(scores[0, 0].double() @ first)) / scale < limit + 1e-6 * (dtype == torch.float32)


@pytest.mark.usefixtures("no_eigensolver")
def test_of_two_equal_values_power_takes_a_vector_of_their_plane():
    rows, _ = with_values([1.0, 1.0, 0.2], 30, torch.float64)
    scores, sigma = gram_power(rows)
    u = scores[0, 0] / sigma[0, 0]
    assert float(sigma) == pytest.approx(1, rel=1e-12)
    torch.testing.assert_close(rows[0] @ (rows[0].T @ u), u)


def test_power_treats_images_one_by_one():
    """Zero, rank one, a tie and two values that lie close, in one batch."""
    parts = [
        with_values(values, 20, torch.float32, seed)[0]
        for seed, values in enumerate(([0.0], [2.0], [1.0, 1.0], [1.0, 0.99999]))
    ]
    _, sigma = gram_power(torch.cat(parts))
    torch.testing.assert_close(sigma.flatten(), torch.tensor([0.0, 2.0, 1.0, 1.0]), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("centre", [False, True])
@pytest.mark.parametrize("shape", [(7, 3, 2), (3, 4, 2), (4, 2, 2)])
@pytest.mark.parametrize("path", ["eigh", "power", "lanczos"])
def test_gradients_against_finite_differences(shape, centre, path):
    maps = random_maps(shape, batch=2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: top_component(x, centre=centre, method=path), maps, atol=1e-6)


def test_gradient_equals_the_one_through_the_reference():
    ours = random_maps((30, 5, 5), dtype=torch.float64).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    weight = torch.randn(3, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for function, maps in ((top_component, ours), (top_component_reference, theirs)):
        scores, sigma = function(maps)
        ((scores * weight).sum() + (sigma**2).sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-8, atol=1e-10)


def test_gradient_of_a_zero_image_is_zero():
    maps = torch.zeros(1, 4, 3, 3, requires_grad=True)
    top_component(maps)[0].sum().backward()
    assert (maps.grad == 0).all()


@settings(max_examples=30, deadline=None)
@given(
    channels=st.integers(1, 12),
    side=st.integers(1, 5),
    seed=st.integers(0, 10_000),
    factor=st.floats(0.01, 100),
)
def test_scale_and_channel_order_do_not_matter(channels, side, seed, factor):
    maps = random_maps((channels, side, side), seed=seed, dtype=torch.float64)
    scores, _ = top_component(maps)
    shuffled, _ = top_component(maps[:, torch.randperm(channels)] * factor)
    torch.testing.assert_close(scores * factor, shuffled, rtol=1e-6, atol=1e-9 * factor)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("maps", "error", "says"),
    [
        (torch.zeros(3, 4), ValueError, "add the missing axis"),
        (torch.zeros(1, 2, 3, dtype=torch.int64), TypeError, "floating point"),
        (torch.full((1, 2, 3), float("nan")), ValueError, r"image\(s\) \[0\] hold NaN"),
    ],
)
def test_bad_input_is_named(maps, error, says):
    with pytest.raises(error, match=says):
        top_component(maps)
    with pytest.raises(ValueError, match="method must be"):
        top_component(torch.zeros(1, 2, 3), method="svd")
