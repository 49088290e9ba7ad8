"""When each rule was written: the commit that last touched the lines of a claim's rule on its card."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from featlib.press.git import git
from featlib.press.home import HomeError, find_home
from featlib.press.links import NOTEBOOKS

LINE = re.compile(r"^([0-9a-f]{40}) \d+ (\d+)")
NO_COMMIT = "0" * 40


@dataclass(frozen=True)
class Written:
    """The commit that a line comes from, and its day."""

    sha: str
    day: str


def rules_written(root: Path, slug: str) -> dict[str, Written]:
    """For each claim the youngest commit of its rule; claims for which git does not know one are left out.

    The card below ``root`` may be a copy on the stage, which git does not know. The checkout around it, or the one that
    featlib runs from, answers for it if its card is the same.
    """
    card = root / NOTEBOOKS / f"{slug}.yml"
    text = card.read_bytes()
    for place in dict.fromkeys((root, *checkouts(root))):
        twin = place / NOTEBOOKS / card.name
        if twin.exists() and twin.read_bytes() == text and (lines := blame(place, twin)):
            found = ((name, [lines[n] for n in numbers if n in lines]) for name, numbers in rule_lines(text.decode()))
            return {
                name: max(commits, key=lambda commit: commit.day)
                for name, commits in found
                if commits and all(commit.sha != NO_COMMIT for commit in commits)
            }
    return {}


def checkouts(root: Path) -> Iterator[Path]:
    """The checkout around the folder ``root``, if there is one."""
    try:
        yield find_home(root.parent).root
    except HomeError:
        return


def blame(folder: Path, file: Path) -> dict[int, Written]:
    """The commit of each line of a file; empty where git is missing, does not know the file or has cut its history."""
    name = file.relative_to(folder).as_posix()
    try:
        shallow = git(folder, "rev-parse", "--is-shallow-repository").strip() != "false"
        text = "" if shallow else git(folder, "blame", "--root", "--line-porcelain", "--", name)
    except (OSError, subprocess.CalledProcessError):
        return {}
    lines: dict[int, Written] = {}
    sha, number = "", 0
    for line in text.splitlines():
        if found := LINE.match(line):
            sha, number = found[1], int(found[2])
        elif line.startswith("committer-time "):
            day = datetime.fromtimestamp(int(line.split()[1]), UTC).date().isoformat()
            lines[number] = Written(sha, day)
    return lines


def rule_lines(card: str) -> Iterator[tuple[str, range]]:
    """The numbers of the lines on which each claim's rule stands."""
    for claim in child(yaml.compose(card), "claims").value:
        name, rule = child(claim, "id"), child(claim, "rule")
        if rule is not None:
            yield name.value, range(rule.start_mark.line + 1, last_line(rule) + 1)


def child(node: Any, key: str) -> Any:
    """The value of a key in a YAML mapping."""
    return next((value for name, value in node.value if name.value == key), None)


def last_line(node: Any) -> int:
    """The last line that says something: a block's own end mark lies on the next entry."""
    if isinstance(node, yaml.MappingNode):
        return max(last_line(value) for _, value in node.value)
    if isinstance(node, yaml.SequenceNode):
        return max(last_line(value) for value in node.value)
    return int(node.end_mark.line) + 1
