"""Evidence -> verdict. Pure functions: this module knows no paper, no notebook and no file.

A claim has a *rule* that was written down before the run; a run gives one *sample* per seed. :func:`judge` puts an
interval around the samples and reads the verdict off the rule, so that a verdict is computed and never typed.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from featlib.intervals import (
    ROUNDING,
    Method,
    SampleError,
    Samples,
    clean,
    mean_interval,
    moments,
    same_seeds,
    share_interval,
    visible_excess,
    visible_shift,
)

__all__ = [
    "AtMost",
    "Below",
    "Estimate",
    "Exceeds",
    "Judgement",
    "Rule",
    "RuleError",
    "SampleError",
    "Samples",
    "ShareAbove",
    "Verdict",
    "Within",
    "clean",
    "judge",
    "parse_rule",
]


class Verdict(StrEnum):
    """The closed list. The first six come from samples; the last two from the card and the calendar."""

    SUPPORTED = "supported"
    DIRECTION_ONLY = "direction only"
    INCONCLUSIVE = "inconclusive"
    NOT_REPRODUCED = "not reproduced at this scale"
    CONTRADICTED = "contradicted"
    PRECONDITION_FAILED = "precondition failed"
    NOT_TESTABLE = "not testable here"
    NOT_YET_RUN = "not yet run"


class RuleError(ValueError):
    """A mapping that is not a rule; the message names the key and what it may hold."""


@dataclass(frozen=True)
class Estimate:
    """What the samples say; an infinite bound means that there is no interval."""

    n: int
    mean: float
    low: float = -math.inf
    high: float = math.inf
    smallest_visible: float | None = None

    def __str__(self) -> str:
        """As it stands in a sentence."""
        interval = f" [{self.low:.4g}, {self.high:.4g}]" if math.isfinite(self.low + self.high) else ""
        return f"{self.mean:.4g}{interval}"


@dataclass(frozen=True)
class Judgement:
    """A verdict with the numbers it was read from.

    ``mean``, ``low`` and ``high`` belong to the quantity the rule speaks of: the mean over seeds, or a share of seeds.
    ``smallest_visible`` is the distance from the rule's bar that such seeds call supported four times in five.
    """

    verdict: Verdict
    n: int
    mean: float
    low: float
    high: float
    smallest_visible: float | None
    reason: str
    control: dict[str, float | bool] | None = None
    rival: dict[str, float] | None = None

    def as_json(self) -> dict[str, Any]:
        """Plain values for strict JSON: an infinite bound becomes ``None``."""
        flat = dataclasses.asdict(self) | {"verdict": self.verdict.value}
        return {key: _finite(value) for key, value in flat.items()}


def _finite(value: Any) -> Any:
    """``value`` with infinite numbers as ``None``, one level deep."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


# Rules --------------------------------------------------------------------------------------------------------------


