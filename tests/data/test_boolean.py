"""Features on declared bits: against truth tables written by hand, independent, from a stream for each seed."""

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from featlib.data.boolean import FEATURES, Feature, Tasks, coins, feature, words

BY_HAND = {
    "lin": lambda a: a,
    "and_2": lambda a, b: a and b,
    "and_3": lambda a, b, c: a and b and c,
    "majority_3": lambda a, b, c: (a and b) or (b and c) or (a and c),
    "majority_5": lambda *bits: sorted(bits)[2],
    "xor": lambda a, b: a != b,
    "parity_3": lambda a, b, c: a != (b != c),
    "parity_4": lambda a, b, c, d: (a != b) != (c != d),
    "parity_5": lambda *bits: bits.count(True) in {1, 3, 5},
    "xor_of_xors": lambda a, b, c, d: (a != b) != (c != d),
}


@pytest.mark.parametrize("name", FEATURES)
def test_truth_tables(name):
    table = list(itertools.product([False, True], repeat=FEATURES[name].bits))
    wanted = [bool(BY_HAND[name](*row)) for row in table]
    assert feature(name, torch.tensor(table)).tolist() == wanted
    assert feature(name, torch.tensor(table).long()).tolist() == wanted
    assert FEATURES[name].prevalence == sum(wanted) / len(wanted)


def test_only_the_declared_bits_are_read():
    for name, known in FEATURES.items():
        bits = coins(torch.tensor([0]), 0, 64, 8)[0]
        other = bits.clone()
        other[:, known.bits :] = ~other[:, known.bits :]
        assert torch.equal(feature(name, bits), feature(name, other)), name
        flipped = bits.clone()
        flipped[:, known.bits - 1] = ~flipped[:, known.bits - 1]
        assert not torch.equal(feature(name, bits), feature(name, flipped)), name


def test_leading_axes_are_kept():
    bits = coins(torch.arange(3), 0, 5, 4)
    assert feature("xor", bits).shape == (3, 5)
    assert torch.equal(feature("xor", bits)[2], feature("xor", bits[2]))


def splitmix(state):
    """The published recurrence in Python's unbounded integers."""
    while True:
        state = (state + 0x9E3779B97F4A7C15) % 2**64
        mixed = state
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB % 2**64
        yield mixed ^ (mixed >> 31)


@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 50))
def test_words_are_splitmix64(seed, start):
    theirs = list(itertools.islice(splitmix(seed % 2**64), start + 4))[start:]
    ours = words(torch.tensor([seed]), start, 4)[0]
    assert [value % 2**64 for value in ours.tolist()] == theirs


def test_the_published_first_number():
    assert words(torch.tensor([1234567]), 0, 1).item() % 2**64 == 6457827717110365317


def test_a_seed_gets_the_same_coins_in_any_company():
    alone, among = coins(torch.tensor([3]), 7, 20, 16), coins(torch.tensor([9, 3, 0]), 7, 20, 16)
    assert torch.equal(alone[0], among[1])
    assert torch.equal(coins(torch.tensor([3]), 0, 27, 16)[0, 7:], alone[0])


def test_streams_of_neighbouring_seeds_do_not_overlap():
    rows = coins(torch.arange(6), 0, 2000, 64).flatten(0, 1).tolist()
    assert len({tuple(row) for row in rows}) == len(rows)


def test_coins_are_fair_and_independent():
    flips = coins(torch.arange(4), 0, 20_000, 16).flatten(0, 1)
    n = len(flips)
    assert stats.chisquare(flips.sum(0), [n / 2] * 16, sum_check=False).pvalue > 1e-3
    signs = 2 * flips.double() - 1
    correlation = (signs.T @ signs / n - torch.eye(16)).abs().max()
    assert correlation < 5 / n**0.5
    between = (2 * coins(torch.arange(4), 0, 20_000, 16).double() - 1).flatten(1)
    assert ((between @ between.T / between.shape[1]) - torch.eye(4)).abs().max() < 5 / between.shape[1] ** 0.5


