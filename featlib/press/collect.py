"""All evidence of a set of runs -> the ledger: one row for every claim of every card, whether it was run or not."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from featlib.claims import Judgement, Verdict, clean
from featlib.press.card import Card, Claim
from featlib.press.evidence import (
    Evidence,
    EvidenceError,
    evidence_html,
    evidence_of,
    evidence_text,
    judgement_of,
    parse_evidence,
    unjudged,
)
from featlib.press.record import RunRecord

__all__ = ["FIELDS", "collect", "evidence_html", "evidence_of", "evidence_text", "write"]

Notebook: TypeAlias = Mapping[str, Any]
SAME = 1e-6
"""Two values of one seed within this relative distance are one value: sums in float32 depend on the batch."""
FIELDS = (
    *("chapter", "claim", "says", "where", "kind", "rule", "rule_words", "paper"),
    *("verdict", "reason", "n", "samples", "mean", "interval", "smallest_visible", "unit", "control", "rival"),
    *("preset", "seeds", "device", "seconds", "cpu_seconds", "peak_memory_mb"),
    *("code_digest", "data_digests", "versions", "date"),
)
"""The columns of a row, in the order of the CSV."""


@dataclass
class _Run:
    """One run with what it recorded, or why it is left out."""

    record: RunRecord
    evidence: list[Evidence] = field(default_factory=list)
    left_out: str | None = None
    fault: str | None = None

    @property
    def pooled(self) -> bool:
        """Whether its evidence counts."""
        return self.left_out is None and self.fault is None


def _read(card: Card | None, record: RunRecord, notebook: Notebook, preset: str) -> _Run:
    """A run with its evidence."""
    run = _Run(record)
    if card is None:
        run.left_out = "the chapter is not in this book"
    elif record.preset != preset:
        run.left_out = f"preset {record.preset}"
    elif record.overrides:
        run.left_out = "parameters given by hand"
    try:
        run.evidence = [parse_evidence(payload) for payload in evidence_of(notebook)]
        if card is not None:
            _belongs(card, run.evidence)
    except EvidenceError as error:
        run.fault = str(error)
    return run


def _belongs(card: Card, evidence: Iterable[Evidence]) -> None:
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


def _conditions(record: RunRecord) -> str:
    """Everything but the seed that two runs must share to be pooled."""
    parameters = {name: value for name, value in record.parameters.items() if name != "seed"}
    shared = [record.code_digest, record.data_digests, record.versions, record.device, parameters]
    return json.dumps(shared, sort_keys=True, default=str)


def _leave_out_older(runs: Sequence[_Run]) -> None:
    """Keep, of each chapter, the runs that share the conditions of its newest: a number of old code is never pooled."""
    newest: dict[str, RunRecord] = {}
    counted = [run for run in runs if run.left_out is None]
    for run in sorted(counted, key=lambda run: run.record.date):
        newest[run.record.chapter] = run.record
    for run in counted:
        if _conditions(run.record) != _conditions(newest[run.record.chapter]):
            run.left_out = "other code, data, versions, device or parameters than the newest run"


def _merge(parts: Iterable[Mapping[str, float] | None], faults: list[str]) -> dict[str, float] | None:
    """The samples of several runs as one; a seed that several recorded counts once."""
    merged: dict[str, float] = {}
    for part in parts:
        for seed, value in (part or {}).items():
            known = merged.setdefault(seed, value)
            if not math.isclose(known, value, rel_tol=SAME, abs_tol=SAME * SAME):
                faults.append(f"not reproducible: seed {seed} gave two values ({known:.6g} and {value:.6g})")
    return clean(merged) if merged else None


def _pool(evidence: Sequence[Evidence]) -> tuple[Evidence, list[str]]:
    """The evidence of several runs for one claim as one, and what forbids to judge it."""
    faults: list[str] = []
    samples = _merge((one.samples for one in evidence), faults)
    held = [one.precondition for one in evidence]
    pooled = evidence[0].model_copy(
        update={
            "samples": samples,
            "control": _merge((one.control for one in evidence), faults),
            "rival": _merge((one.rival for one in evidence), faults),
            "precondition": False if False in held else None if None in held else True,
            "why": "; ".join(dict.fromkeys(one.why for one in evidence if one.precondition is False and one.why)),
        }
    )
    return pooled, faults


def _judged(claim: Claim, runs: Sequence[_Run], preset: str) -> tuple[Judgement, Evidence | None]:
    """The verdict on a claim over the runs of its chapter, and the pooled evidence."""
    if claim.testable is not True:
        return unjudged(Verdict.NOT_TESTABLE, claim.testable), None
    broken = [f"the evidence of seed {run.record.seed} is malformed: {run.fault}" for run in runs if run.fault]
    if broken:
        return unjudged(Verdict.PRECONDITION_FAILED, "; ".join(broken)), None
    if not runs:
        return unjudged(Verdict.NOT_YET_RUN, f"No run of the chapter with preset {preset} is in the cache."), None
    found = [one for run in runs for one in run.evidence if one.claim == claim.id]
    if not found:
        return unjudged(Verdict.NOT_YET_RUN, "The chapter ran, but its notebook does not record this claim yet."), None
    pooled, faults = _pool(found)
    if faults:
        return unjudged(Verdict.PRECONDITION_FAILED, f"{faults[0]}.", len(pooled.samples)), pooled
    return judgement_of(claim, pooled), pooled


def _beside(name: str | None, samples: Mapping[str, float] | None, numbers: Any, keys: str) -> dict[str, Any] | None:
    """A control or a rival in a row: always the same keys, ``None`` for what is not known."""
    if name is None and samples is None:
        return None
    return {"name": name, "samples": samples, **{key: (numbers or {}).get(key) for key in keys.split()}}


def _row(card: Card, claim: Claim, runs: Sequence[_Run], preset: str) -> dict[str, Any]:
    """One row of the ledger."""
    judgement, evidence = _judged(claim, runs, preset)
    plain = judgement.as_json()
    used = [run.record for run in runs if any(one.claim == claim.id for one in run.evidence)] if evidence else []
    return {
        "chapter": card.slug,
        "claim": claim.id,
        **claim.model_dump(mode="json", include={"says", "where", "kind", "rule", "paper"}),
        "rule_words": claim.rule.words if claim.rule else None,
        **{key: plain[key] for key in ("verdict", "reason", "n", "mean", "smallest_visible")},
        "samples": evidence.samples if evidence else {},
        "interval": None if plain["low"] is None else [plain["low"], plain["high"]],
        "unit": evidence.unit if evidence else "",
        "control": _beside(
            claim.control, evidence.control if evidence else None, plain["control"], "mean low high failed"
        ),
        "rival": _beside(claim.rival, evidence.rival if evidence else None, plain["rival"], "mean low high"),
        "preset": preset,
        **_cost(used),
    }


def _cost(records: Sequence[RunRecord]) -> dict[str, Any]:
    """What the runs behind a row cost and ran on."""
    newest = max(records, key=lambda record: record.date, default=None)
    return {
        "seeds": sorted({record.seed for record in records}),
        "device": newest.device if newest else None,
        "seconds": math.fsum(record.seconds for record in records) if records else None,
        "cpu_seconds": math.fsum(record.cpu_seconds for record in records) if records else None,
        "peak_memory_mb": max((record.peak_memory_mb for record in records), default=None),
        "code_digest": newest.code_digest if newest else None,
        "data_digests": newest.data_digests if newest else {},
        "versions": newest.versions if newest else {},
        "date": newest.date if newest else None,
    }


def _chapter(card: Card) -> dict[str, Any]:
    """What the pages need to know about a chapter beside its rows."""
    return card.model_dump(mode="json", include={"title", "finding", "part", "paper", "promise", "data", "departs"})


def collect(cards: Mapping[str, Card], runs: Iterable[tuple[RunRecord, Notebook]], preset: str) -> dict[str, Any]:
    """The ledger: every run, and one row per claim with the evidence of all seeds of ``preset`` pooled.

    A run with another preset, with parameters given by hand or under older conditions than the newest of its chapter is
    listed and not pooled. Malformed evidence fails the claims of its chapter and no other.
    """
    read = [_read(cards.get(record.chapter), record, notebook, preset) for record, notebook in runs]
    read.sort(key=lambda run: (run.record.chapter, run.record.preset, run.record.seed, run.record.date))
    _leave_out_older(read)
    rows = []
    for card in cards.values():
        own = [run for run in read if run.record.chapter == card.slug and run.left_out is None]
        rows += [_row(card, claim, own, preset) for claim in card.claims]
    listed: list[dict[str, Any]] = [
        {
            **run.record.model_dump(mode="json"),
            "claims": [one.claim for one in run.evidence],
            "pooled": run.pooled,
            "left_out": run.left_out,
            "fault": run.fault,
        }
        for run in read
    ]
    chapters = {slug: _chapter(card) for slug, card in cards.items()}
    return {"schema": 1, "preset": preset, "chapters": chapters, "runs": listed, "rows": rows}


# Files --------------------------------------------------------------------------------------------------------------


def _cell(value: Any) -> Any:
    """A value as a CSV cell; a text that a spreadsheet would take for a formula is quoted."""
    if isinstance(value, dict | list):
        return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _as_csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
    return text.getvalue()


def _replace(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old one or the new one, and never a half."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def write(ledger: Mapping[str, Any], path: Path) -> None:
    """Write the ledger as strict JSON, and its rows as CSV beside it."""
    as_json = json.dumps(ledger, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    as_csv = _as_csv(ledger["rows"])
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace(path, as_json)
    _replace(path.with_suffix(".csv"), as_csv)
