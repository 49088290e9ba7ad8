"""Samples of a claim, and the intervals around them. Pure functions; :mod:`featlib.claims` reads verdicts off them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np

Samples: TypeAlias = Mapping[Any, Any] | Iterable[Any]
Method: TypeAlias = Literal["t", "bca"]

POWER = 0.8
"""How often an effect of the smallest visible size would have come out as supported."""
FEW = 20
"""With fewer samples a BCa interval is too short to be trusted alone."""
ROUNDING = 1e-9
"""A relative difference below this is rounding, not a difference between seeds."""


class SampleError(ValueError):
    """The samples cannot be judged; the message says why."""


def clean(samples: Samples, name: str = "samples") -> dict[str, float]:
    """The samples as ``{seed: number}``, sorted by seed; a plain sequence is numbered from 0.

    Raises:
        SampleError: if there is none, or one is not a finite number, or a seed stands there twice.
    """
    try:
        pairs = list(samples.items() if isinstance(samples, Mapping) else enumerate(samples))
    except TypeError:
        raise SampleError(f"{name}: give one number per seed, as {{seed: value}}, not {samples!r:.60}") from None
    numbers: dict[str, float] = {}
    for key, value in pairs:
        seed = str(plain(key))
        if seed in numbers:
            raise SampleError(f"{name}: seed {seed} stands there twice")
        numbers[seed] = _number(value, f"{name}: the sample of seed {seed}")
    if not numbers:
        raise SampleError(f"{name}: empty; a verdict needs at least one sample")
    return dict(sorted(numbers.items(), key=lambda pair: (len(pair[0]), pair[0])))


def plain(value: Any) -> Any:
    """The Python number in a numpy scalar or a tensor, which are known by their ``item``; anything else as it is."""
    return value.item() if callable(getattr(value, "item", None)) else value


def _number(value: Any, name: str) -> float:
    """One finite float.

    Raises:
        SampleError: if it is anything else.
    """
    try:
        builtin = plain(value)
        number = float(builtin) if isinstance(builtin, int | float) else None
    except (ValueError, RuntimeError, OverflowError):
        number = None
    if number is None:
        raise SampleError(f"{name} is not a single number but {value!r:.60}")
    if not math.isfinite(number):
        raise SampleError(f"{name} is {number}: a run that diverged is a failed precondition, not a sample")
    return number


def same_seeds(ours: Mapping[str, float], other: Mapping[str, float], name: str) -> None:
    """Refuse a comparison of different seeds.

    Raises:
        SampleError: if the seeds differ.
    """
    odd = sorted(ours.keys() ^ other.keys())
    if odd:
        raise SampleError(
            f"{name}: {len(other)} samples beside {len(ours)}, and the seeds differ ({', '.join(odd[:5])}): "
            "record both with the same seeds"
        )


def moments(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation, safe at both ends of the range of floats.

    Raises:
        SampleError: if the values are too large to be summed.
    """
    try:
        mean = math.fsum(values) / len(values)
    except OverflowError:
        mean = math.inf
    scale = max(abs(value - mean) for value in values)
    if not math.isfinite(scale):
        raise SampleError("the samples are too large to be averaged")
    if scale == 0 or len(values) == 1:
        return mean, 0.0
    return mean, scale * math.sqrt(math.fsum(((v - mean) / scale) ** 2 for v in values) / (len(values) - 1))


def mean_interval(
    values: Iterable[float], confidence: float = 0.95, method: Method = "t", name: str = "samples"
) -> tuple[float, float, float, float]:
    """Mean, lower and upper bound of its interval, and standard error. One value has an infinite interval.

    The t interval presumes that seeds scatter about alike to both sides; ``bca`` is for many and skewed samples.
    The bootstrap draws with a fixed seed from the sorted values, so their order does not matter. With fewer than
    :data:`FEW` values each of its ends is the farther one of BCa and t: alone it would be too short.

    Raises:
        SampleError: if the values are all equal, for then nothing says how much another seed would have differed.
    """
    ordered = sorted(values)
    mean, sd = moments(ordered)
    n = len(ordered)
    if n == 1:
        return mean, -math.inf, math.inf, math.inf
    if ordered[-1] - ordered[0] <= ROUNDING * max(abs(ordered[0]), abs(ordered[-1])):
        raise SampleError(
            f"{name}: all {n} are equal ({mean:.6g}), so they have no interval: do the seeds reach the computation?"
        )
    half = t_quantile(n, confidence) * sd / math.sqrt(n)
    low, high = mean - half, mean + half
    if method == "bca":
        start, end = _bca([(value - mean) / sd for value in ordered], confidence)
        start, end = mean + sd * start, mean + sd * end
        low, high = (start, end) if n >= FEW else (min(low, start), max(high, end))
    if not math.isfinite(low + high):
        raise SampleError(f"{name}: too large for an interval")
    return mean, low, high, sd / math.sqrt(n)


def t_quantile(n: int, confidence: float) -> float:
    """Where the t distribution of ``n`` samples leaves half of the doubt."""
    from scipy import special

    return float(special.stdtrit(n - 1, (1 + confidence) / 2))


def _bca(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Bias-corrected and accelerated bootstrap interval of the mean of standardised values."""
    from scipy import stats

    result = stats.bootstrap(
        (np.asarray(values),),
        np.mean,
        confidence_level=confidence,
        method="BCa",
        n_resamples=9999,
        batch=max(1, 1_000_000 // len(values)),
        rng=np.random.default_rng(0),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def share_interval(hits: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Clopper-Pearson: the exact interval of a share of which ``hits`` out of ``n`` were seen."""
    from scipy import special

    doubt = (1 - confidence) / 2
    low = 0.0 if hits == 0 else float(special.betaincinv(hits, n - hits + 1, doubt))
    high = 1.0 if hits == n else float(special.betaincinv(hits + 1, n - hits, 1 - doubt))
    return low, high


def visible_shift(n: int, confidence: float) -> float:
    """How many standard errors beyond its bar a mean must lie, for ``n`` > 1 samples to show it in 4 of 5 cases."""
    from scipy import special

    return float(special.nctdtrinc(n - 1, 1 - POWER, t_quantile(n, confidence)))


def visible_excess(n: int, bar: float, confidence: float) -> float | None:
    """The same for a share: how far beyond ``bar`` it must lie; ``None`` if even ``n`` hits of ``n`` are too few."""
    from scipy import special

    hits = np.arange(1, n + 1)
    enough = hits[special.betaincinv(hits, n - hits + 1, (1 - confidence) / 2) > bar]
    return float(special.betaincinv(enough[0], n - enough[0] + 1, POWER)) - bar if enough.size else None
