"""One piece of evidence: what a notebook recorded about a claim, checked, judged by the card's rule and shown.

The evidence in an executed notebook holds samples and no verdict. The verdict is computed from the card of the day
each time it is shown, so that a changed rule never leaves a stale one behind.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from html import escape
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError

from featlib.claims import Judgement, SampleError, Verdict, judge
from featlib.press.card import Claim

MIME = "application/vnd.featlib.evidence+json"


def _can_be_written(text: str) -> str:
    """``text``, if a file can hold it: half of a surrogate pair would stop the notebook from being saved."""
    text.encode()
    return text


Words = Annotated[str, AfterValidator(_can_be_written)]
Numbers = Annotated[dict[Words, FiniteFloat], Field(min_length=1)]


class EvidenceError(ValueError):
    """An output of our own type that does not hold what it must; the message says where and what."""


class Evidence(BaseModel):
    """What a notebook recorded about one claim: one number per seed, and what stands beside them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    version: Literal[1] = Field(default=1, alias="schema")
    chapter: Words
    claim: Words
    samples: Numbers
    control: Numbers | None = None
    rival: Numbers | None = None
    precondition: bool | None = None
    why: Words = ""
    unit: Words = ""

    def payload(self) -> dict[str, Any]:
        """Plain values for strict JSON."""
        return self.model_dump(by_alias=True, mode="json")


def parse_evidence(payload: Any) -> Evidence:
    """The evidence in a payload.

    Raises:
        EvidenceError: if it is none.
    """
    try:
        return Evidence.model_validate(payload)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"])
        raise EvidenceError(f"{place or 'evidence'}: {fault['msg']}, not {fault['input']!r:.60}") from error


def outputs_of(notebook: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Place and payload of every output of our own type in an executed notebook."""
    for cell_number, cell in enumerate(notebook.get("cells", []), start=1):
        for output_number, output in enumerate(cell.get("outputs", []), start=1):
            data = output.get("data", {})
            if MIME in data:
                yield f"cell {cell_number}, output {output_number}", data[MIME]


def evidence_of(notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All evidence in an executed notebook, checked.

    Raises:
        EvidenceError: if an output of our type is malformed; the message names the cell.
    """
    found = []
    for place, payload in outputs_of(notebook):
        try:
            found.append(parse_evidence(payload).payload())
        except EvidenceError as error:
            raise EvidenceError(f"{place}: {error}") from error
    return found


def unjudged(verdict: Verdict, reason: str, n: int = 0) -> Judgement:
    """A verdict that no numbers stand behind."""
    return Judgement(verdict, n, math.nan, -math.inf, math.inf, None, reason)


def judgement_of(claim: Claim, evidence: Evidence) -> Judgement:
    """The verdict of a claim's rule. Never raises: samples that cannot be judged are a failed precondition."""
    if claim.testable is not True:
        return unjudged(Verdict.NOT_TESTABLE, claim.testable, len(evidence.samples))
    assert claim.rule is not None  # a testable claim has one: the card was checked
    e = evidence
    try:
        judgement = judge(claim.rule, e.samples, e.control, e.rival, e.precondition, e.why)
    except SampleError as error:
        return unjudged(Verdict.PRECONDITION_FAILED, f"The samples cannot be judged: {error}.", len(e.samples))
    if e.control is None and judgement.verdict is not Verdict.PRECONDITION_FAILED:
        reason = f"The control ({claim.control}) was not recorded, so nothing shows that the rule can fail."
        return dataclasses.replace(judgement, verdict=Verdict.PRECONDITION_FAILED, reason=reason)
    return judgement


# Shown to people ----------------------------------------------------------------------------------------------------


def _with_interval(numbers: Mapping[str, Any]) -> str:
    """``mean [low, high]``, without what is not there."""
    if numbers["mean"] is None:
        return "none"
    interval = f" [{numbers['low']:.4g}, {numbers['high']:.4g}]" if numbers["low"] is not None else ""
    return f"{numbers['mean']:.4g}{interval}"


def _judged_rows(claim: Claim, evidence: Evidence) -> Iterator[tuple[str, str]]:
    """The lines of the table that need the card."""
    judgement = judgement_of(claim, evidence)
    plain = judgement.as_json()
    yield "Claim", f"{claim.says} ({claim.where})"
    yield "Rule", claim.rule.words if claim.rule else "none"
    yield "Ours", f"{_with_interval(plain)} {evidence.unit}".strip()
    if plain["control"]:
        failed = "failed, as it must" if plain["control"]["failed"] else "passed, as it must not"
        yield f"Control: {claim.control}", f"{_with_interval(plain['control'])}, {failed}"
    if plain["rival"]:
        yield f"Ours minus rival: {claim.rival or 'unnamed'}", _with_interval(plain["rival"])
    paper = claim.paper
    if paper.note or paper.value is not None:  # a claim of our own has no figure beside it
        yield "Paper", paper.note if paper.value is None else f"{paper.value:g} {paper.note}".strip()
    yield "Verdict", judgement.verdict.value
    yield "Why", judgement.reason


def _rows(evidence: Evidence, claim: Claim | None) -> Iterator[tuple[str, str]]:
    """The lines of the table."""
    if claim is None:
        yield "Claim", evidence.claim
        yield "Verdict", "the press gives it: the chapter's card is not here"
    else:
        yield from _judged_rows(claim, evidence)
    samples = ", ".join(f"{seed}: {value:.4g}" for seed, value in evidence.samples.items())
    yield f"Samples by seed ({len(evidence.samples)})", f"{samples} {evidence.unit}".strip()


def evidence_html(payload: Mapping[str, Any], claim: Claim | None) -> str:
    """The evidence as a table that a screen reader can read; every text in it is escaped.

    Raises:
        EvidenceError: if the payload is malformed.
    """
    evidence = parse_evidence(payload)
    lines = []
    for head, text in _rows(evidence, claim):
        value = escape(text)
        if head == "Verdict":
            value = f"<strong>{value}</strong>"
        lines.append(f'<tr><th scope="row">{escape(head)}</th><td>{value}</td></tr>')
    name = escape(evidence.claim)
    body = "\n".join(lines)
    return f'<table class="featlib-evidence">\n<caption>Evidence: {name}</caption>\n<tbody>\n{body}\n</tbody>\n</table>'


def evidence_text(payload: Mapping[str, Any], claim: Claim | None) -> str:
    """The same in one line, for a terminal.

    Raises:
        EvidenceError: if the payload is malformed.
    """
    evidence = parse_evidence(payload)
    if claim is None:
        return f"{evidence.claim}: {len(evidence.samples)} samples recorded; the press gives the verdict"
    judgement = judgement_of(claim, evidence)
    return f"{evidence.claim}: {judgement.verdict.value}. {judgement.reason}"
