"""The archive: the evidence of long runs, one JSON object a line in ``book/evidence/<slug>.jsonl``, under git.

A line holds one run: what is known of it, what it recorded, the commit of the checkout and a digest of all that. It is
data and is read as such: a line that is not exactly as it was written is named and left out. The digest shows an
accident; who wrote a line is for git to say.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from featlib.press.evidence import Evidence
from featlib.press.files import replace_file
from featlib.press.record import RunRecord

LONGEST = 1_000_000
"""Characters of a line: far more than any run records."""


class ArchiveError(ValueError):
    """The archive cannot be added to; the message says what puts it right."""


class ArchivedRun(BaseModel):
    """One line: a run with its evidence and where it came from."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)

    version: Literal[1] = Field(default=1, alias="schema")
    run: RunRecord
    evidence: list[Evidence] = Field(min_length=1)
    commit: str | None = None
    """What was checked out when the line was written, with a ``+`` if files had been changed since."""

    def line(self) -> str:
        """The line, without its end."""
        content = self.model_dump(by_alias=True, mode="json")
        return _text({**content, "digest": hashlib.sha256(_text(content).encode()).hexdigest()})


@dataclass
class Archive:
    """What could be read, and one line for each thing that could not."""

    runs: list[ArchivedRun] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def parse_line(text: str) -> ArchivedRun:
    """The run in a line.

    Raises:
        ArchiveError: if the line was not written by :meth:`ArchivedRun.line`, or a character of it has changed since.
    """
    try:
        if len(text) > LONGEST:
            raise ArchiveError(f"longer than {LONGEST} characters")
        content = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
        if not isinstance(content, dict):
            raise ArchiveError("no JSON object")
        stated = content.pop("digest", None)
        run = ArchivedRun.model_validate(content)
        if stated != hashlib.sha256(_text(content).encode()).hexdigest() or run.line() != text:
            raise ArchiveError("its digest is another: it is not as it was written")
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "line"
        raise ArchiveError(f"{place:.80}: {fault['msg']:.120}") from None
    except RecursionError:
        raise ArchiveError("nested too deeply") from None
    except ValueError as error:
        raise ArchiveError(f"{error}"[:200]) from None
    return run


def parse(text: str, slug: str, name: str) -> Archive:
    """The runs in the text of one chapter's file; a line that stands there twice counts once."""
    found = Archive()
    seen: set[str] = set()
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip() or line in seen:
            continue
        seen.add(line)
        try:
            run = parse_line(line)
            strangers = {run.run.chapter, *(one.chapter for one in run.evidence)} - {slug}
            if strangers:
                raise ArchiveError(f"evidence for {min(strangers)!r:.60} in the file of {slug!r}")
        except ArchiveError as error:
            found.faults.append(f"{name}:{number}: {error}")
        else:
            found.runs.append(run)
    return found


def read(folder: Path, slugs: Iterable[str]) -> Archive:
    """All runs of these chapters, and whatever in the folder is no evidence of theirs."""
    whole, known = Archive(), [*slugs]
    for slug in known:
        part = _read_file(folder / f"{slug}.jsonl", slug)
        whole.runs += part.runs
        whole.faults += part.faults
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem not in known:
            whole.faults.append(f"{_name(path)}: the book has no chapter of this name")
    return whole


def add(folder: Path, runs: Sequence[ArchivedRun]) -> dict[Path, tuple[int, int]]:
    """Write runs into the files of their chapters; for each file how many were new, and how many it now holds.

    A run that is there already, with the same evidence, is left as it is.

    Raises:
        ArchiveError: if a file holds a line that cannot be read; nothing is written to it then.
    """
    done: dict[Path, tuple[int, int]] = {}
    for slug in dict.fromkeys(run.run.chapter for run in runs):
        path = folder / f"{slug}.jsonl"
        known = _read_file(path, slug)
        if known.faults:
            raise ArchiveError("\n".join([*known.faults, f"{_name(path)}: restore it from git, or remove these lines"]))
        new = list(_new(known.runs, [run for run in runs if run.run.chapter == slug]))
        kept = sorted([*known.runs, *new], key=_order)
        if new:
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, "".join(f"{run.line()}\n" for run in kept))
        done[path] = (len(new), len(kept))
    return done


def _new(known: Sequence[ArchivedRun], runs: Iterable[ArchivedRun]) -> Iterator[ArchivedRun]:
    """The runs that say something that is not known yet."""
    seen = {(run.run.digest, _text([one.payload() for one in run.evidence])) for run in known}
    for run in runs:
        key = (run.run.digest, _text([one.payload() for one in run.evidence]))
        if key not in seen:
            seen.add(key)
            yield run


def _order(run: ArchivedRun) -> tuple[str, str, int, str, str]:
    """Where a run stands in its file: one order for every machine, so that git shows only what is new."""
    record = run.run
    return record.preset, _text(record.overrides), record.seed, record.date, record.digest


def _read_file(path: Path, slug: str) -> Archive:
    """One file; none is an empty one."""
    if path.is_symlink():
        return Archive(faults=[f"{_name(path)}: a link; evidence lies in the file itself"])
    try:
        return parse(path.read_bytes().decode(), slug, _name(path))
    except FileNotFoundError:
        return Archive()
    except (OSError, UnicodeDecodeError) as error:
        return Archive(faults=[f"{_name(path)}: cannot be read ({type(error).__name__})"])


def _name(path: Path) -> str:
    """A file as people name it: with the two folders it lies in."""
    return "/".join(path.parts[-3:])


def _text(value: Any) -> str:
    """The one way in which a value is written."""
    return json.dumps(value, sort_keys=True, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def _refuse(constant: str) -> NoReturn:
    raise ArchiveError(f"{constant} is no number")


def _once(pairs: Sequence[tuple[str, Any]]) -> Mapping[str, Any]:
    """An object in which no key stands twice."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ArchiveError("a key stands there twice")
    return content