def test_features_of_a_task_are_independent_and_balanced():
    tasks = Tasks([("lin", "xor", "parity_3"), ("and_2", "majority_3", "parity_4")], seeds=range(4))
    _, labels = tasks.batch(0, 10_000)
    for task in tasks.tasks:
        mine = labels[tasks.rows(task)].flatten(0, 1)
        for place, name in enumerate(task):
            hits = int(mine[:, place].sum())
            assert stats.binomtest(hits, len(mine), FEATURES[name].prevalence).pvalue > 1e-3
        for first, second in itertools.combinations(range(3), 2):
            table = [[int(((mine[:, first] == a) & (mine[:, second] == b)).sum()) for a in (0, 1)] for b in (0, 1)]
            assert stats.chi2_contingency(table).pvalue > 1e-3


def test_labels_follow_from_the_inputs():
    tasks = Tasks([("lin", "xor"), ("parity_3", "and_2")], seeds=[5, 2], bits=6)
    x, y = tasks.batch(step=3, size=50)
    bits = x > 0
    assert set(x.unique().tolist()) == {-1, 1}
    assert torch.equal(y[0, :, 1] > 0, bits[0, :, 1] ^ bits[0, :, 2])
    assert torch.equal(y[2, :, 0] > 0, bits[2, :, :3].sum(-1) % 2 == 1)
    assert torch.equal(y[2, :, 1] > 0, bits[2, :, 3] & bits[2, :, 4])
    assert torch.equal(x[0], x[2]), "rows of equal seed see the same inputs"
    assert not torch.equal(x[0], x[1])
    assert tasks.row_seeds == [5, 2, 5, 2]


def test_steps_and_held_out_rows_differ():
    tasks = Tasks([("lin",)], seeds=[0], bits=62)
    seen = [tasks.batch(0, 40), tasks.batch(1, 40), tasks.held_out(40), tasks.held_out(40, which=1)]
    rows = {tuple(row) for x, _ in seen for row in x[0].tolist()}
    assert len(rows) == 160


@pytest.mark.parametrize("size", [1, 64, 3000, 2**14 + 1])
def test_steps_come_from_their_place_in_the_streams_in_any_order(size):
    tasks = Tasks([("lin", "xor"), ("and_2", "lin")], seeds=[5, 2], bits=4)
    for step in (7, 0, 1, 2, 130, 1):
        x, y = tasks.batch(step, size)
        bits = coins(torch.tensor([5, 2]), step * size, size, 4)
        assert torch.equal(x > 0, torch.cat([bits, bits]))
        assert torch.equal(y[:2, :, 1] > 0, bits[..., 1] ^ bits[..., 2])
        x.zero_(), y.zero_()  # the caller's own


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: feature("xnor", torch.zeros(1, 2)), "did you mean 'xor'"),
        (lambda: feature("parity_3", torch.zeros(5, 2).long()), "reads 3 bits, got 2"),
        (lambda: feature("xor", torch.tensor([[1, -1]])), "must be 0 or 1"),
        (lambda: coins(torch.tensor([0]), 0, 1, 65), r"1\.\.64"),
        (lambda: Tasks([("lin", "parity_4")], [0], bits=4), "read 5 disjoint bits, there are 4"),
        (lambda: Tasks([("lin",), ("lin", "lin")], [0]), "same number of features"),
        (lambda: Tasks([], [0]), "at least one task"),
        (lambda: Tasks([("lin",)], [1, 1]), "twice"),
        (lambda: Tasks([("lin",)], [0]).rows(("xor",)), "no task"),
    ],
)
def test_what_cannot_be_is_refused(call, message, as_users_run):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_feature_that_is_not_balanced_says_so():
    assert Feature("any", 2, lambda bits: bits.any(-1)).prevalence == 0.75
