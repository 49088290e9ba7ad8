"""Which runs stand behind a claim, and their evidence as one: pooled over seeds where everything else is equal.

Runs of today's code come first. The archive also holds runs of code that has changed since. Where nothing else is
there they stand alone and are marked; beside fresh runs they count only if a seed that both ran shows, value by value,
that the change did not touch this claim. So a changed measure never publishes an old number.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from featlib.claims import clean
from featlib.press.card import Card
from featlib.press.evidence import Evidence, EvidenceError
from featlib.press.record import RunRecord

SAME = 1e-6
"""Two values of one seed within this relative distance are one value: sums in float32 depend on the batch."""
KINDS = ("samples", "control", "rival")
TWICE = "in the cache as well"
OLDER = "other code, data, versions, device or parameters than the newest run"


@dataclass
class Run:
    """One run with what it recorded, or why it is left out."""

    record: RunRecord
    evidence: list[Evidence] = field(default_factory=list)
    left_out: str | None = None
    fault: str | None = None
    stale: str = ""
    """Why today's code might not give this again; empty if it would."""
    archived: bool = False
    """Whether only the archive has it."""
    counted: set[str] = field(default_factory=set)
    """Of a run beside fresher ones: the claims for which it counts."""

    @property
    def pooled(self) -> bool:
        """Whether its evidence counts."""
        return (self.left_out is None and self.fault is None) or bool(self.counted)

    def of(self, claim: str) -> list[Evidence]:
        """What it recorded about a claim."""
        return [one for one in self.evidence if one.claim == claim]


@dataclass
class Pool:
    """The evidence of a claim as one, and what stands behind it."""

    evidence: Evidence
    runs: list[Run]
    faults: list[str]
    """What forbids to judge it."""
    stale: dict[str, str]
    """The seeds whose sample comes from code that has changed since, each with what changed."""
    vouched: list[str]
    """The seeds that were run again, and gave what the older code gave."""
    archived: list[str]
    """The seeds whose sample only the archive has."""


def belongs(card: Card, evidence: Iterable[Evidence]) -> None:
    """Refuse evidence for another chapter or for a claim that the card does not have.

    Raises:
        EvidenceError: if there is such evidence.
    """
    known = {claim.id for claim in card.claims}
    for one in evidence:
        if one.chapter != card.slug:
            raise EvidenceError(f"chapter: recorded for {one.chapter!r:.60} in the notebook of {card.slug!r}")
        if one.claim not in known:
            raise EvidenceError(f"claim: {one.claim!r:.60} was recorded, but {card.slug}.yml has no such claim")


