"""Label noise by its counts, random data by its distribution; and that neither company nor order matters."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from featlib.data import noise
from featlib.data.noise import RandomStream, label_noise, random_inputs, random_labels

LABELS = torch.arange(20_000) % 10


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.4, 0.8, 1.0])
@pytest.mark.parametrize("among", ["others", "all"])
def test_shares(rate, among):
    found = label_noise(LABELS, rate, 10, among=among)
    expected = rate if among == "others" else rate * 0.9
    n = len(LABELS)
    assert stats.binomtest(int(found.drawn.sum()), n, rate).pvalue > 1e-3
    assert stats.binomtest(int(found.wrong.sum()), n, expected).pvalue > 1e-3
    assert found.purity == pytest.approx(1 - float((found.labels != LABELS).double().mean()))
    assert torch.equal(found.clean, LABELS)
    assert torch.equal(found.labels[~found.drawn], LABELS[~found.drawn])
    if among == "others":
        assert torch.equal(found.wrong, found.drawn)


@pytest.mark.parametrize("among", ["others", "all"])
def test_all_candidates_are_equally_likely(among):
    found = label_noise(LABELS, 0.5, 10, seed=1, among=among)
    moved = ((found.labels - LABELS) % 10)[found.drawn].bincount(minlength=10)
    assert stats.chisquare(moved[1:] if among == "others" else moved).pvalue > 1e-3
    assert (moved[0] == 0) == (among == "others")
    for label in range(10):
        mine = found.labels[found.drawn & (LABELS == label)].bincount(minlength=10)
        mine = torch.cat([mine[:label], mine[label + 1 :]]) if among == "others" else mine
        assert stats.chisquare(mine).pvalue > 1e-4


@settings(max_examples=40, deadline=None)
@given(rate=st.floats(0, 1), n=st.integers(0, 300), seed=st.integers(0, 999), classes=st.integers(2, 12))
def test_the_exact_share(rate, n, seed, classes):
    labels = torch.arange(n) % classes
    found = label_noise(labels, rate, classes, seed, exact=True)
    assert int(found.drawn.sum()) == int(found.wrong.sum()) == round(rate * n)
    assert ((found.labels >= 0) & (found.labels < classes)).all()


@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize("among", ["others", "all"])
def test_higher_rates_keep_the_noise_of_lower_ones(among, exact):
    levels = [label_noise(LABELS, rate, 10, 3, among, exact) for rate in (0.1, 0.4, 0.7, 1.0)]
    for less, more in itertools.pairwise(levels):
        assert bool(more.drawn[less.drawn].all())
        assert torch.equal(more.labels[less.drawn], less.labels[less.drawn])


def test_noise_on_everything_among_all_is_random_labels():
    assert torch.equal(label_noise(LABELS, 1.0, 10, 7, "all").labels, random_labels(len(LABELS), 10, 7))


def test_an_example_gets_the_same_in_any_company():
    few, many = (label_noise(LABELS[:n], 0.4, 10, 2) for n in (100, 5000))
    assert torch.equal(few.labels, many.labels[:100])
    assert not torch.equal(few.labels, label_noise(LABELS[:100], 0.4, 10, 3).labels)
    assert torch.equal(random_labels(50, 7, 1), random_labels(90, 7, 1)[:50])
    assert torch.equal(random_inputs(3, (2, 5), 1), random_inputs(9, (2, 5), 1)[:3])


def test_the_labels_given_are_left_alone():
    labels = LABELS.clone()
    found = label_noise(labels, 0.5, 10)
    assert torch.equal(labels, LABELS)
    labels.zero_()
    assert torch.equal(found.clean, LABELS)


@pytest.mark.parametrize("classes", [1, 2, 3, 10, 1000])
def test_random_labels_are_uniform_and_know_nothing(classes):
    labels = random_labels(20_000, classes, seed=1)
    assert labels.min() == 0
    assert labels.max() == classes - 1
    if classes > 1:
        assert stats.chisquare(labels.bincount(minlength=classes)).pvalue > 1e-3
        table = torch.zeros(10, classes).index_put((LABELS, labels), torch.ones(20_000), accumulate=True)
        assert stats.chi2_contingency(table.numpy()).pvalue > 1e-3


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.3, 0.25)])
def test_random_inputs_are_normal_and_independent(mean, std):
    inputs = random_inputs(4000, (5, 5), seed=2, mean=mean, std=std)  # an odd number: half a word is left
    assert inputs.shape == (4000, 5, 5)
    flat = ((inputs.double() - mean) / std).reshape(4000, 25)
    assert stats.kstest(flat.flatten().numpy(), "norm").pvalue > 1e-3
    assert stats.kstest(flat.square().sum(1).numpy(), stats.chi2(25).cdf).pvalue > 1e-3
    for values in (flat, flat.square()):
        correlation = torch.corrcoef(values.T) - torch.eye(25)
        assert correlation.abs().max() < 5 / 4000**0.5
        assert stats.pearsonr(values[:-1].flatten(), values[1:].flatten()).pvalue > 1e-3  # one example and the next


def test_tails_reach_far_but_not_to_infinity():
    values = random_inputs(2000, (1000,))
    assert 4.5 < values.abs().max() < 6.7
    assert torch.isfinite(values).all()


def test_the_rarest_word_gives_a_number(monkeypatch):
    monkeypatch.setattr(noise, "words", lambda seeds, start, count: torch.zeros(len(seeds), count, dtype=torch.long))
    assert torch.isfinite(random_inputs(2, (4,))).all()


def test_parts_of_any_size_give_the_same(monkeypatch):
    whole = random_inputs(50, (7, 3), seed=4)
    for chunk in (1, 30, 100):
        monkeypatch.setattr(noise, "CHUNK", chunk)
        assert torch.equal(random_inputs(50, (7, 3), seed=4), whole)


def test_a_stream_depends_on_the_step_alone():
    stream = RandomStream((3, 4), classes=5, seed=6)
    x, y = stream.batch(3, 10)
    assert x.shape == (10, 3, 4)
    everything = stream.batch(0, 40)
    assert torch.equal(x, everything[0][30:])
    assert torch.equal(y, everything[1][30:])
    torch.manual_seed(0)
    again = RandomStream((3, 4), classes=5, seed=6).batch(3, 10)
    assert torch.equal(again[0], x)
    assert torch.equal(again[1], y)


def test_a_stream_never_repeats_and_seeds_do_not_meet():
    batches = [
        draw
        for seed in (0, 1)
        for stream in [RandomStream((6,), 2, seed)]
        for draw in (*(stream.batch(step, 50) for step in range(4)), stream.held_out(50), stream.held_out(50, 1))
    ]
    rows = {tuple(row) for x, _ in batches for row in x.tolist()}
    assert len(rows) == 600
    fixed = {tuple(row) for row in random_inputs(200, (6,), 0).tolist()}
    assert not rows & fixed, "a fixed set of the same seed is other data"


def test_labels_of_a_stream_know_nothing_of_its_inputs():
    x, y = RandomStream((8,), 2, seed=1, mean=1.0, std=2.0).batch(0, 20_000)
    assert stats.binomtest(int(y.sum()), 20_000).pvalue > 1e-3
    for unit in range(8):
        assert stats.ks_2samp(x[y == 0, unit].numpy(), x[y == 1, unit].numpy()).pvalue > 1e-4
    assert float(x.mean()) == pytest.approx(1, abs=0.03)
    assert float(x.std()) == pytest.approx(2, abs=0.03)


def test_the_seeds_of_others_are_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    label_noise(LABELS, 0.3, 10)
    random_inputs(3, (4,))
    RandomStream((4,), 2).batch(0, 5)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: label_noise(LABELS, 40, 10), r"rate must lie in \[0, 1\], got 40"),
        (lambda: label_noise(LABELS, float("nan"), 10), r"rate must lie in \[0, 1\]"),
        (lambda: label_noise(LABELS, 0.4, 9), r"labels must lie in 0\.\.8"),
        (lambda: label_noise(LABELS - 1, 0.4, 10), "give the number of all classes"),
        (lambda: label_noise(LABELS, 0.4, 10, among="pair"), "must be 'others' or 'all', got 'pair'"),
        (lambda: label_noise(LABELS * 0, 0.4, 1), "1 classes leave no label to draw among 'others'"),
        (lambda: random_labels(5, 0), "classes must be positive"),
        (lambda: random_inputs(5, (0, 3)), "shape must have an element"),
        (lambda: random_inputs(5, (3,), std=-1.0), "std not be negative"),
        (lambda: RandomStream((3,), 0).batch(0, 2), "classes must be positive"),
    ],
)
def test_bad_input_is_named(call, says, as_users_run):
    with pytest.raises(ValueError, match=says):
        call()
