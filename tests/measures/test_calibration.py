"""Calibration against a plain loop and scikit-learn's curve; what lies on an edge; what are no probabilities."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from featlib.measures import expected_calibration_error, reliability


def sample(n=400, classes=5, seed=0, sharpness=2.0, dtype=torch.float64):
    """Probabilities of a network that is a little too sure of itself, and labels."""
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, classes, generator=generator, dtype=dtype)
    labels = torch.distributions.Categorical(logits=logits).sample() if n else torch.zeros(0, dtype=torch.long)
    return (sharpness * logits).softmax(-1), labels


def with_a_loop(probabilities, labels, bins):
    total = 0.0
    for index in range(bins):
        low, high = index / bins, (index + 1) / bins
        confidences, hits = [], []
        for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
            top = max(row)
            if low < top <= high or (top == 0 and index == 0):
                confidences.append(top)
                hits.append(row.index(top) == label)
        if hits:
            gap = abs(sum(hits) / len(hits) - sum(confidences) / len(confidences))
            total += len(hits) / len(labels) * gap
    return total


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), bins=st.integers(1, 20), classes=st.integers(1, 6), n=st.integers(1, 60))
def test_equals_a_plain_loop(seed, bins, classes, n):
    torch.manual_seed(seed)
    probabilities, labels = sample(n, classes, seed)
    ours = expected_calibration_error(probabilities, labels, bins)
    assert float(ours) == pytest.approx(with_a_loop(probabilities, labels, bins), abs=1e-12)
    assert 0 <= float(ours) <= 1


@pytest.mark.parametrize("bins", [1, 10, 15])
def test_equals_scikit_learns_curve(bins):
    torch.manual_seed(0)
    probabilities, labels = sample()
    found = reliability(probabilities, labels, bins)
    confidence, top = probabilities.max(-1)
    hits = (top == labels).numpy()
    true, said = calibration_curve(hits, confidence.numpy(), n_bins=bins, strategy="uniform")
    full = found.count > 0
    np.testing.assert_allclose(found.accuracy[full], true, rtol=1e-12)
    np.testing.assert_allclose(found.confidence[full], said, rtol=1e-12)
    error = (found.count[full].numpy() / len(labels) * abs(true - said)).sum()
    assert float(expected_calibration_error(probabilities, labels, bins)) == pytest.approx(error, rel=1e-12)
    assert error > 0.05  # a network that is too sure


def test_what_lies_on_an_edge_belongs_below():
    """Confidences that binary fractions hold exactly, four bins."""
    tops = [0.25, 0.5, 0.5, 0.75, 1.0, 1.0]
    probabilities = torch.tensor([[top, *[(1 - top) / 3] * 3] for top in tops], dtype=torch.float64)
    probabilities[0] = 0.25  # the top of four equal classes
    found = reliability(probabilities, torch.zeros(6, dtype=torch.long), bins=4)
    assert found.count.tolist() == [1, 2, 1, 2]
    assert found.edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert found.confidence.tolist() == [0.25, 0.5, 0.75, 1]
    assert found.accuracy.tolist() == [1, 1, 1, 1]
    assert float(found.error) == pytest.approx((0.75 + 2 * 0.5 + 0.25 + 0) / 6)


def test_sure_and_right_is_zero_sure_and_wrong_is_one():
    labels = torch.tensor([0, 2, 1])
    sure = torch.eye(3)[labels]
    assert float(expected_calibration_error(sure, labels)) == 0
    assert float(expected_calibration_error(sure, (labels + 1) % 3)) == 1
    assert reliability(sure, labels).count.tolist() == [0] * 14 + [3]  # probabilities of exactly 0 and 1


def test_empty_bins_do_not_count():
    probabilities = torch.tensor([[0.9, 0.1], [0.3, 0.7]], dtype=torch.float64)
    found = reliability(probabilities, torch.tensor([0, 0]), bins=10)
    assert found.count.tolist() == [0, 0, 0, 0, 0, 0, 1, 0, 1, 0]
    assert [math.isnan(value) for value in found.accuracy.tolist()] == [count == 0 for count in found.count.tolist()]
    assert float(found.error) == pytest.approx(0.5 * 0.7 + 0.5 * 0.1)


def test_a_single_class_is_always_right():
    assert float(expected_calibration_error(torch.ones(4, 1), torch.zeros(4, dtype=torch.long))) == 0
    probabilities, _ = sample(50)
    found = expected_calibration_error(probabilities, torch.full((50,), 3))  # all labels of one class
    assert float(found) == pytest.approx(with_a_loop(probabilities, torch.full((50,), 3), 15))


def test_seeds_are_measured_one_by_one():
    torch.manual_seed(0)
    pairs = [sample(seed=seed, sharpness=1.0 + seed) for seed in range(4)]
    probabilities, labels = (torch.stack(part).unflatten(0, (2, 2)) for part in zip(*pairs, strict=True))
    together = expected_calibration_error(probabilities, labels)
    alone = torch.stack([expected_calibration_error(*pair) for pair in pairs])
    torch.testing.assert_close(together.flatten(), alone)
    shared = expected_calibration_error(probabilities, labels[0, 0])
    torch.testing.assert_close(shared[1, 1], expected_calibration_error(pairs[3][0], pairs[0][1]))


def test_a_calibrated_network_comes_close_to_zero_with_many_examples():
    torch.manual_seed(0)
    few, many = (float(expected_calibration_error(*sample(n, sharpness=1.0))) for n in (100, 100_000))
    assert many < 0.005 < few


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_rounding_of_low_precision_is_let_through(dtype):
    torch.manual_seed(0)
    probabilities, labels = sample(200, 1000)
    found = expected_calibration_error(probabilities.to(dtype), labels)
    assert float(found) == pytest.approx(float(expected_calibration_error(probabilities, labels)), abs=0.01)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999))
def test_order_of_examples_and_names_of_classes_do_not_matter(seed):
    torch.manual_seed(seed)
    probabilities, labels = sample(60, 4, seed)
    before = expected_calibration_error(probabilities, labels)
    rows, names = torch.randperm(60), torch.randperm(4)
    after = expected_calibration_error(probabilities[rows][:, names], names.argsort()[labels[rows]])
    torch.testing.assert_close(after, before)


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named():
    probabilities, labels = sample(10, 3)
    for arguments, says in [
        ((probabilities.log(), labels), r"softmax\(-1\) first"),
        ((probabilities * 1.01, labels), "sum to one"),
        ((probabilities * float("nan"), labels), "sum to one"),
        ((torch.tensor([[1.5, -0.5]]), torch.tensor([0])), "sum to one"),
        ((probabilities, labels[:9]), r"\(9,\) labels do not fit probabilities \(10, 3\)"),
        ((probabilities, labels[None]), "do not fit"),
        ((probabilities, labels + 3), r"labels must lie in 0\.\.2"),
        ((probabilities, labels - 3), r"labels must lie in 0\.\.2"),
        ((probabilities[0], labels), "must be .seeds"),
        ((probabilities[:0], labels[:0]), "must be .seeds"),
        ((probabilities, labels, 0), "bins must be positive"),
    ]:
        with pytest.raises(ValueError, match=says):
            expected_calibration_error(*arguments)