class _Rule(BaseModel):
    """What all rules share."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    confidence: float = Field(default=0.95, gt=0.5, lt=1)


class _MeanRule(_Rule):
    """A rule about the mean over seeds."""

    no_effect: FiniteFloat = 0.0
    interval: Method = "t"

    def estimate(self, values: Sequence[float], name: str = "samples") -> Estimate:
        """Mean, interval and the smallest distance from the bar that would have been seen."""
        n = len(values)
        mean, low, high, error = mean_interval(values, self.confidence, self.interval, name)
        return Estimate(n, mean, low, high, visible_shift(n, self.confidence) * error if n > 1 else None)

    def _how(self) -> str:
        """The interval in words."""
        return f"{100 * self.confidence:g} % {'BCa' if self.interval == 'bca' else 't'} interval"


class _OneSided(_MeanRule):
    """The mean on one side of a bar; ``_sign`` is -1 for the mirror image."""

    _sign: ClassVar[int] = 1
    _sides: ClassVar[tuple[str, str]] = ("above", "below")

    def _bar(self) -> float:
        """The bar, whatever its key is called."""
        return float(getattr(self, type(self).__name__.lower()))

    @property
    def words(self) -> str:
        """The rule as a person would say it."""
        return f"mean {self._sides[0]} {self._bar():g}, no effect at {self.no_effect:g} ({self._how()})"

    def decide(self, values: Sequence[float], e: Estimate) -> tuple[Verdict, str]:
        """Verdict and reason."""
        bar, zero, (good, bad) = self._bar(), self.no_effect, self._sides
        low, high = sorted((self._sign * e.low, self._sign * e.high))
        verdict = _ladder(low, high, self._sign * bar, self._sign * zero)
        wrong = f"lies {bad} {bar:g}: too far for the claim"
        if self._sign * bar > self._sign * zero:
            wrong = f"lies {bad} {zero:g}: the effect goes the other way"
        phrase = {
            Verdict.SUPPORTED: f"lies {good} {bar:g}",
            Verdict.DIRECTION_ONLY: f"lies {good} {zero:g} (no effect), but does not clear {bar:g}",
            Verdict.NOT_REPRODUCED: f"lies {bad} {bar:g}: an effect of the claimed size is not there",
            Verdict.CONTRADICTED: wrong,
            Verdict.INCONCLUSIVE: f"does not settle on which side of {bar:g} the truth lies{_visible(e)}",
        }[verdict]
        return verdict, f"The mean {e} {phrase}."


def _ladder(low: float, high: float, bar: float, zero: float) -> Verdict:
    """Where an interval stands to the bar it had to clear, for a claim that points upwards."""
    if low > bar:
        return Verdict.SUPPORTED
    if bar <= zero:  # "not worse than": there is no size to reproduce, only a bar to stay above
        return Verdict.CONTRADICTED if high < bar else Verdict.INCONCLUSIVE
    if low > zero:
        return Verdict.DIRECTION_ONLY
    if high < zero:
        return Verdict.CONTRADICTED
    return Verdict.NOT_REPRODUCED if high < bar else Verdict.INCONCLUSIVE


def _visible(e: Estimate) -> str:
    """The power of these seeds, as the end of a sentence."""
    if e.smallest_visible is None:
        return ""
    return f"; {e.n} such seeds see a distance of {e.smallest_visible:.3g} four times in five"


class Exceeds(_OneSided):
    """The mean lies above ``exceeds``."""

    exceeds: FiniteFloat


class Below(_OneSided):
    """The mean lies below ``below``: the mirror image of :class:`Exceeds`."""

    _sign: ClassVar[int] = -1
    _sides: ClassVar[tuple[str, str]] = ("below", "above")
    below: FiniteFloat


class Within(_MeanRule):
    """The whole interval lies inside ``within``.

    A range that holds ``no_effect`` claims that there is *no* effect, and an interval outside contradicts it. A range
    that does not is a value to be met: outside is "not reproduced", and beyond ``no_effect`` is a contradiction.
    """

    within: tuple[FiniteFloat, FiniteFloat] = Field(strict=False)

    @model_validator(mode="after")
    def _ordered(self) -> Within:
        if self.within[0] >= self.within[1]:
            raise ValueError(f"within: the lower end comes first, not {list(self.within)}")
        return self

    @property
    def words(self) -> str:
        """The rule as a person would say it."""
        return f"mean within {self._range()}, no effect at {self.no_effect:g} ({self._how()})"

    def _range(self) -> str:
        return f"[{self.within[0]:g}, {self.within[1]:g}]"

    def decide(self, values: Sequence[float], e: Estimate) -> tuple[Verdict, str]:
        """Verdict and reason."""
        (first, last), zero = self.within, self.no_effect
        if first < e.low and e.high < last:
            return Verdict.SUPPORTED, f"The mean {e} lies inside {self._range()}."
        if e.low <= last and e.high >= first:
            return Verdict.INCONCLUSIVE, f"The mean {e} reaches over an end of {self._range()}{_visible(e)}."
        if first <= zero <= last:
            return Verdict.CONTRADICTED, f"The mean {e} lies outside {self._range()}: there is an effect."
        if (last < zero < e.low) or (e.high < zero < first):
            return Verdict.CONTRADICTED, f"The mean {e} lies beyond {zero:g}: the effect goes the other way."
        return Verdict.NOT_REPRODUCED, f"The mean {e} lies outside {self._range()}."


class AtMost(BaseModel):
    """An identity: every single sample is at most ``at_most``. No interval, so equal samples are welcome."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    at_most: FiniteFloat

    @property
    def words(self) -> str:
        """The rule as a person would say it."""
        return f"every sample at most {self.at_most:g}"

    def estimate(self, values: Sequence[float], name: str = "samples") -> Estimate:
        """The mean, for the record."""
        return Estimate(len(values), moments(values)[0])

    def decide(self, values: Sequence[float], e: Estimate) -> tuple[Verdict, str]:
        """Verdict and reason."""
        worst = max(values)
        if worst > self.at_most:
            return Verdict.CONTRADICTED, f"The largest of {e.n} samples is {worst:.4g}, above {self.at_most:g}."
        return Verdict.SUPPORTED, f"The largest of {e.n} samples is {worst:.4g}, at most {self.at_most:g}."


