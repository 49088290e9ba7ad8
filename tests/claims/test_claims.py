"""Every rule against every verdict, and what stands beside a verdict: control, rival, precondition."""

import json
import math

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from featlib.claims import RuleError, SampleError, Verdict, judge, parse_rule

V = Verdict
NEVER = {V.NOT_TESTABLE, V.NOT_YET_RUN}
"""Verdicts of the card and the calendar, which no sample leads to."""


def around(mean, spread=0.01, n=5):
    """Samples with this mean and this half-range."""
    return [mean + spread * (2 * i / (n - 1) - 1) for i in range(n)]


def shares(hits, n):
    """``hits`` samples at 1 and the others at 0."""
    return [1.0] * hits + [0.0] * (n - hits)


RULES = {
    "exceeds": {"exceeds": 0.1},
    "below": {"below": -0.1},
    "exceeds, no worse than": {"exceeds": -0.1},
    "below, no worse than": {"below": 0.1},
    "within, a value": {"within": [0.4, 0.6]},
    "within, no effect": {"within": [-0.1, 0.1]},
    "at_most": {"at_most": 0.1},
    "share_above": {"share_above": 0.5, "at_least": 0.5},
}
# Rule, verdict -> samples that lead to it.
TABLE = {
    ("exceeds", V.SUPPORTED): around(0.3),
    ("exceeds", V.DIRECTION_ONLY): around(0.05),
    ("exceeds", V.INCONCLUSIVE): around(0.05, spread=1),
    ("exceeds", V.NOT_REPRODUCED): around(0.0),
    ("exceeds", V.CONTRADICTED): around(-0.3),
    ("below", V.SUPPORTED): around(-0.3),
    ("below", V.DIRECTION_ONLY): around(-0.05),
    ("below", V.INCONCLUSIVE): around(-0.05, spread=1),
    ("below", V.NOT_REPRODUCED): around(0.0),
    ("below", V.CONTRADICTED): around(0.3),
    ("exceeds, no worse than", V.SUPPORTED): around(-0.05),
    ("exceeds, no worse than", V.INCONCLUSIVE): around(-0.1),
    ("exceeds, no worse than", V.CONTRADICTED): around(-0.2),
    ("below, no worse than", V.SUPPORTED): around(0.05),
    ("below, no worse than", V.INCONCLUSIVE): around(0.1),
    ("below, no worse than", V.CONTRADICTED): around(0.2),
    ("within, a value", V.SUPPORTED): around(0.5),
    ("within, a value", V.INCONCLUSIVE): around(0.4),
    ("within, a value", V.NOT_REPRODUCED): around(0.3),
    ("within, a value", V.CONTRADICTED): around(-0.3),
    ("within, no effect", V.SUPPORTED): around(0.0),
    ("within, no effect", V.INCONCLUSIVE): around(0.1),
    ("within, no effect", V.CONTRADICTED): around(0.3),
    ("at_most", V.SUPPORTED): [0.0, 0.1, 0.05],
    ("at_most", V.INCONCLUSIVE): [0.05],
    ("at_most", V.CONTRADICTED): [0.0, 0.1001],
    ("share_above", V.SUPPORTED): shares(10, 10),
    ("share_above", V.INCONCLUSIVE): shares(5, 10),
    ("share_above", V.CONTRADICTED): shares(0, 10),
}
UNREACHABLE = {
    (name, verdict)
    for name in RULES
    for verdict in V
    if (name, verdict) not in TABLE and verdict not in {*NEVER, V.PRECONDITION_FAILED}
}


@pytest.mark.parametrize(("name", "verdict"), TABLE)
def test_every_rule_reaches_its_verdicts(name, verdict):
    judgement = judge(parse_rule(RULES[name]), TABLE[name, verdict])
    assert judgement.verdict is verdict
    assert judgement.n == len(TABLE[name, verdict])


@pytest.mark.parametrize(("name", "verdict"), sorted(UNREACHABLE))
def test_the_verdicts_missing_in_the_table_cannot_be_reached(name, verdict):
    rule = parse_rule(RULES[name])

    @settings(deadline=None)
    @given(st.lists(st.floats(-2, 2), min_size=1, max_size=8), st.floats(1e-6, 1.0))
    def never(values, scale):
        scaled = [scale * value for value in values]
        assume(len(scaled) == 1 or max(scaled) - min(scaled) > 1e-6 * max(map(abs, scaled)))
        assert judge(rule, scaled).verdict is not verdict

    never()


