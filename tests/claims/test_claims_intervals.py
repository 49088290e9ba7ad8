"""The intervals against scipy's own, and the power against simulation."""

import numpy as np
import pytest
from scipy import stats

from featlib.claims import judge, parse_rule
from featlib.intervals import FEW, mean_interval, moments, share_interval, visible_excess, visible_shift

SIZES = [2, 3, 5, 10, 40]


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("confidence", [0.6, 0.9, 0.95, 0.999])
def test_t_interval_is_scipys(n, confidence):
    values = np.random.default_rng(n).normal(3, 2, n)
    oracle = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    found = judge(parse_rule({"exceeds": 0, "confidence": confidence}), values)
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), rel=1e-12)
    assert found.mean == pytest.approx(values.mean(), rel=1e-14)


@pytest.mark.parametrize("n", SIZES)
def test_the_rivals_interval_is_scipys_paired_one(n):
    rng = np.random.default_rng(n)
    ours, rival = rng.normal(3, 2, n), rng.normal(0, 1, n)
    oracle = stats.ttest_rel(ours, rival).confidence_interval(0.9)
    found = judge(parse_rule({"below": 0, "confidence": 0.9}), ours, rival=rival).rival
    assert (found["low"], found["high"]) == pytest.approx((oracle.low, oracle.high), rel=1e-12)


@pytest.mark.parametrize("n", [1, 2, 5, 17, 200])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_share_interval_is_clopper_pearson(n, confidence):
    for hits in sorted({0, 1, n // 2, n - 1, n}):
        oracle = stats.binomtest(hits, n).proportion_ci(confidence, method="exact")
        assert share_interval(hits, n, confidence) == pytest.approx((oracle.low, oracle.high), abs=1e-12)
        samples = [1.0] * hits + [-1.0] * (n - hits)
        found = judge(parse_rule({"share_above": 0, "at_least": 0.3, "confidence": confidence}), samples)
        assert (found.mean, found.low, found.high) == pytest.approx((hits / n, oracle.low, oracle.high), abs=1e-12)


@pytest.mark.parametrize("n", [FEW, 50])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_bca_interval_is_scipys(n, confidence):
    values = np.sort(np.random.default_rng(n).exponential(2, n))
    oracle = stats.bootstrap(
        (values,), np.mean, confidence_level=confidence, method="BCa", n_resamples=9999, rng=np.random.default_rng(0)
    ).confidence_interval
    found = judge(parse_rule({"exceeds": 0, "confidence": confidence, "interval": "bca"}), values[::-1])
    assert (found.low, found.high) == pytest.approx((oracle.low, oracle.high), rel=1e-9)
    assert abs(found.low + found.high - 2 * found.mean) > 0.01, "skewed values have a skewed interval"


@pytest.mark.parametrize("n", [2, 3, 5, FEW - 1])
def test_bca_of_few_samples_is_never_shorter_than_t_on_either_side(n):
    values = np.random.default_rng(n).exponential(2, n)
    _, low, high, _ = mean_interval(values, 0.95, "bca")
    _, t_low, t_high, _ = mean_interval(values, 0.95, "t")
    assert low <= t_low
    assert high >= t_high


@pytest.mark.parametrize("confidence", [0.51, 0.95])
def test_a_bootstrap_interval_holds_its_own_mean_even_on_the_most_skewed_samples(confidence):
    """Else wider samples could move its near end past the bar. Half of the resamples may tie with the mean exactly."""
    for n in (FEW, 60, 300):
        for values in (
            [*np.linspace(0, 1, n - 1), 1e6],
            [*np.linspace(0, 1, n - 1), -1e6],
            [0.0] * (n - 2) + [1.0, 1.0],
        ):
            mean, low, high, error = mean_interval(values, confidence, "bca")
            assert low <= mean + 1e-12 * error
            assert high >= mean - 1e-12 * error


@pytest.mark.parametrize("scale", [1e-200, 1e-30, 1.0, 1e30, 1e200])
@pytest.mark.parametrize("method", ["t", "bca"])
def test_no_scale_over_or_underflows(scale, method):
    values = [1.0, 2.0, 4.0, 4.5]
    assert moments([scale * v for v in values])[1] == pytest.approx(scale * np.std(values, ddof=1), rel=1e-12)
    at_one = mean_interval(values, 0.95, method)
    assert mean_interval([scale * v for v in values], 0.95, method) == pytest.approx([scale * x for x in at_one])


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_an_effect_of_the_smallest_visible_size_is_supported_four_times_in_five(n, confidence):
    """Oracle: simulation. 40,000 draws put the rate within 0.008 (four standard errors) of its true value."""
    draws, sd = 40_000, 3.0
    shift = visible_shift(n, confidence) * sd / np.sqrt(n)
    samples = np.random.default_rng(n).normal(shift, sd, (draws, n))
    half = stats.t.ppf((1 + confidence) / 2, n - 1) * samples.std(axis=1, ddof=1) / np.sqrt(n)
    assert np.mean(samples.mean(axis=1) - half > 0) == pytest.approx(0.8, abs=0.008)


def test_the_judgement_holds_that_distance():
    values = np.random.default_rng(0).normal(0, 1, 6)
    found = judge(parse_rule({"exceeds": 0.1, "confidence": 0.9}), values).smallest_visible
    assert found == pytest.approx(visible_shift(6, 0.9) * values.std(ddof=1) / np.sqrt(6), rel=1e-12)


@pytest.mark.parametrize(("n", "bar"), [(10, 0.5), (5, 0.1), (40, 0.8)])
def test_a_share_of_the_smallest_visible_size_is_supported_four_times_in_five(n, bar):
    """Oracle: the binomial distribution, over every number of hits that the rule supports."""
    rule = parse_rule({"share_above": 0, "at_least": bar})
    share = bar + visible_excess(n, bar, 0.95)
    passing = [hits for hits in range(n + 1) if judge(rule, [1.0] * hits + [0.0] * (n - hits)).low > bar]
    assert sum(stats.binom.pmf(hits, n, share) for hits in passing) == pytest.approx(0.8, abs=1e-9)


def test_a_share_that_no_number_of_hits_supports_has_no_smallest_size():
    assert visible_excess(3, 0.9, 0.95) is None
