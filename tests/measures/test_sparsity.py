"""Density and Hoyer's index against their closed forms."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from featlib.measures.sparsity import density, hoyer


def test_density_counts_units_above_the_threshold():
    shares = torch.tensor([[0.05, 0.1, 0.2, 0.9], [0.0, 0.0, 0.0, 0.11]])
    assert density(shares).tolist() == [0.5, 0.25]
    assert density(shares, threshold=0.0).tolist() == [1.0, 0.25]


@given(st.integers(2, 60), st.integers(1, 60))
def test_equal_loadings_have_a_closed_form(d, k):
    k = min(k, d)
    loadings = torch.zeros(d, dtype=torch.float64)
    loadings[:k] = -3.0
    wanted = (math.sqrt(d) - math.sqrt(k)) / (math.sqrt(d) - 1)
    assert float(hoyer(loadings)) == pytest.approx(wanted)
    assert float(hoyer(7 * loadings.flip(0))) == pytest.approx(wanted)


def test_nothing_stands_out_of_zeros():
    assert hoyer(torch.zeros(3, 5)).tolist() == [0, 0, 0]


def test_too_few_units():
    with pytest.raises(ValueError, match="fewer than 2"):
        hoyer(torch.ones(3, 1))
    with pytest.raises(ValueError, match="fewer than 1"):
        density(torch.ones(3, 0))