@pytest.mark.parametrize("name", RULES)
def test_a_failed_precondition_beats_every_verdict(name):
    reached = [samples for (rule, _), samples in TABLE.items() if rule == name]
    assert len(reached) >= 3
    for samples in reached:
        judgement = judge(parse_rule(RULES[name]), samples, precondition=False, why="loss still falls")
        assert judgement.verdict is V.PRECONDITION_FAILED
        assert "loss still falls" in judgement.reason


@pytest.mark.parametrize("name", RULES)
def test_a_control_that_passes_fails_the_precondition(name):
    good = TABLE[name, V.SUPPORTED]
    judgement = judge(parse_rule(RULES[name]), good, control=good)
    assert judgement.verdict is V.PRECONDITION_FAILED
    assert judgement.control["failed"] is False
    assert "control" in judgement.reason


@pytest.mark.parametrize("name", RULES)
def test_a_control_that_fails_leaves_the_verdict(name):
    good, bad = TABLE[name, V.SUPPORTED], TABLE[name, V.CONTRADICTED]
    size = min(len(good), len(bad))
    good, bad = (good[:size], bad[:size]) if name != "at_most" else ([0.0, 0.1], bad)
    judgement = judge(parse_rule(RULES[name]), good, control=bad, precondition=True)
    assert judgement.verdict is V.SUPPORTED
    assert judgement.control["failed"] is True


def test_a_control_that_merely_points_the_right_way_has_failed():
    assert judge(parse_rule({"exceeds": 0.1}), around(0.3), control=around(0.05)).verdict is V.SUPPORTED


def test_below_is_the_mirror_image_of_exceeds():
    for verdict in (V.SUPPORTED, V.DIRECTION_ONLY, V.INCONCLUSIVE, V.NOT_REPRODUCED, V.CONTRADICTED):
        up = judge(parse_rule({"exceeds": 0.1, "no_effect": 0.02}), TABLE["exceeds", verdict])
        down = judge(parse_rule({"below": -0.1, "no_effect": -0.02}), [-x for x in TABLE["exceeds", verdict]])
        assert up.verdict is down.verdict
        assert (up.low, up.high) == (-down.high, -down.low)


def test_a_value_on_the_negative_side_is_met_and_contradicted_in_mirror_image():
    rule = parse_rule({"within": [-0.6, -0.4]})
    assert judge(rule, around(-0.5)).verdict is V.SUPPORTED
    assert judge(rule, around(-0.3)).verdict is V.NOT_REPRODUCED
    assert judge(rule, around(-0.9)).verdict is V.NOT_REPRODUCED
    assert judge(rule, around(0.3)).verdict is V.CONTRADICTED


def test_the_bar_itself_is_not_above_the_bar():
    assert judge(parse_rule({"at_most": 0.1}), [0.1, 0.1]).verdict is V.SUPPORTED
    # Ten hits of ten at 95 %: the exact lower bound of the share is 0.025 ** (1 / 10).
    bound = judge(parse_rule({"share_above": 0, "at_least": 0.0}), [1.0] * 10).low
    assert judge(parse_rule({"share_above": 0, "at_least": bound}), [1.0] * 10).verdict is V.INCONCLUSIVE
    assert judge(parse_rule({"share_above": 1, "at_least": 0.0}), [1.0] * 10).mean == 0


# One seed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("value", [-5.0, -0.05, 0.0, 0.05, 0.5, 5.0])
def test_one_seed_is_never_supported(name, value):
    judgement = judge(parse_rule(RULES[name]), {0: value})
    assert judgement.verdict in {V.INCONCLUSIVE, V.CONTRADICTED}
    assert judgement.verdict is V.INCONCLUSIVE or name == "at_most", "only a counterexample counts alone"
    assert "ne seed alone" in judgement.reason or judgement.verdict is V.CONTRADICTED
    json.dumps(judgement.as_json(), allow_nan=False)


