"""The notebook's side of the evidence: ``ledger.record("claim-id", samples=per_seed, control=per_seed_control)``.

It writes one output into the notebook that the press reads later, and a table for the person in front of it. Light to
import: a notebook pays for nothing that only the press needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from featlib.claims import Judgement, SampleError, Samples, clean
from featlib.intervals import plain, same_seeds
from featlib.press.card import SLUG, Card, CardError, Claim, load_card
from featlib.press.evidence import MIME, Evidence, evidence_html, evidence_text, judgement_of, parse_evidence
from featlib.press.home import HomeError, find_home


class LedgerError(ValueError):
    """Something that cannot be recorded; the message says why and what would."""


@dataclass(frozen=True)
class Recorded:
    """What was recorded, with the claim it speaks of if its card was found."""

    evidence: Evidence
    claim: Claim | None

    @property
    def judgement(self) -> Judgement | None:
        """The verdict by the card as it is now; ``None`` without a card."""
        return None if self.claim is None else judgement_of(self.claim, self.evidence)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        payload = self.evidence.payload()
        return {
            MIME: payload,
            "text/html": evidence_html(payload, self.claim),
            "text/plain": evidence_text(payload, self.claim),
        }

    def __repr__(self) -> str:
        """The one line that a terminal shows."""
        return evidence_text(self.evidence.payload(), self.claim)


class Ledger:
    """Records the evidence of one chapter, and shows it at once under the rules of the chapter's card.

    Where there is no card (a notebook opened on its own), it records all the same: the verdict is then the press's.

    Example:
        >>> ledger = Ledger("cams")  # doctest: +SKIP
        >>> ledger.record("finds-object", samples={0: 0.31, 1: 0.28}, control={0: 0.02, 1: 0.0})  # doctest: +SKIP
    """

    def __init__(self, chapter: str) -> None:
        if not re.fullmatch(SLUG, chapter):
            raise LedgerError(f"{chapter!r} is no chapter: give the notebook's file name without .ipynb")
        self.chapter = chapter
        self.card = _card(chapter)
        self.recorded: dict[str, Recorded] = {}
        """What was recorded so far, by claim."""

    def record(
        self,
        claim_id: str,
        samples: Samples,
        control: Samples | None = None,
        rival: Samples | None = None,
        precondition: Any = None,
        why: str = "",
        seeds: Iterable[Any] | None = None,
        unit: str = "",
    ) -> None:
        """Record what the seeds gave for a claim, and display it.

        Args:
            claim_id: the claim's id on the card.
            samples: one number per seed: ``{seed: value}``, or a sequence with ``seeds``.
            control: the same for what must fail the rule.
            rival: the same for the trivial rival.
            precondition: true or false, whether what the claim presupposes holds (training had plateaued).
            why: what went wrong with the precondition.
            seeds: the seeds of the samples, where these are plain sequences.
            unit: of the samples.
        """
        claim = self._claim(claim_id)
        ours = _per_seed(samples, seeds, f"{claim_id}: samples")
        beside = {
            name: None if given is None else _per_seed(given, seeds, f"{claim_id}: {name}")
            for name, given in (("control", control), ("rival", rival))
        }
        for name, other in beside.items():
            if other is not None:
                same_seeds(ours, other, f"{claim_id}: {name}")
        about = {
            "chapter": self.chapter,
            "claim": claim_id,
            "precondition": plain(precondition),
            "why": why,
            "unit": unit,
        }
        recorded = Recorded(parse_evidence({"schema": 1, "samples": ours, **beside, **about}), claim)
        self.recorded[claim_id] = recorded
        _display(recorded)

    def _claim(self, claim_id: str) -> Claim | None:
        """The claim on the card, or ``None`` without a card.

        Raises:
            LedgerError: if the card has no such claim, or says that it cannot be tested.
        """
        if self.card is None:
            return None
        try:
            claim = self.card.claim(claim_id)
        except CardError as error:
            raise LedgerError(str(error)) from error
        if claim.testable is not True:
            raise LedgerError(f"the card says that {claim_id!r} is not testable here: {claim.testable}")
        return claim


def _card(chapter: str) -> Card | None:
    """The chapter's card in the checkout around us, if there is one."""
    try:
        path = find_home().notebooks / f"{chapter}.yml"
    except HomeError:
        return None
    return load_card(path) if path.exists() else None


def _per_seed(samples: Samples, seeds: Iterable[Any] | None, name: str) -> dict[str, float]:
    """The samples as ``{seed: number}``.

    Raises:
        SampleError: if the seeds of a plain sequence are missing, or as many as the samples they are not.
    """
    if isinstance(samples, Mapping):
        return clean(samples, name)
    numbers = clean(samples, name)
    if seeds is None:
        raise SampleError(f"{name}: say which seeds gave them: a mapping {{seed: value}}, or seeds=[...]")
    names = [str(plain(seed)) for seed in seeds]
    if len(names) != len(numbers):
        raise SampleError(f"{name}: {len(numbers)} of them for {len(names)} seeds")
    if len(set(names)) != len(names):
        raise SampleError(f"{name}: a seed stands there twice in seeds={names}")
    return clean(dict(zip(names, numbers.values(), strict=True)), name)


def _display(recorded: Recorded) -> None:
    """Write the output into the notebook."""
    from IPython.display import display

    display(recorded)  # type: ignore[no-untyped-call]
