"""Style sheets without the rules that no page of the site can use: the theme brings 0.5 MB, a quarter of it is used."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

import tinycss2

__all__ = ["drop_unused_properties", "drop_unused_rules", "words"]

NESTED = frozenset({"media", "supports"})
ICON_FONT = re.compile(r"Font\W*Awesome")
WORD = re.compile(r"[A-Za-z_][\w-]*")
MENTION = re.compile(r"--[\w-]+")
READ = re.compile(r"var\(\s*(--[\w-]+)")
LEGAL = re.compile(r"/\*!.*?\*/", re.DOTALL)
Tokens = list[Any]


def words(script: str) -> set[str]:
    """Everything in a script that could be a class or an id that it gives to an element."""
    return set(WORD.findall(script))


def drop_unused_rules(sheet: str, known: Set[str], used: Set[str] | None = None) -> str:
    """A style sheet without what no page can use; licences stay.

    Args:
        sheet: the style sheet.
        known: every class and id that an element can have; selectors that need another one go.
        used: the custom properties that are read somewhere, the others go; ``None`` keeps them all.
    """
    rules = tinycss2.parse_stylesheet(sheet, skip_comments=True, skip_whitespace=True)
    return "".join([*LEGAL.findall(sheet), *_rules(rules, known, used)])


def drop_unused_properties(sheets: Mapping[str, str], known: Set[str], elsewhere: str) -> dict[str, str]:
    """The sheets without custom properties that neither they nor the pages and scripts (``elsewhere``) read.

    A property that only an unused one reads is unused as well, so this goes on until nothing changes.
    """
    outside, now = set(MENTION.findall(elsewhere)), dict(sheets)
    while True:
        used = outside.union(*(READ.findall(sheet) for sheet in now.values()))
        before, now = now, {name: drop_unused_rules(sheet, known, used) for name, sheet in now.items()}
        if now == before:
            return now


def _rules(rules: Iterable[Any], known: Set[str], used: Set[str] | None) -> Iterator[str]:
    """The rules that stay, as text."""
    for rule in rules:
        if rule.type == "qualified-rule":
            kept = [part for part in _split(rule.prelude, ",") if _names(part) <= known]
            block = _block(rule.content, used)
            if kept and block:
                yield ",".join(tinycss2.serialize(part).strip() for part in kept) + f"{{{block}}}"
        elif rule.type == "at-rule" and rule.lower_at_keyword in NESTED and rule.content is not None:
            inside = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
            text = "".join(_rules(inside, known, used))
            if text:
                yield f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{text}}}"
        elif rule.type == "at-rule":
            text = rule.serialize()
            if not (rule.lower_at_keyword == "font-face" and ICON_FONT.search(text)):
                yield text


def _block(content: Tokens, used: Set[str] | None) -> str:
    """The declarations of a rule, without comments and without custom properties that nothing reads."""
    kept = []
    for part in _split([token for token in content if token.type != "comment"], ";"):
        text = tinycss2.serialize(part).strip()
        name = MENTION.match(text)
        if text and (name is None or used is None or name[0] in used):
            kept.append(text)
    return ";".join(kept)


def _split(tokens: Tokens, sign: str) -> Iterator[Tokens]:
    """The stretches between the commas of a selector, or the semicolons of a block."""
    part: Tokens = []
    for token in tokens:
        if token.type == "literal" and token.value == sign:
            yield part
            part = []
        else:
            part.append(token)
    yield part


def _names(selector: Tokens) -> set[str]:
    """The classes and ids without which a selector matches nothing. What stands in ``:is()`` or ``:not()`` may fail."""
    found, before = set(), ""
    for token in selector:
        if token.type == "hash" or (token.type == "ident" and before == "."):
            found.add(token.value)
        before = token.value if token.type == "literal" else ""
    return found