def test_one_seed_has_an_infinite_interval_which_json_spells_null():
    judgement = judge(parse_rule({"exceeds": 0.1}), [7.0])
    assert (judgement.low, judgement.high) == (-math.inf, math.inf)
    assert judgement.as_json()["low"] is None
    assert judgement.as_json()["smallest_visible"] is None


def test_one_seed_of_an_easy_share_is_not_supported_either():
    assert judge(parse_rule({"share_above": 0, "at_least": 0.0}), [1.0]).verdict is V.INCONCLUSIVE


# Bad samples --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ([], "empty"),
        ({}, "empty"),
        ([0.1, math.nan, 0.2], "seed 1 is nan"),
        ({"7": math.inf, "8": 0.2}, "seed 7 is inf"),
        ({"7": -math.inf, "8": 0.2}, "seed 7 is -inf"),
        ({1: 0.1, "1": 0.2}, "seed 1 stands there twice"),
        ([0.1, "0.2"], "seed 1 is not a single number but '0.2'"),
        ([0.1, None], "seed 1 is not a single number"),
        ([[0.1, 0.2]], "seed 0 is not a single number"),
        ([0.1, 10**400], "seed 1 is not a single number"),
        ([1.7e308, 1.6e308, 1.5e308], "too large"),
        ([1.7e308, -1.6e308, 1.5e308], "too large"),
    ],
)
def test_bad_samples_give_a_clear_error(name, bad, says):
    if name == "share_above" and says == "too large":
        assert judge(parse_rule(RULES[name]), bad).n == 3  # a share needs no sum
        return
    with pytest.raises(SampleError, match=says):
        judge(parse_rule(RULES[name]), bad)


@pytest.mark.parametrize("bad", [0.3, None])
@pytest.mark.usefixtures("as_users_run")
def test_what_is_no_collection_gives_a_clear_error(bad):
    with pytest.raises(SampleError, match="one number per seed"):
        judge(parse_rule({"exceeds": 0}), bad)


@pytest.mark.parametrize("name", [name for name in RULES if "exceeds" in name or "below" in name or "within" in name])
@pytest.mark.parametrize("value", [0.0, 0.3, -7.0])
def test_equal_samples_under_an_interval_give_a_clear_error(name, value):
    with pytest.raises(SampleError, match="all 4 are equal"):
        judge(parse_rule(RULES[name]), [value] * 4)
    with pytest.raises(SampleError, match="all 4 are equal"):
        judge(parse_rule(RULES[name] | {"interval": "bca"}), [value, value * (1 + 1e-12), value, value])
    with pytest.raises(SampleError, match="control: all 4 are equal"):
        judge(parse_rule(RULES[name]), around(0.3, n=4), control=[value] * 4)


@pytest.mark.parametrize("name", ["at_most", "share_above"])
def test_equal_samples_are_welcome_where_there_is_no_mean_interval(name):
    assert judge(parse_rule(RULES[name]), [0.0] * 10).verdict in {V.SUPPORTED, V.CONTRADICTED}


@pytest.mark.parametrize("beside", ["control", "rival"])
def test_other_seeds_beside_the_samples_give_a_clear_error(beside):
    rule = parse_rule({"exceeds": 0.1})
    with pytest.raises(SampleError, match=rf"{beside}: 4 samples beside 5, .*\(4\)"):
        judge(rule, around(0.3), **{beside: around(0.0, n=4)})
    with pytest.raises(SampleError, match=f"{beside}: 2 samples beside 2"):
        judge(rule, {0: 0.3, 1: 0.4}, **{beside: {0: 0.3, 2: 0.4}})
    with pytest.raises(SampleError, match=f"{beside}: the sample of seed 0 is nan"):
        judge(rule, [0.3, 0.4], **{beside: [math.nan, 0.1]})
    with pytest.raises(SampleError, match=f"{beside}: empty"):
        judge(rule, [0.3, 0.4], **{beside: []})


def test_a_string_is_not_taken_for_a_sequence_of_numbers():
    with pytest.raises(SampleError, match="seed 0 is not a single number"):
        judge(parse_rule({"exceeds": 0}), "12")


# Rival --------------------------------------------------------------------------------------------------------------


