"""All evidence of a set of runs -> the ledger: one row for every claim of every card, whether it was run or not."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, Field, FiniteFloat, ValidationError

from featlib.claims import Judgement, Verdict
from featlib.press.archive import ArchivedRun
from featlib.press.card import Card, Claim
from featlib.press.evidence import (
    EvidenceError,
    evidence_html,
    evidence_of,
    evidence_text,
    judgement_of,
    parse_evidence,
    unjudged,
)
from featlib.press.files import replace_file
from featlib.press.pool import TWICE, Pool, Run, belongs, pool, setting, settle
from featlib.press.record import RunRecord

__all__ = ["FIELDS", "collect", "evidence_html", "evidence_of", "evidence_text", "write"]

Notebook: TypeAlias = Mapping[str, Any]
FIELDS = (
    *("chapter", "claim", "says", "where", "kind", "rule", "rule_words", "paper"),
    *("verdict", "reason", "n", "samples", "mean", "interval", "smallest_visible", "unit", "control", "rival"),
    *("preset", "seeds", "device", "seconds", "cpu_seconds", "peak_memory_mb"),
    *("code_digest", "data_digests", "versions", "date", "archived", "stale", "history"),
)
"""The columns of a row, in the order of the CSV."""
BY_HAND = "parameters given by hand"


def _read(card: Card | None, record: RunRecord, notebook: Notebook) -> Run:
    """A run of the cache with its evidence."""
    run = Run(record)
    try:
        run.evidence = [parse_evidence(payload) for payload in evidence_of(notebook)]
        if card is not None:
            belongs(card, run.evidence)
    except EvidenceError as error:
        run.fault = str(error)
    return run


def _unpack(card: Card | None, archived: ArchivedRun, stale: str) -> Run:
    """A run of the archive; what it says of claims that the card has no longer is history."""
    known = {claim.id for claim in card.claims} if card else set()
    evidence = [one for one in archived.evidence if one.claim in known]
    return Run(archived.run, evidence, stale=stale, archived=True)


def _sort_out(card: Card | None, run: Run, preset: str) -> None:
    """Leave out what the scoreboard does not speak of."""
    if card is None:
        run.left_out = "the chapter is not in this book"
    elif run.record.preset != preset:
        run.left_out = f"preset {run.record.preset}"
    elif run.record.overrides:
        run.left_out = BY_HAND


def _judged(claim: Claim, base: Sequence[Run], older: Sequence[Run], preset: str) -> tuple[Judgement, Pool | None]:
    """The verdict on a claim over the runs of its chapter, and the pooled evidence."""
    if claim.testable is not True:
        return unjudged(Verdict.NOT_TESTABLE, claim.testable), None
    broken = [f"the evidence of seed {run.record.seed} is malformed: {run.fault}" for run in base if run.fault]
    if broken:
        return unjudged(Verdict.PRECONDITION_FAILED, "; ".join(broken)), None
    if not base:
        nowhere = f"No run of the chapter with preset {preset} is in the cache or in the archive."
        return unjudged(Verdict.NOT_YET_RUN, nowhere), None
    pooled = pool(claim.id, base, older)
    if pooled is None:
        return unjudged(Verdict.NOT_YET_RUN, "The chapter ran, but its notebook does not record this claim yet."), None
    if pooled.faults:
        n = len(pooled.evidence.samples)
        return unjudged(Verdict.PRECONDITION_FAILED, f"{pooled.faults[0]}.", n), pooled
    return judgement_of(claim, pooled.evidence), pooled


def _beside(name: str | None, samples: Mapping[str, float] | None, numbers: Any, keys: str) -> dict[str, Any] | None:
    """A control or a rival in a row: always the same keys, ``None`` for what is not known."""
    if name is None and samples is None:
        return None
    return {"name": name, "samples": samples, **{key: (numbers or {}).get(key) for key in keys.split()}}


def _row(card: Card, claim: Claim, base: Sequence[Run], older: Sequence[Run], preset: str) -> dict[str, Any]:
    """One row of the ledger."""
    judgement, pooled = _judged(claim, base, older, preset)
    plain, evidence = judgement.as_json(), pooled.evidence if pooled else None
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
        **_cost([run.record for run in pooled.runs] if pooled else []),
        "archived": len(pooled.archived) if pooled else 0,
        "stale": _stale(pooled) if pooled and pooled.stale else None,
        "history": [],
    }


def _stale(pooled: Pool) -> dict[str, Any]:
    """What of a row rests on code that has changed since, and which seeds were run again to the same result."""
    return {"seeds": [*pooled.stale], "why": sorted({*pooled.stale.values()}), "vouched": pooled.vouched}


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


def collect(
    cards: Mapping[str, Card],
    runs: Iterable[tuple[RunRecord, Notebook]],
    preset: str,
    archived: Iterable[tuple[ArchivedRun, str]] = (),
) -> dict[str, Any]:
    """The ledger: every run, and one row per claim with the evidence of all seeds of ``preset`` pooled.

    A run with another preset, with parameters given by hand or under older conditions than the newest of its chapter is
    listed and not pooled; see :mod:`featlib.press.pool` for what counts of the archive. Malformed evidence fails the
    claims of its chapter and no other.

    Args:
        cards: the chapters of the book.
        runs: the runs in the cache that today's code would give again, with their notebooks.
        preset: the preset that the rows speak of.
        archived: the runs in the archive, each with what changed since; empty for those of today's code.
    """
    read = [_read(cards.get(record.chapter), record, notebook) for record, notebook in runs]
    read += [_unpack(cards.get(one.run.chapter), one, stale) for one, stale in archived]
    read.sort(key=lambda run: (run.record.chapter, run.record.preset, run.record.seed, run.record.date, run.archived))
    for run in read:
        _sort_out(cards.get(run.record.chapter), run, preset)
    rows = []
    for card in cards.values():
        base, older = settle([run for run in read if run.record.chapter == card.slug])
        rows += [_row(card, claim, base, older, preset) for claim in card.claims]
    chapters = {slug: _chapter(card) for slug, card in cards.items()}
    listed: list[dict[str, Any]] = [_listed(run) for run in read if run.left_out != TWICE]
    sweeps = [row for card in cards.values() for row in _sweeps(card, read, preset)]
    return {"schema": 1, "preset": preset, "chapters": chapters, "runs": listed, "rows": rows, "sweeps": sweeps}


def _sweeps(card: Card, runs: Iterable[Run], preset: str) -> Iterator[dict[str, Any]]:
    """The rows of a chapter under parameters of their own: pooled over seeds, and each with these parameters."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        if run.record.chapter == card.slug and run.left_out == BY_HAND:
            groups.setdefault(setting(run.record), []).append(replace(run, left_out=None))
    for group in groups.values():
        base, older = settle(group)
        for row in (_row(card, claim, base, older, preset) for claim in card.claims):
            if row["samples"]:
                parameters = {name: value for name, value in group[0].record.parameters.items() if name != "seed"}
                yield {**row, "overrides": group[0].record.overrides, "parameters": parameters}


