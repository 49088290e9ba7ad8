"""Span corruption: undone by a plain loop, made again by a plain loop, and drawn evenly."""

import itertools
from collections import Counter

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from featlib.data.spans import corrupt, gaps

SENTINELS = range(1000, 1100)


def texts(batch, length, seed=0):
    return torch.randint(500, (batch, length), generator=torch.Generator().manual_seed(seed))


def by_a_loop(text, gap, sentinels):
    """Go through the text token by token; a sentinel for each gap, and one to end with."""
    inputs, targets, names = [], [], iter(sentinels)
    for place, token in enumerate(text):
        if gap[place]:
            if place == 0 or not gap[place - 1]:
                name = next(names)
                inputs.append(name)
                targets.append(name)
            targets.append(token)
        else:
            inputs.append(token)
    return inputs, [*targets, next(names)]


def undone(inputs, targets, sentinels):
    """The text again: read the answers, then fill each gap with the one of its name."""
    answers, name = {}, None
    for token in targets:
        if token in sentinels:
            name = token
            answers[name] = []
        else:
            answers[name].append(token)
    text = []
    for token in inputs:
        text += answers[token] if token in sentinels else [token]
    return text


@settings(max_examples=80, deadline=None)
@given(
    length=st.integers(2, 90),
    density=st.floats(0.01, 0.99),
    mean_span=st.floats(1, 9),
    seed=st.integers(0, 2**40),
)
def test_it_can_be_undone(length, density, mean_span, seed):
    """And every text loses the share asked for, in gaps that do not touch, never its first token."""
    tokens = texts(5, length)
    inputs, targets = corrupt(tokens, SENTINELS, seed, density, mean_span)
    for text, source, target in zip(tokens.tolist(), inputs.tolist(), targets.tolist(), strict=True):
        assert undone(source, target, SENTINELS) == text
        used = [token for token in source if token in SENTINELS]
        assert used == list(SENTINELS[: len(used)])
        assert [token for token in target if token in SENTINELS] == list(SENTINELS[: len(used) + 1])
        assert source[0] == text[0]
        assert not any(a in SENTINELS and b in SENTINELS for a, b in itertools.pairwise(source))
        lost = len(target) - len(used) - 1
        assert abs(lost - length * density) <= 0.5 or lost in {1, length - 1}
        assert abs(len(used) - lost / mean_span) <= 0.5 or len(used) in {1, length - lost}


@pytest.mark.parametrize("sentinels", [range(900, 940), range(999, 900, -1), [777, 555, *range(600, 640)]])
def test_it_equals_a_plain_loop(sentinels):
    tokens = texts(20, 128)
    gap = gaps(20, 128, seed=7)
    inputs, targets = corrupt(tokens, sentinels, seed=7)
    assert (inputs.shape, targets.shape) == ((20, 128 - 19 + 6), (20, 19 + 7))  # 15 % of 128, by threes
    for row in range(20):
        expected = by_a_loop(tokens[row].tolist(), gap[row].tolist(), sentinels)
        assert (inputs[row].tolist(), targets[row].tolist()) == expected
    assert inputs.dtype == targets.dtype == tokens.dtype


def test_all_divisions_are_equally_likely():
    """Seven tokens, three lost in two gaps: 3 ways to divide what stays, 2 for what goes."""
    found = Counter(map(tuple, gaps(6000, 7, seed=0, density=3 / 7, mean_span=1.5).int().tolist()))
    expected = {tuple([0] * stay + [1] * go + [0] * (4 - stay) + [1] * (3 - go)) for stay in (1, 2, 3) for go in (1, 2)}
    assert set(found) == expected
    assert chisquare(list(found.values())).pvalue > 1e-4


def test_the_seed_decides():
    tokens = texts(4, 60)
    first, again, other = (corrupt(tokens, SENTINELS, seed) for seed in (3, 3, 4))
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert not torch.equal(*gaps(2, 60, 3))  # texts of a batch have gaps of their own
    state = torch.get_rng_state()
    corrupt(tokens, SENTINELS, 3)
    assert torch.equal(state, torch.get_rng_state())


def test_the_shortest_text():
    inputs, targets = corrupt(torch.tensor([[5, 6]]), (90, 91), 0)
    assert (inputs.tolist(), targets.tolist()) == ([[5, 90]], [[90, 6, 91]])
    inputs, targets = corrupt(texts(0, 20), SENTINELS, 0)
    assert (len(inputs), len(targets)) == (0, 0)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"tokens": texts(2, 1)}, "2 tokens or more"),
        ({"density": 1.0}, "between 0 and 1; got 1.0"),
        ({"density": 0.0}, "between 0 and 1"),
        ({"mean_span": 0.5}, "1 or more; got 0.5"),
        ({"sentinels": range(1000, 1006)}, "6 gaps need 7 sentinels, got 6"),
        ({"sentinels": range(490, 500)}, "a sentinel occurs in a text"),
    ],
)
def test_errors(overrides, message):
    with pytest.raises(ValueError, match=message):
        corrupt(**({"tokens": texts(8, 128), "sentinels": SENTINELS, "seed": 0} | overrides))