def test_the_rival_is_paired_by_seed_and_not_by_place():
    ours = {"a": 1.0, "b": 2.0, "c": 3.5}
    rival = {"c": 3.0, "a": 0.9, "b": 1.7}
    found = judge(parse_rule({"exceeds": 0}), ours, rival=rival).rival
    assert found["mean"] == pytest.approx((0.1 + 0.3 + 0.5) / 3)
    assert 0 < found["high"] - found["low"] < 1.2, "paired: the spread over seeds cancels"


def test_a_rival_that_is_always_equal_has_no_interval_and_no_error():
    found = judge(parse_rule({"exceeds": 0}), [0.1, 0.2], rival=[0.1, 0.2]).as_json()["rival"]
    assert found == {"mean": 0.0, "low": None, "high": None}


def test_the_rival_does_not_touch_the_verdict():
    assert judge(parse_rule({"exceeds": 0.1}), around(0.3), rival=around(9.0, spread=0.3)).verdict is V.SUPPORTED


# Reasons ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "verdict"), TABLE)
def test_the_reason_is_one_sentence(name, verdict):
    reason = judge(parse_rule(RULES[name]), TABLE[name, verdict]).reason
    assert reason.endswith(".")
    assert ". " not in reason
    assert "\n" not in reason


def test_inconclusive_says_what_these_seeds_could_have_seen():
    judgement = judge(parse_rule({"exceeds": 0.1}), around(0.05, spread=1))
    assert f"{judgement.smallest_visible:.3g}" in judgement.reason
    tiny = judge(parse_rule({"share_above": 0.5, "at_least": 0.9}), shares(3, 3))
    assert tiny.smallest_visible is None
    assert "even 3 seeds out of 3 would not support it" in tiny.reason


# Rules --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({}, "exactly one of exceeds, below, within, at_most, share_above; this one holds none"),
        ({"exceds": 0.1}, "exactly one of .* holds exceds"),
        ({"exceeds": 0.1, "below": 0.2}, "holds exceeds, below"),
        ({"exceeds": "0.1"}, "exceeds: Input should be a valid number"),
        ({"exceeds": True}, "exceeds: Input should be a valid number"),
        ({"exceeds": math.nan}, "exceeds: Input should be a finite number"),
        ({"exceeds": 0.1, "confidnce": 0.9}, r"confidnce: .*allowed here: confidence, no_effect, interval, exceeds"),
        ({"exceeds": 0.1, "confidence": 95}, "confidence: .*less than 1"),
        ({"exceeds": 0.1, "confidence": 0.5}, "confidence: .*greater than 0.5"),
        ({"exceeds": 0.1, "interval": "bayes"}, "interval: Input should be 't' or 'bca'"),
        ({"within": [0.2, 0.1]}, "the lower end comes first"),
        ({"within": [0.2, 0.2]}, "the lower end comes first"),
        ({"within": [0.1]}, "within.1: Field required"),
        ({"within": 0.1}, "within: "),
        ({"at_most": 0.1, "confidence": 0.9}, "confidence: Extra inputs"),
        ({"share_above": 0.1}, "at_least: Field required"),
        ({"share_above": 0.1, "at_least": 1}, "at_least: .*less than 1"),
        ("exceeds: 0.1", "a rule is a mapping"),
    ],
)
def test_a_rule_that_is_none_is_refused_with_what_is_allowed(mapping, says):
    with pytest.raises(RuleError, match=says):
        parse_rule(mapping)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_can_be_said_and_cannot_be_changed(name):
    rule = parse_rule(RULES[name])
    bars = [f"{abs(x):g}" for value in RULES[name].values() for x in (value if isinstance(value, list) else [value])]
    assert all(bar in rule.words or f"{100 * float(bar):g} %" in rule.words for bar in bars)
    with pytest.raises(ValueError, match="frozen"):
        setattr(rule, next(iter(RULES[name])), 0)
    assert parse_rule(rule.model_dump(mode="json")) == rule


def test_the_list_of_verdicts_is_closed():
    assert [verdict.value for verdict in V] == [
        "supported",
        "direction only",
        "inconclusive",
        "not reproduced at this scale",
        "contradicted",
        "precondition failed",
        "not testable here",
        "not yet run",
    ]
