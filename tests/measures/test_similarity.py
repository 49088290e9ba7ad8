"""Dissimilarity matrices, their correlations and linear CKA against scipy and against matrices written out."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr, rankdata, spearmanr

from featlib.measures import dissimilarity, similarity
from featlib.measures.alignment import linear_cka
from featlib.measures.dissimilarity import METRICS, rdm
from featlib.measures.ranks import average_ranks, coarse_ranks
from featlib.measures.reference import reference_cka
from featlib.measures.similarity import COMPARISONS, compare_rdms, rsa


def sample(n, d, seeds=(), seed=0, dtype=torch.float64, offset=2.0):
    """Points with a decaying spectrum, away from the origin."""
    generator = torch.Generator().manual_seed(seed)
    points = torch.randn(*seeds, n, d, generator=generator, dtype=torch.float64)
    return (points * 0.9 ** torch.arange(d) + offset).to(dtype)


def relatives(n, d, seed=0, **kinds):
    """Two representations of the same examples that have something in common."""
    first = sample(n, d, seed=seed, **kinds)
    return first, first.sin() @ torch.randn(d, d + 2).to(first) + sample(n, d + 2, seed=seed + 1, **kinds)


def scipy_rsa(a, b, metric, compare):
    first, second = (pdist(phi.double().numpy(), metric) for phi in (a, b))
    if compare == "cosine":
        return first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    return {"pearson": pearsonr, "spearman": spearmanr}[compare](first, second).statistic


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "d"), [(2, 3), (3, 40), (70, 5), (201, 33)])
def test_rdm_equals_pdist(n, d, metric):
    phi = sample(n, d, seeds=(2, 3))
    ours = rdm(phi, metric)
    assert ours.shape == (2, 3, n * (n - 1) // 2)
    assert ours.dtype == torch.float64
    for points, distances in zip(phi.flatten(0, 1), ours.flatten(0, 1), strict=True):
        np.testing.assert_allclose(distances, pdist(points.numpy(), metric), rtol=0, atol=1e-10)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("d", "offset"), [(2, 0.0), (33, 0.0), (33, 100.0)])
def test_rdm_in_float32_is_as_good_as_its_input(metric, d, offset):
    phi = sample(300, d, dtype=torch.float32, offset=offset)
    expected = pdist(phi.double().numpy(), metric)
    ours = rdm(phi, metric)
    assert ours.dtype == torch.float32
    assert np.abs(ours.numpy() - expected).max() < 1e-6 * expected.max()


@pytest.mark.parametrize("block", [1, 1000, 2**30])
@pytest.mark.parametrize("rows", [1, 7])
def test_blocks_of_any_size_give_the_same(monkeypatch, block, rows):
    phi = sample(50, 6, seeds=(5,))
    whole = rdm(phi)
    monkeypatch.setitem(dissimilarity.BLOCK, "cpu", block)
    monkeypatch.setattr(dissimilarity, "ROWS", rows)
    torch.testing.assert_close(rdm(phi), whole, rtol=1e-12, atol=1e-12)


def test_the_two_ways_to_fill_the_vector_agree(monkeypatch):
    phi = sample(150, 6, seeds=(2,))
    by_row = rdm(phi)
    monkeypatch.setattr(dissimilarity, "_fill_by_row", dissimilarity._fill_by_mask)
    assert torch.equal(rdm(phi), by_row)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clusters", [2, 100])
def test_close_pairs_keep_their_digits(clusters, dtype):
    """Tight clusters far apart, and doubles: the product alone is off by 1e-4 of a distance."""
    centres = 30 * torch.randn(clusters, 20, generator=torch.Generator().manual_seed(3))
    phi = (centres.repeat(200 // clusters, 1) + 1e-3 * sample(200, 20, offset=0.0)).to(dtype)
    phi[-3:] = phi[0]
    expected = pdist(phi.double().numpy())
    ours = rdm(phi).numpy()
    assert (ours[expected == 0] == 0).all()
    assert (expected == 0).sum() == 6
    np.testing.assert_allclose(ours, expected, rtol=1e-5 if dtype == torch.float32 else 1e-6)


def test_one_far_example_does_not_cost_the_others_their_digits():
    phi = sample(200, 20, dtype=torch.float32)
    phi[0] += 3e4
    expected, ours = pdist(phi[1:].double().numpy(), "sqeuclidean"), rdm(phi, "sqeuclidean")[199:]
    assert np.abs(ours.numpy() - expected).max() < 1e-6 * expected.max()


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(("n", "d"), [(4, 30), (90, 8)])
def test_rsa_equals_scipy(n, d, metric, compare):
    a, b = relatives(n, d)
    assert float(rsa(a, b, metric, compare)) == pytest.approx(scipy_rsa(a, b, metric, compare), abs=1e-10)


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("offset", [0.0, 50.0])
def test_rsa_in_float32_and_with_binned_ranks(metric, compare, offset):
    """Large enough for float32 products and for ranks by bins; far from the origin cosines are all nearly 1."""
    a, b = relatives(800, 100, dtype=torch.float32, offset=offset)
    ours = rsa(a, b, metric, compare)
    assert ours.dtype == torch.float32
    assert 800 * 799 // 2 > similarity.PAIRS
    assert float(rsa(a, b, metric, compare)) == pytest.approx(scipy_rsa(a, b, metric, compare), abs=1e-6)


def test_rsa_of_wide_representations_in_float32():
    a, b = relatives(60, 3000, dtype=torch.float32)
    for metric in ("sqeuclidean", "correlation"):
        assert float(rsa(a, b, metric)) == pytest.approx(scipy_rsa(a, b, metric, "pearson"), abs=1e-6)


def test_ties_share_their_ranks():
    """Points on a grid have many equal distances."""
    for dtype in (torch.float32, torch.float64):
        a, b = (sample(40, 3, seed=seed, dtype=dtype).round() / 4 for seed in (0, 1))
        for metric in ("euclidean", "sqeuclidean"):
            ours = rsa(a, b, metric, "spearman").double()
            assert float(ours) == pytest.approx(scipy_rsa(a, b, metric, "spearman"), abs=1e-7)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(1, 60), levels=st.integers(1, 60), seed=st.integers(0, 999))
def test_average_ranks_equal_scipy(n, levels, seed):
    values = torch.randint(levels, (2, 3, n), generator=torch.Generator().manual_seed(seed)).double()
    np.testing.assert_array_equal(average_ranks(values), rankdata(values.numpy(), axis=-1))


SHAPES = {
    "normal": lambda x: x,
    "uniform": torch.special.ndtr,
    "skewed": lambda x: x.exp(),
    "two humps": lambda x: 0.3 * x + x.sign(),
    "few values": lambda x: x.mul(3).round(),
    "an outlier": lambda x: torch.cat([x[:-1], torch.tensor([1e6])]),
    "constant but one": lambda x: torch.cat([0 * x[:-1], torch.tensor([1.0])]),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_ranks_by_bins_are_off_by_less_than_a_millionth(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    pairs = similarity.PAIRS + 17
    first = SHAPES[shape](torch.randn(pairs, generator=generator)).to(dtype)
    for noise in (0.0, 0.1, 3.0):
        second = first + noise * first.std() * torch.randn(pairs, generator=generator).to(dtype)
        expected = spearmanr(first.numpy(), second.numpy()).statistic
        assert float(compare_rdms(first, second, "spearman").double()) == pytest.approx(expected, abs=1e-6)


def test_bins_are_left_where_they_would_lose_too_much():
    smooth = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    ranks, lost = coarse_ranks(smooth)
    assert lost < similarity.LOST
    exact = average_ranks(smooth)
    assert float((ranks - exact + exact.mean()).square().mean() / exact.var()) == pytest.approx(lost, rel=0.02)
    assert coarse_ranks(SHAPES["an outlier"](smooth))[1] > similarity.LOST
    assert coarse_ranks(torch.ones(50))[1] == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), n=st.integers(4, 30), d=st.integers(2, 9), compare=st.sampled_from(COMPARISONS))
def test_rotation_scale_offset_and_the_same_order_of_examples_do_not_matter(seed, n, d, compare):
    a, b = relatives(n, d, seed=seed)
    rotation = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))[0]
    order = torch.randperm(n)
    for metric in ("euclidean", "sqeuclidean"):
        assert float(rsa(a, a, metric, compare)) == pytest.approx(1, abs=1e-9)
        before, after = rsa(a, b, metric, compare), rsa(3 * (a @ rotation + 1)[order], b[order], metric, compare)
        # rotating a tie may break it
        torch.testing.assert_close(before, after, rtol=0, atol=1e-8 if compare != "spearman" else 1e-3)
        torch.testing.assert_close(before, rsa(b, a, metric, compare))
    assert float(linear_cka(a, a)) == pytest.approx(1)
    torch.testing.assert_close(linear_cka(a, b), linear_cka(3 * (a @ rotation + 1)[order], b[order]))


@pytest.mark.parametrize("compare", COMPARISONS)
@pytest.mark.parametrize("metric", ["euclidean", "correlation"])
def test_all_seeds_against_all(metric, compare):
    a, b = sample(20, 5, seeds=(3,)), sample(20, 7, seeds=(2,), seed=1)
    table = rsa(a[:, None], b[None], metric, compare)
    assert table.shape == (3, 2)
    for i in range(3):
        for j in range(2):
            torch.testing.assert_close(table[i, j], rsa(a[i], b[j], metric, compare))
    torch.testing.assert_close(rsa(a[1], b, metric, compare), table[1])
    torch.testing.assert_close(linear_cka(a[:, None], b[None])[2, 1], linear_cka(a[2], b[1]))


def test_what_does_not_vary_has_no_correlation():
    simplex, other = torch.eye(6), sample(6, 3)
    for compare in ("pearson", "spearman"):
        for metric in ("sqeuclidean", "euclidean"):
            assert rsa(torch.zeros(6, 3), other, metric, compare).isnan()
            assert rsa(simplex.double() * 8, other, metric, "pearson").isnan()
    assert rsa(simplex.double(), simplex, "sqeuclidean", "cosine") == 1
    assert linear_cka(torch.ones(6, 3), other).isnan()


@pytest.mark.parametrize("debiased", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("n", "d"), [(5, 3), (400, 200), (40, 2500)])
def test_cka_equals_the_matrices_written_out(n, d, dtype, debiased):
    a, b = relatives(n, d, dtype=dtype, offset=0.0)
    ours = linear_cka(a, b, debiased)
    assert ours.dtype == dtype
    expected = float(reference_cka(a, b, debiased))
    assert float(ours) == pytest.approx(expected, abs=1e-10 if dtype == torch.float64 else 1e-6)


def test_debiased_cka_tells_independent_representations():
    a, b = torch.randn(2, 100, 400, generator=torch.Generator().manual_seed(0))
    assert float(linear_cka(a, b)) > 0.7
    assert abs(float(linear_cka(a, b, debiased=True))) < 0.1


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named():
    a, b = relatives(10, 4)
    flat, zero = a.clone(), a.clone()
    flat[3], zero[7], nan = 0.1, 0.0, a / torch.zeros(4)
    for arguments, error, says in [
        ((a, b[:9]), ValueError, "10 examples cannot be compared with 9"),
        ((a[:2], b[:2]), ValueError, "the same 3 or more"),
        ((a, b, "manhattan"), ValueError, "metric must be one of euclidean"),
        ((a, b, "euclidean", "kendall"), ValueError, "compare must be one of pearson"),
        ((flat, b, "correlation"), ValueError, "example 3 is constant: it has no correlation"),
        ((b, zero, "cosine"), ValueError, "example 7 is zero"),
        ((a[:, :1], b, "correlation"), ValueError, "example 0 is constant"),
        ((a, nan), ValueError, "phi holds NaN"),
        ((a.long(), b), TypeError, "convert with .float()"),
    ]:
        with pytest.raises(error, match=says):
            rsa(*arguments)
    with pytest.raises(ValueError, match="the debiased form needs 4"):
        linear_cka(a[:3], b[:3], debiased=True)
    with pytest.raises(ValueError, match="3 pairs cannot be compared with 6"):
        compare_rdms(torch.zeros(3), torch.zeros(6))
    with pytest.raises(ValueError, match=r"the second matrix of seed\(s\) \[1\] holds NaN"):
        compare_rdms(torch.rand(2, 3), torch.tensor([[1.0, 2, 3], [1, float("nan"), 2]]))
