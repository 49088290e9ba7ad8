"""What must hold for all samples: no verdict out of nothing, none stronger from noise, none from the order."""

import random

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from featlib.claims import SampleError, Verdict, judge, parse_rule
from featlib.intervals import FEW

V = Verdict
WEAKER = {
    V.SUPPORTED: {V.SUPPORTED, V.DIRECTION_ONLY, V.INCONCLUSIVE},
    V.DIRECTION_ONLY: {V.DIRECTION_ONLY, V.INCONCLUSIVE, V.NOT_REPRODUCED},
    V.NOT_REPRODUCED: {V.NOT_REPRODUCED, V.INCONCLUSIVE},
    V.CONTRADICTED: {V.CONTRADICTED, V.NOT_REPRODUCED, V.INCONCLUSIVE},
    V.INCONCLUSIVE: {V.INCONCLUSIVE},
}
"""A verdict says where the mean can lie; a weaker one is what a longer interval around the same mean can still say."""

numbers = st.floats(-2, 2).map(lambda x: round(x, 4))
samples = st.lists(numbers, min_size=2, max_size=8)
bars = st.floats(-1, 1).map(lambda x: round(x, 3))
confidences = st.sampled_from([0.6, 0.9, 0.95, 0.99])


@st.composite
def mean_rules(draw, interval="t"):
    """A rule about a mean."""
    about = {"confidence": draw(confidences), "no_effect": draw(bars), "interval": interval}
    first, last = sorted((draw(bars), draw(bars)))
    kind = draw(st.sampled_from(["exceeds", "below", "within"]))
    assume(kind != "within" or first < last)
    return parse_rule({kind: [first, last] if kind == "within" else first, **about})


def verdict_of(rule, values):
    """The verdict; samples that are all equal are no case."""
    try:
        return judge(rule, values).verdict
    except SampleError:
        assume(False)


def widen(values, factor):
    mean = sum(values) / len(values)
    return [mean + factor * (value - mean) for value in values]


@settings(deadline=None)
@given(mean_rules(), samples, st.floats(1.0, 100.0))
def test_wider_samples_never_strengthen_a_verdict(rule, values, factor):
    assert verdict_of(rule, widen(values, factor)) in WEAKER[verdict_of(rule, values)]


@settings(max_examples=25, deadline=None)
@given(mean_rules(interval="bca"), st.lists(numbers, min_size=3, max_size=FEW + 5), st.floats(1.0, 10.0))
def test_nor_with_the_bootstrap(rule, values, factor):
    assert verdict_of(rule, widen(values, factor)) in WEAKER[verdict_of(rule, values)]


@settings(deadline=None)
@given(bars, samples, st.floats(1.0, 100.0))
def test_wider_samples_never_bring_an_identity_about(bar, values, factor):
    rule = parse_rule({"at_most": bar})
    if judge(rule, values).verdict is V.CONTRADICTED:
        assert judge(rule, widen(values, factor + 1e-9)).verdict is V.CONTRADICTED


@settings(deadline=None)
@given(samples, st.floats(0.0, 0.9), st.floats(0.01, 1.0), st.floats(1.0, 100.0))
def test_wider_samples_never_strengthen_a_share_above_less_than_the_mean(values, at_least, gap, factor):
    """Beyond the mean they can, and rightly so: there the spread itself is what the claim is about."""
    mean = sum(values) / len(values)
    rule = parse_rule({"share_above": mean - gap, "at_least": at_least})
    assert judge(rule, widen(values, factor)).mean <= judge(rule, values).mean


def test_wider_really_goes_through_the_ladder():
    """The property above is no empty promise: one set of samples walks from supported to inconclusive."""
    rule, values = parse_rule({"exceeds": 0.1}), [0.28, 0.3, 0.32]
    walked = [judge(rule, widen(values, factor)).verdict for factor in (1, 5, 50)]
    assert walked == [V.SUPPORTED, V.DIRECTION_ONLY, V.INCONCLUSIVE]


@settings(deadline=None)
@given(mean_rules(), samples, st.randoms(use_true_random=False))
def test_order_and_names_of_seeds_change_nothing(rule, values, shuffler):
    assume(len(set(values)) > 1)
    check_permuted(rule, values, shuffler)


@pytest.mark.parametrize("rule", [{"at_most": 0.1}, {"share_above": 0.5, "at_least": 0.1}], ids=str)
def test_order_and_names_of_seeds_change_nothing_without_a_mean_either(rule):
    rng = np.random.default_rng(0)
    for place in range(20):
        check_permuted(parse_rule(rule), list(rng.normal(0, 1, 6)), random.Random(place))


@settings(max_examples=15, deadline=None)
@given(mean_rules(interval="bca"), samples, st.randoms(use_true_random=False))
def test_order_and_names_of_seeds_change_nothing_for_the_bootstrap(rule, values, shuffler):
    assume(len(set(values)) > 1)
    check_permuted(rule, values, shuffler)