def settle(runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Of the runs of one chapter under one setting, those that count, and older ones that may count beside them.

    Those that count share all conditions of the newest fresh run, or, where none is fresh, of the newest. The others
    are told why they do not.
    """
    candidates = [run for run in runs if run.left_out is None]
    if not candidates:
        return [], []
    newest = max(candidates, key=lambda run: (not run.stale, run.record.date)).record
    base, older = [], []
    for run in candidates:
        if setting(run.record) != setting(newest):
            run.left_out = OLDER
        elif _conditions(run.record) == _conditions(newest):
            base.append(run)
        else:
            run.left_out = OLDER
            if run.stale:
                run.left_out = f"{run.stale}, and no seed of the newest run shows that its numbers still hold"
                older.append(run)
    return _once(base), older


def pool(claim: str, base: Sequence[Run], older: Sequence[Run]) -> Pool | None:
    """The evidence for a claim over the runs that count; ``None`` if none of them recorded it."""
    used = [run for run in base if run.of(claim)]
    if not used:
        return None
    evidence, faults = _merged([one for run in used for one in run.of(claim)])
    fresh, vouched = evidence, set[str]()
    for family in _families(older, claim):
        theirs, their_faults = _merged([one for run in family for one in run.of(claim)])
        _, differs = _compare(evidence, theirs)
        common, _ = _compare(fresh, theirs)
        for run in family:
            if differs:
                run.left_out = f"{run.stale}, and seed {differs} now gives another value"
            elif common and not their_faults:
                run.counted.add(claim)
        if family[0].counted >= {claim}:
            used += family
            vouched |= {*common}
            evidence, _ = _merged([evidence, theirs])
    return Pool(evidence, used, faults, _stale(claim, used), sorted(vouched), _archived(claim, used))


def _families(older: Sequence[Run], claim: str) -> list[list[Run]]:
    """The older runs that recorded a claim, those of one code and machine together, the newest first."""
    families: dict[str, list[Run]] = {}
    for run in sorted(older, key=lambda run: run.record.date, reverse=True):
        if run.of(claim):
            families.setdefault(_conditions(run.record), []).append(run)
    return list(families.values())


def _once(runs: Sequence[Run]) -> list[Run]:
    """Each run once: what lies in the cache and in the archive is one run."""
    kept: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.archived):
        same = kept.setdefault(run.record.digest, [])
        if run.archived and any(run.evidence == other.evidence for other in same):
            run.left_out = "in the cache as well"
        else:
            same.append(run)
    return [run for run in runs if run.left_out is None]


def setting(record: RunRecord) -> str:
    """What was asked for, but for the seed."""
    parameters = {name: value for name, value in record.parameters.items() if name != "seed"}
    return json.dumps([record.preset, parameters], sort_keys=True, default=str)


def _conditions(record: RunRecord) -> str:
    """Everything but the seed that two runs must share to be pooled without a question."""
    code = [record.notebook_digest, record.code_digest]
    shared = [code, record.data_digests, record.versions, record.device, setting(record)]
    return json.dumps(shared, sort_keys=True, default=str)


def _same(one: float, other: float) -> bool:
    """Whether two values of one seed are one value."""
    return math.isclose(one, other, rel_tol=SAME, abs_tol=SAME * SAME)


def _compare(ours: Evidence, theirs: Evidence) -> tuple[list[str], str]:
    """The seeds for which both have a sample, and the first seed for which they differ in anything, if there is one."""
    for kind in KINDS:
        left, right = getattr(ours, kind) or {}, getattr(theirs, kind) or {}
        for seed in left.keys() & right.keys():
            if not _same(left[seed], right[seed]):
                return [], seed
    return [seed for seed in ours.samples if seed in theirs.samples], ""


def _merge(parts: Iterable[Mapping[str, float] | None], faults: list[str]) -> dict[str, float] | None:
    """The samples of several runs as one; a seed that several recorded counts once."""
    merged: dict[str, float] = {}
    for part in parts:
        for seed, value in (part or {}).items():
            known = merged.setdefault(seed, value)
            if not _same(known, value):
                faults.append(f"not reproducible: seed {seed} gave two values ({known:.6g} and {value:.6g})")
    return clean(merged) if merged else None


def _merged(evidence: Sequence[Evidence]) -> tuple[Evidence, list[str]]:
    """The evidence of several runs for one claim as one, and what forbids to judge it."""
    faults: list[str] = []
    held = [one.precondition for one in evidence]
    merged = {kind: _merge((getattr(one, kind) for one in evidence), faults) for kind in KINDS}
    failed = (one.why for one in evidence if one.precondition is False and one.why)
    about = {
        "precondition": False if False in held else None if None in held else True,
        "why": "; ".join(dict.fromkeys(failed)),
    }
    return evidence[0].model_copy(update={**merged, **about}), faults


def _stale(claim: str, used: Sequence[Run]) -> dict[str, str]:
    """The seeds that rest on older code alone."""
    fresh = {seed for run in used if not run.stale for one in run.of(claim) for seed in one.samples}
    return {seed: run.stale for run in used for one in run.of(claim) for seed in one.samples if seed not in fresh}


def _archived(claim: str, used: Sequence[Run]) -> list[str]:
    """The seeds that rest on the archive alone."""
    here = {seed for run in used if not run.archived for one in run.of(claim) for seed in one.samples}
    there = {seed for run in used if run.archived for one in run.of(claim) for seed in one.samples}
    return sorted(there - here)