def _listed(run: Run) -> dict[str, Any]:
    """A run as the ledger lists it."""
    return {
        **run.record.model_dump(mode="json"),
        "claims": [one.claim for one in run.evidence],
        "pooled": run.pooled,
        "left_out": None if run.pooled else run.left_out,
        "fault": run.fault,
        "archived": run.archived,
        "stale": run.stale or None,
    }


class LedgerFileError(ValueError):
    """A ledger that the press did not write."""


def read_ledger(path: Path) -> dict[str, Any]:
    """The ledger in a file, as far as the pages rely on it.

    Raises:
        LedgerFileError: if it is none; the message says how to get one.
    """
    try:
        ledger = json.loads(path.read_bytes())
        _Ledger.model_validate(ledger)
    except (OSError, ValueError, RecursionError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        why = f"{'.'.join(map(str, first['loc']))}: {first['msg']}" if first else type(error).__name__
        hint = "another version of featlib wrote it, or something else; run `featlib run` again"
        raise LedgerFileError(f"{path.name} cannot be read ({why:.200}): {hint}") from None
    found: dict[str, Any] = ledger
    return found


class _Row(BaseModel):
    """A row as it is drawn."""

    chapter: str
    claim: str
    says: str
    verdict: Verdict
    reason: str
    n: int
    mean: FiniteFloat | None
    interval: tuple[FiniteFloat | None, FiniteFloat | None] | None
    samples: dict[str, FiniteFloat]
    seeds: list[int]
    preset: str
    history: list[dict[str, Any]]


class _Ledger(BaseModel):
    """What a ledger must hold."""

    version: Literal[1] = Field(alias="schema")
    preset: str
    runs: list[dict[str, Any]]
    rows: list[_Row]
    sweeps: list[_Row]


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


def write(ledger: Mapping[str, Any], path: Path) -> None:
    """Write the ledger as strict JSON, and its rows as CSV beside it."""
    as_json = json.dumps(ledger, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    as_csv = _as_csv(ledger["rows"])
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, as_json)
    replace_file(path.with_suffix(".csv"), as_csv)