def check_permuted(rule, values, shuffler):
    """The same judgement, to the last bit, for samples, control and rival that are permuted together."""
    control, rival = [value / 2 for value in values], [value**2 for value in values]
    order = list(range(len(values)))
    shuffler.shuffle(order)

    def permuted(numbers):
        return {f"seed {new}": numbers[old] for new, old in enumerate(order)}

    def listed(numbers):
        return dict(enumerate(numbers))

    straight = judge(rule, listed(values), listed(control), listed(rival))
    assert judge(rule, permuted(values), permuted(control), permuted(rival)) == straight
    backwards = dict(reversed(listed(values).items()))
    assert judge(rule, backwards, listed(control), listed(rival)) == straight


@settings(deadline=None)
@given(mean_rules(), samples)
def test_samples_alone_never_lead_to_a_verdict_of_card_or_calendar(rule, values):
    assert verdict_of(rule, values) not in {V.NOT_TESTABLE, V.NOT_YET_RUN, V.PRECONDITION_FAILED}


@settings(deadline=None)
@given(mean_rules(), samples, st.floats(0.001, 1000))
def test_units_change_nothing(rule, values, factor):
    """Metres or millimetres: samples, bar and null rescaled together keep their verdict."""
    before = judge(rule, values) if len(set(values)) > 1 else assume(False)
    plain = rule.model_dump()
    bars = [end for key in ("exceeds", "below", "within") for end in np.atleast_1d(plain.get(key, []))]
    for bar in (*bars, rule.no_effect):  # a tie may fall to either side by rounding
        assume(min(abs(before.low - bar), abs(before.high - bar)) > 1e-9)
    for key in plain.keys() & {"exceeds", "below", "no_effect"}:
        plain[key] *= factor
    if "within" in plain:
        plain["within"] = [factor * end for end in plain["within"]]
    after = judge(parse_rule(plain), [factor * value for value in values])
    assert after.verdict is before.verdict
    assert after.smallest_visible == pytest.approx(factor * before.smallest_visible)


# Planted false claims -----------------------------------------------------------------------------------------------

PLANTED = 200


def most_false_alarms(rate):
    """The most of :data:`PLANTED` that chance allows once in ten thousand times."""
    return int(stats.binom.ppf(1 - 1e-4, PLANTED, rate))


@pytest.mark.parametrize("n", [2, 3, 5, 10, 25])
@pytest.mark.parametrize("noise", ["normal", "uniform", "laplace"])
@pytest.mark.parametrize(
    "rule",
    [
        {"exceeds": 0.0},
        {"below": 0.0},
        {"exceeds": 0.05, "no_effect": 0.0},
        {"within": [0.0, 10.0], "no_effect": -100},
        {"exceeds": 0.0, "confidence": 0.8},
    ],
    ids=str,
)
def test_planted_false_claims_come_out_unsupported(rule, noise, n):
    """The true mean is 0, at or outside every bar: at most half of alpha (one side) may come out as supported."""
    rng = np.random.default_rng([n, len(noise)])
    parsed = parse_rule(rule)
    draws = getattr(rng, noise)(*((-1, 1) if noise == "uniform" else (0, 1)), (PLANTED, n))
    found = [judge(parsed, row).verdict for row in draws]
    assert found.count(V.SUPPORTED) <= most_false_alarms((1 - parsed.confidence) / 2)
    assert found.count(V.SUPPORTED) + found.count(V.DIRECTION_ONLY) <= most_false_alarms((1 - parsed.confidence) / 2)


@pytest.mark.parametrize("n", [3, 5, 25])
def test_planted_false_claims_come_out_unsupported_by_the_bootstrap(n):
    """BCa is a little short at 25 samples, so its one-sided rate is allowed to be twice what it promises."""
    rng = np.random.default_rng(n)
    parsed = parse_rule({"exceeds": 0.0, "interval": "bca"})
    found = [judge(parsed, row).verdict for row in rng.normal(0, 1, (PLANTED, n))]
    assert found.count(V.SUPPORTED) <= most_false_alarms(0.05)


@pytest.mark.parametrize(("n", "share"), [(5, 0.2), (10, 0.5), (40, 0.8)])
def test_planted_false_shares_come_out_unsupported(n, share):
    rng = np.random.default_rng(n)
    rule = parse_rule({"share_above": 0.0, "at_least": share})
    found = [judge(rule, row).verdict for row in (rng.random((PLANTED, n)) < share).astype(float)]
    assert found.count(V.SUPPORTED) <= most_false_alarms(0.025)


def test_planted_false_identities_come_out_contradicted():
    """A true maximum above the bar: with 200 seeds that each overshoot in half of the cases, one always shows."""
    rng = np.random.default_rng(0)
    rule = parse_rule({"at_most": 0.0})
    assert all(judge(rule, row).verdict is V.CONTRADICTED for row in rng.normal(0, 1, (PLANTED, 200)))


def test_planted_true_claims_come_out_supported():
    """The other side: a rule that never said yes would pass every test above."""
    rng = np.random.default_rng(1)
    rule = parse_rule({"exceeds": 0.0})
    found = [judge(rule, row).verdict for row in rng.normal(3, 1, (PLANTED, 5))]
    assert found.count(V.SUPPORTED) > 0.95 * PLANTED
