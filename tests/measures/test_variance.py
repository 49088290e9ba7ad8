"""Variance explained against scikit-learn's regression of the representation on one-hot columns; its invariants."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

from featlib.measures import groups
from featlib.measures.reference import reference_variance_explained
from featlib.measures.variance import (
    regression_variance_explained,
    unexplained,
    unit_variance_explained,
    unit_variance_of_features,
    variance_explained,
    variance_of_features,
)

VALUES = [[0, 1], [-3, 7, 200], list(range(11))]


def sample(n, d=7, values=(0, 1), seeds=(3,), seed=0, offset=0.0, dtype=torch.float64):
    """Representations that carry a feature of each seed, and noise of another size in each unit."""
    generator = torch.Generator().manual_seed(seed)
    levels = torch.tensor(values)
    index = torch.randint(len(levels), (*seeds, n), generator=generator)
    index[..., : len(levels)] = torch.arange(len(levels))  # no value is missing
    means = torch.linspace(-1, 1, len(levels) * d, dtype=dtype).reshape(len(levels), d).sin()
    noise = torch.randn(*seeds, n, d, generator=generator, dtype=dtype) * torch.linspace(0.2, 2, d, dtype=dtype)
    return means[index] + noise + offset, levels[index]


def scikit(phi, columns, phi_test, columns_test, multioutput="variance_weighted"):
    """One seed."""
    fitted = LinearRegression().fit(columns, phi)
    return r2_score(phi_test, fitted.predict(columns_test), multioutput=multioutput)


def one_hot(codes, values):
    return (codes[:, None] == torch.tensor(values)).double().numpy()


@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("values", VALUES, ids=str)
@pytest.mark.parametrize("multioutput", ["variance_weighted", "raw_values"])
def test_equals_scikit_learn_on_its_own_set_and_on_another(values, multioutput, offset):
    measure = variance_explained if multioutput == "variance_weighted" else unit_variance_explained
    phi, feature = sample(60, values=values, offset=offset)
    other, other_feature = sample(45, values=values, seed=1, offset=offset)
    other = other + 0.3  # a shift between the sets counts as error, on both sides
    for phi_test, feature_test in ((None, None), (other, other_feature)):
        ours = measure(phi, feature, phi_test, feature_test)
        for index in range(3):
            fit = phi[index].numpy(), one_hot(feature[index], values)
            test = fit if phi_test is None else (other[index].numpy(), one_hot(other_feature[index], values))
            np.testing.assert_allclose(ours[index], scikit(*fit, *test, multioutput), rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (2,), (2, 3)])
def test_equals_the_reference_for_any_seeds_and_type(shape, dtype):
    phi, feature = sample(50, values=VALUES[1], seeds=shape, dtype=dtype, offset=100.0)
    test, feature_test = sample(31, values=VALUES[1], seeds=shape, seed=1, dtype=dtype, offset=100.0)
    for extra in ((), (test, feature_test)):
        ours = variance_explained(phi, feature, *extra)
        assert ours.dtype == dtype
        assert ours.shape == shape
        expected = reference_variance_explained(phi, feature, *extra)
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=1e-10 if dtype == torch.float64 else 1e-7)


def test_many_blocks_give_what_one_gives(monkeypatch):
    phi, feature = sample(1000, values=VALUES[2])
    whole = unit_variance_explained(phi, feature)
    monkeypatch.setitem(groups.BLOCK, "cpu", 300)  # 10 rows at a time
    torch.testing.assert_close(unit_variance_explained(phi, feature), whole, rtol=1e-12, atol=1e-12)


def test_one_feature_for_all_seeds_equals_a_copy_for_each():
    phi, feature = sample(40, seeds=(4,))
    shared = feature[0]
    torch.testing.assert_close(
        variance_explained(phi, shared, phi + 0.1, shared),
        variance_explained(phi, shared.expand(4, -1), phi + 0.1, shared.expand(4, -1)),
    )
    torch.testing.assert_close(variance_explained(phi, shared == 1), variance_explained(phi, shared))


@pytest.mark.parametrize("shared", [False, True])
def test_many_features_at_once_equal_one_after_the_other(shared):
    phi, _ = sample(80, seeds=(2,))
    test, _ = sample(60, seeds=(2,), seed=1)
    generator = torch.Generator().manual_seed(5)
    table, table_test = (
        torch.stack([torch.randint(k, shape, generator=generator) - 1 for k in (2, 3, 5)], -1)
        for shape in (((80,), (60,)) if shared else ((2, 80), (2, 60)))
    )
    together = variance_of_features(phi, table, test, table_test)
    units = unit_variance_of_features(phi, table, test, table_test)
    for column in range(3):
        part = table[..., column], test, table_test[..., column]
        torch.testing.assert_close(together[:, column], variance_explained(phi, *part))
        torch.testing.assert_close(units[:, column], unit_variance_explained(phi, *part))


def test_units_that_do_not_vary():
    """Zero, not noise, whatever the constant; on another set a constant unit that is not predicted counts its error."""
    phi, feature = sample(50, seeds=())
    phi[:, 2], phi[:, 5] = 0.1, 1e8 / 3
    units = unit_variance_explained(phi, feature)
    assert units[2] == units[5] == 0
    kept = [0, 1, 3, 4, 6]
    torch.testing.assert_close(variance_explained(phi, feature), variance_explained(phi[:, kept], feature))
    assert variance_explained(torch.full((6, 2), 0.3), torch.tensor([0, 1, 0, 1, 0, 1])) == 0
    stuck, stuck_feature = phi.clone(), feature.clone()
    stuck[:, 3] = 0.7
    units = unit_variance_explained(phi, feature, stuck, stuck_feature)
    assert units[2] == units[3] == units[5] == 0
    torch.testing.assert_close(
        variance_explained(phi, feature, stuck, stuck_feature),
        reference_variance_explained(phi, feature, stuck, feature),
    )


def test_half_precision_and_gradients_are_no_obstacle():
    phi, feature = sample(50, dtype=torch.float32)
    expected = variance_explained(phi.bfloat16().float(), feature)
    ours = variance_explained(phi.bfloat16().requires_grad_(), feature)
    assert ours.dtype == torch.float32
    assert not ours.requires_grad
    torch.testing.assert_close(ours, expected)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999), k=st.integers(1, 6), d=st.integers(1, 9), scale=st.floats(1e-3, 1e3))
def test_rotation_scale_names_of_values_and_order_of_seeds_do_not_matter(seed, k, d, scale):
    phi, feature = sample(40, d, range(k), seed=seed)
    before = variance_explained(phi, feature)
    assert ((before > -1e-12) & (before <= 1)).all()
    rotation = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64))[0]
    names = torch.randperm(1000)[:k] - 500
    order = torch.randperm(3)
    after = variance_explained(scale * (phi @ rotation + 3)[order], names[feature][order])
    torch.testing.assert_close(after, before[order], rtol=1e-8, atol=1e-10)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999), d=st.integers(1, 9))
def test_independent_features_add_up_to_at_most_one(seed, d):
    """All patterns of four bits, equally often: bits, and parities of bits, are exactly independent of each other."""
    bits = torch.cartesian_prod(*[torch.arange(2)] * 4).repeat(3, 1)
    features = torch.stack([bits[:, 0], bits[:, 1] ^ bits[:, 2], bits[:, 3], bits[:, 0] ^ bits[:, 1]], -1)
    phi = torch.randn(2, 48, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rest = unexplained(variance_of_features(phi, features))
    joint = variance_explained(phi, features @ torch.tensor([8, 4, 2, 1]))
    assert (rest >= 1 - joint - 1e-12).all()
    additive = features.double() @ torch.randn(4, d, dtype=torch.float64)
    assert abs(float(unexplained(variance_of_features(additive, features)))) < 1e-12


def test_a_code_made_of_one_feature_is_all_explained_and_noise_is_not():
    feature = torch.arange(300) % 3
    assert float(variance_explained(torch.eye(3)[feature], feature)) == pytest.approx(1)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(16, 2000, 20, generator=generator)
    labels = torch.randint(2, (16, 2000), generator=generator)
    assert variance_explained(noise, labels).max() < 0.002
    held_out = variance_explained(noise[:, :1000], labels[:, :1000], noise[:, 1000:], labels[:, 1000:])
    assert held_out.min() < 0  # scored on another set, fitting noise costs


@pytest.mark.parametrize("shared", [False, True])
def test_regression_equals_scikit_learn(shared):
    phi, _ = sample(70, offset=1e4)
    other, _ = sample(50, seed=1, offset=1e4)
    generator = torch.Generator().manual_seed(2)
    seeds = () if shared else (3,)
    design, design_test = (torch.randn(*seeds, n, 6, dtype=torch.float64, generator=generator) for n in (70, 50))
    for columns in (design, design_test):
        columns[..., 5] = columns[..., 0] - 2 * columns[..., 1]  # they depend on each other
        columns[..., 4] = 1e8 / 3
    phi = phi + 5 * design @ torch.randn(6, 7, dtype=torch.float64, generator=generator)
    for phi_test, test in ((None, None), (other, design_test)):
        ours = regression_variance_explained(phi, design, phi_test, test)
        for index in range(3):
            mine = design if shared else design[index]
            theirs = mine if test is None else test if shared else test[index]
            truth = phi if phi_test is None else other
            expected = scikit(phi[index].numpy(), mine.numpy(), truth[index].numpy(), theirs.numpy())
            np.testing.assert_allclose(ours[index], expected, rtol=1e-9, atol=1e-9)


def test_regression_on_indicators_equals_the_group_means():
    phi, feature = sample(60, values=VALUES[2], dtype=torch.float32)
    columns = torch.nn.functional.one_hot(feature).float()
    torch.testing.assert_close(regression_variance_explained(phi, columns), variance_explained(phi, feature))
    assert float(regression_variance_explained(torch.ones(5, 2), torch.rand(5, 1))) == 0


def test_no_seeds_give_no_numbers():
    assert variance_explained(torch.zeros(0, 5, 2), torch.tensor([0, 1, 0, 1, 0])).shape == (0,)
    assert unit_variance_explained(torch.zeros(0, 5, 2), torch.zeros(0, 5, dtype=torch.long)).shape == (0, 2)


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named():
    phi, feature = sample(10)
    nan = phi.clone()
    nan[1, 4, 2] = float("nan")
    for arguments, error, says in [
        ((phi, feature.float()), TypeError, "convert with .long()"),
        ((phi.long(), feature), TypeError, "convert with .float()"),
        ((phi, feature[:, :9]), ValueError, r"is there for \(3, 9\) examples, phi for \(3, 10\)"),
        ((phi, feature[:2]), ValueError, "for all seeds or for each"),
        ((phi[0, 0], feature[0, 0]), ValueError, r"must be \(seeds\.\.\., examples, units\)"),
        ((phi[:, :1], feature[:, :1]), ValueError, "2 examples or more"),
        ((phi, torch.arange(10)), ValueError, "10 examples with 10 values"),
        ((nan, feature), ValueError, r"phi of seed\(s\) \[1\] holds NaN"),
        ((nan[1], feature[1]), ValueError, "phi holds NaN"),
        ((phi, feature, nan, feature), ValueError, r"phi_test of seed\(s\) \[1\] holds NaN"),
        ((phi, feature, phi), ValueError, "give both phi_test and the feature there"),
        ((phi, feature, None, feature), ValueError, "or neither"),
        ((phi, feature, phi[:2], feature[:2]), ValueError, "the seeds and units of phi"),
        ((phi, feature, phi[..., :3], feature), ValueError, "the seeds and units of phi"),
        ((phi, feature, phi, feature + 1), ValueError, "feature 0 is 2 somewhere in the test set"),
        ((phi, feature * torch.tensor([[1], [1], [0]]), phi, feature), ValueError, "a seed's test set has a value"),
    ]:  # fmt: skip
        with pytest.raises(error, match=says):
            variance_explained(*arguments)
    with pytest.raises(ValueError, match="3 columns in the test set, 2 to fit"):
        variance_of_features(phi, feature[..., None].expand(-1, -1, 2), phi, feature[..., None].expand(-1, -1, 3))
    with pytest.raises(ValueError, match="10 examples cannot fit 10 columns"):
        regression_variance_explained(phi, torch.zeros(10, 10))
    with pytest.raises(ValueError, match=r"design of seed\(s\) \[1\] holds NaN"):
        regression_variance_explained(phi, nan)
    with pytest.raises(ValueError, match="add the missing axis"):
        regression_variance_explained(phi, torch.zeros(10))
