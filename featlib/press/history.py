"""What the verdicts were: the archive and the cards of an earlier commit, judged anew.

Nothing of this is stored. A verdict of the past is computed from the evidence and the rule that stood in that commit,
so it can no more be typed by hand than one of today.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from featlib.press import archive
from featlib.press.card import Card, CardError, parse_card
from featlib.press.collect import collect
from featlib.press.git import git

CARDS, EVIDENCE = "notebooks", "book/evidence"
KEPT = ("verdict", "n", "mean", "interval")
"""What is told of a row of the past."""
NOWHERE: dict[str, Any] = {"verdict": "not on a card", "n": 0, "mean": None, "interval": None}


class HistoryError(ValueError):
    """A commit that git does not know here."""


def verdicts_at(root: Path, revision: str, preset: str) -> dict[tuple[str, str], dict[str, Any]]:
    """By chapter and claim what the archive came to in a commit, tag or branch; without archive, *not yet run*.

    Raises:
        HistoryError: if git does not know it.
    """
    try:
        sha = git(root, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}").strip()
        listed = git(root, "ls-tree", "--name-only", "-z", sha, f"{CARDS}/").split("\0")
    except (OSError, subprocess.CalledProcessError):
        hint = "give a commit, tag or branch; a shallow clone has few"
        raise HistoryError(f"git knows no commit {revision!r} here: {hint}") from None
    slugs = [PurePosixPath(name).stem for name in listed if name.endswith(".yml")]
    texts = _texts(root, [f"{sha}:{name}" for slug in slugs for name in _files(slug)])
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for slug in slugs:
        for claim, row in _judged(slug, texts, sha, preset).items():
            found[slug, claim] = row
    return found


def histories(root: Path, slugs: Iterable[str], preset: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """By chapter and claim every verdict that it had since there was evidence, each with the commit that brought it.

    Empty where git knows nothing: no checkout, no git, or a history that was cut.
    """
    try:
        if git(root, "rev-parse", "--is-shallow-repository").strip() != "false":
            return {}
        wanted = {slug: _commits(root, slug) for slug in slugs if (root / EVIDENCE / f"{slug}.jsonl").exists()}
    except (OSError, subprocess.CalledProcessError):
        return {}
    names = [f"{sha}:{name}" for slug, commits in wanted.items() for sha, _ in commits for name in _files(slug)]
    texts = _texts(root, names)
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for slug, commits in wanted.items():
        for sha, day in commits:
            if f"{sha}:{EVIDENCE}/{slug}.jsonl" not in texts:
                continue
            for claim, row in _judged(slug, texts, sha, preset).items():
                known = found.setdefault((slug, claim), [])
                if not known or known[-1]["verdict"] != row["verdict"]:
                    known.append({**row, "commit": sha, "day": day})
    return found


def flips(
    then: Mapping[tuple[str, str], Mapping[str, Any]], now: Iterable[Mapping[str, Any]]
) -> Iterator[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]]:
    """Chapter, claim, and what it was and is, for every claim whose verdict is another than then."""
    today = {(row["chapter"], row["claim"]): row for row in now}
    for chapter, claim in dict.fromkeys([*then, *today]):
        before, after = (rows.get((chapter, claim), NOWHERE) for rows in (then, today))
        if before["verdict"] != after["verdict"]:
            yield chapter, claim, before, after


def _files(slug: str) -> tuple[str, str]:
    """The two files on which the verdicts of a chapter rest."""
    return f"{CARDS}/{slug}.yml", f"{EVIDENCE}/{slug}.jsonl"


def _commits(root: Path, slug: str) -> list[tuple[str, str]]:
    """The commits that touched a chapter's card or evidence, and their days, the oldest first."""
    lines = git(root, "log", "--reverse", "--format=%H %cs", "--", *_files(slug)).splitlines()
    return [(sha, day) for sha, _, day in (line.partition(" ") for line in lines)]


def _judged(slug: str, texts: Mapping[str, str], sha: str, preset: str) -> dict[str, dict[str, Any]]:
    """The verdicts of a chapter by the files of a commit; none if its card breaks today's schema."""
    card_name, evidence_name = (f"{sha}:{name}" for name in _files(slug))
    try:
        card: Card = parse_card(texts.get(card_name, ""), Path(f"{slug}.yml"))
    except CardError:
        return {}
    known = archive.parse(texts.get(evidence_name, ""), slug, evidence_name)
    # Which of these runs were of the code of that commit cannot be told any more: the newest stands for it.
    rows = collect({slug: card}, [], preset, [(run, "the code changed since") for run in known.runs])["rows"]
    return {row["claim"]: {key: row[key] for key in KEPT} for row in rows}


def _texts(root: Path, names: Iterable[str]) -> dict[str, str]:
    """The contents of files by ``commit:path``, from one call of git; what is not there, or is no text, is left out."""
    asked = [name for name in names if "\n" not in name]
    done = subprocess.run(
        ["git", "-C", str(root), "cat-file", "--batch"],
        input="".join(f"{name}\n" for name in asked).encode(),
        capture_output=True,
        check=True,
    )
    found, rest = {}, done.stdout
    for name in asked:
        head, _, rest = rest.partition(b"\n")
        if head.endswith(b" missing"):
            continue
        size = int(head.rpartition(b" ")[2])
        with suppress(UnicodeDecodeError):
            found[name] = rest[:size].decode()
        rest = rest[size + 1 :]
    return found