class ShareAbove(_Rule):
    """Existence: the share of seeds whose sample lies above ``share_above`` is more than ``at_least``."""

    share_above: FiniteFloat
    at_least: float = Field(ge=0, lt=1)

    @property
    def words(self) -> str:
        """The rule as a person would say it."""
        how = f"{100 * self.confidence:g} % Clopper-Pearson interval"
        return f"more than {100 * self.at_least:g} % of seeds above {self.share_above:g} ({how})"

    def estimate(self, values: Sequence[float], name: str = "samples") -> Estimate:
        """Share, its exact interval and the smallest excess over ``at_least`` that would have been seen."""
        n = len(values)
        hits = sum(value > self.share_above for value in values)
        excess = visible_excess(n, self.at_least, self.confidence)
        return Estimate(n, hits / n, *share_interval(hits, n, self.confidence), excess)

    def decide(self, values: Sequence[float], e: Estimate) -> tuple[Verdict, str]:
        """Verdict and reason."""
        share = f"The share of seeds above {self.share_above:g} is {e}"
        if e.low > self.at_least:
            return Verdict.SUPPORTED, f"{share}, more than {self.at_least:g}."
        if e.high < self.at_least:
            return Verdict.CONTRADICTED, f"{share}, less than {self.at_least:g}."
        power = _visible(e) or f"; even {e.n} seeds out of {e.n} would not support it"
        return Verdict.INCONCLUSIVE, f"{share}, which does not settle whether it is more than {self.at_least:g}{power}."


Rule: TypeAlias = Exceeds | Below | Within | AtMost | ShareAbove
_RULES: dict[str, type[Rule]] = {
    "exceeds": Exceeds,
    "below": Below,
    "within": Within,
    "at_most": AtMost,
    "share_above": ShareAbove,
}


def parse_rule(mapping: Any) -> Rule:
    """The rule that a card's mapping spells; the key that is present tells which.

    Raises:
        RuleError: if it spells none, or more than one, or holds a value that the rule does not allow.
    """
    known = ", ".join(_RULES)
    if not isinstance(mapping, Mapping):
        raise RuleError(f"a rule is a mapping with one of {known}, not {mapping!r:.60}")
    named = [key for key in _RULES if key in mapping]
    if len(named) != 1:
        raise RuleError(f"a rule holds exactly one of {known}; this one holds {', '.join(map(str, mapping)) or 'none'}")
    kind = _RULES[named[0]]
    try:
        return kind.model_validate(dict(mapping))
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or named[0]}: {fault['msg'].removeprefix('Value error, ')}"
            for fault in error.errors()
        )
        raise RuleError(f"{faults} (allowed here: {', '.join(kind.model_fields)})") from error


# Verdict ------------------------------------------------------------------------------------------------------------


def judge(
    rule: Rule,
    samples: Samples,
    control: Samples | None = None,
    rival: Samples | None = None,
    precondition: bool | None = None,
    why: str = "",
) -> Judgement:
    """The verdict of ``rule`` on one sample per seed.

    Args:
        rule: what was written down before the run.
        samples: one number per seed.
        control: the same measurement on something that must fail the rule; with the same seeds.
        rival: the trivial rival, paired with the samples by seed.
        precondition: whether what the claim presupposes holds; ``None`` if it presupposes nothing.
        why: what went wrong with the precondition.

    Raises:
        SampleError: if samples are empty, not finite, of different seeds, or all equal under a rule with an interval.
    """
    ours = clean(samples)
    values = list(ours.values())
    estimate = rule.estimate(values)
    verdict, reason = rule.decide(values, estimate)
    beside = None if control is None else _control(rule, ours, clean(control, "control"))
    if estimate.n == 1 and verdict in {Verdict.SUPPORTED, Verdict.INCONCLUSIVE}:
        verdict, reason = Verdict.INCONCLUSIVE, f"One seed alone supports nothing; it gave {values[0]:.4g}."
    if beside is not None and not beside["failed"]:
        verdict = Verdict.PRECONDITION_FAILED
        reason = f"The control passes the same rule (mean {beside['mean']:.4g}), so passing it means nothing."
    if precondition is False:
        verdict = Verdict.PRECONDITION_FAILED
        reason = f"The precondition does not hold: {why or 'no reason was recorded'}."
    return Judgement(
        verdict=verdict,
        reason=reason,
        control=beside,
        rival=None if rival is None else _rival(rule, ours, clean(rival, "rival")),
        **dataclasses.asdict(estimate),
    )


def _control(rule: Rule, ours: Mapping[str, float], control: Mapping[str, float]) -> dict[str, float | bool]:
    """The control under the same rule; it failed, as it must, unless the rule would support it."""
    same_seeds(ours, control, "control")
    values = list(control.values())
    estimate = rule.estimate(values, "control")
    failed = rule.decide(values, estimate)[0] is not Verdict.SUPPORTED
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high, "failed": failed}


def _rival(rule: Rule, ours: Mapping[str, float], rival: Mapping[str, float]) -> dict[str, float]:
    """Ours minus the rival's, seed by seed; a difference that never varies has no interval."""
    same_seeds(ours, rival, "rival")
    differences = [ours[seed] - rival[seed] for seed in ours]
    size = max(map(abs, (*ours.values(), *rival.values())))
    if max(differences) - min(differences) <= ROUNDING * size:
        mean, low, high = moments(differences)[0], -math.inf, math.inf
    else:
        method: Method = getattr(rule, "interval", "t")
        mean, low, high, _ = mean_interval(differences, getattr(rule, "confidence", 0.95), method, "rival")
    return {"mean": mean, "low": low, "high": high}
