"""How often units fire, sorted by hand; the union over a batch against simulated rows."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from featlib.measures import firing_histogram, union_density


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), bins=st.integers(1, 12), tokens=st.integers(1, 20))
def test_histogram_by_hand(seed, bins, tokens):
    fired = torch.randint(tokens + 1, (30,), generator=torch.Generator().manual_seed(seed))
    frequencies = fired.double() / tokens
    found = firing_histogram(frequencies, bins)
    expected = [0] * bins
    for value in frequencies.tolist():
        (place,) = [k for k in range(bins) if found.edges[k] <= value and (value < found.edges[k + 1] or k == bins - 1)]
        expected[place] += 1
    assert found.counts.tolist() == expected
    assert found.dead == int((fired == 0).sum())
    assert found.always == int((fired == tokens).sum())


def test_histogram_with_edges_of_ones_own():
    frequencies = torch.tensor([0.0, 0.005, 0.01, 0.3, 1.0], dtype=torch.float64)
    assert firing_histogram(frequencies, [0, 0.01, 0.1, 1]).counts.tolist() == [2, 1, 2]


@pytest.mark.usefixtures("as_users_run")
def test_bad_histograms_are_named():
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        firing_histogram(torch.tensor([3.0]))
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]"):
        firing_histogram(torch.tensor([float("nan")]))
    with pytest.raises(ValueError, match="rising edges"):
        firing_histogram(torch.tensor([0.5]), [0, 0, 1])
    with pytest.raises(ValueError, match="positive number"):
        firing_histogram(torch.tensor([0.5]), 0)
    with pytest.raises(ValueError, match="leave units out"):
        firing_histogram(torch.tensor([0.5, 0.05]), [0.1, 1])


def test_union_worked_out_by_hand():
    active = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0]]).bool()
    found = union_density(active, torch.tensor([1.0, 0.5, 0.0, 0.0]))
    assert float(found.measured) == 0.5
    assert float(found.by_rows) == 1 - 0.5 * 0.75
    assert float(found.by_mean) == 1 - (1 - 0.375) ** 2
    assert float(found.by_units) == (1 + 0.75) / 4


def test_union_is_the_formula_when_rows_are_independent():
    """Rows of a fixed number of active units each, drawn blindly: the mean over batches is exactly ``by_rows``."""
    random = np.random.default_rng(0)
    sizes = [1, 4, 9, 20]
    active = np.zeros((3000, 4, 40), bool)
    for batch in active:
        for row, size in zip(batch, sizes, strict=True):
            row[random.choice(40, size, replace=False)] = True
    found = union_density(torch.from_numpy(active))
    error = float(found.measured.std()) / 3000**0.5
    assert abs(float(found.measured.mean() - found.by_rows[0])) < 3 * error
    assert float(found.by_rows[0] - found.by_mean[0]) > 10 * error  # rows of unequal density: the other formula is off
    assert found.by_units is None


def test_busy_units_and_alike_rows_make_the_union_smaller():
    random = torch.Generator().manual_seed(0)
    frequencies = torch.linspace(0, 1, 50, dtype=torch.float64) ** 3
    apart = torch.rand(2000, 8, 50, generator=random, dtype=torch.float64) < frequencies
    found = union_density(apart, frequencies)
    error = float(found.measured.std()) / 2000**0.5
    assert abs(float(found.measured.mean() - found.by_units)) < 3 * error
    assert float(found.by_rows.mean() - found.by_units) > 0.1
    alike = apart[:, :1].expand(-1, 8, -1)  # every row the same
    assert float(union_density(alike).measured.mean()) < float(found.measured.mean()) - 0.1


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), rows=st.integers(1, 6), units=st.integers(1, 9))
def test_bounds_of_the_union(seed, rows, units):
    active = torch.rand(3, rows, units, generator=torch.Generator().manual_seed(seed)) < 0.3
    found = union_density(active)
    share = active.double().mean(-1)
    assert (found.measured >= share.amax(-1) - 1e-12).all()
    assert (found.measured <= share.sum(-1) + 1e-12).all()
    assert (found.by_mean <= found.by_rows + 1e-12).all()
    order = torch.randperm(units)
    torch.testing.assert_close(union_density(active[..., order]).measured, found.measured)
    if rows == 1:
        torch.testing.assert_close(found.measured, found.by_rows)


@pytest.mark.usefixtures("as_users_run")
def test_bad_unions_are_named():
    active = torch.ones(2, 3, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"must be \(batches\.\.\., rows, units\)"):
        union_density(active[0])
    with pytest.raises(ValueError, match="with one of each"):
        union_density(active[:0])
    with pytest.raises(ValueError, match="must be 3 numbers"):
        union_density(active, torch.ones(2))
    with pytest.raises(ValueError, match="must be 3 numbers"):
        union_density(active, torch.full((3,), 1.1))
