"""The evidence pages of the stage: one for each chapter, listed below the scoreboard. They stand in no checkout.

The scoreboard shows every claim of the book, so what stands behind a verdict (every seed, the rule, the runs) has a
page for each chapter: together they would outgrow what a first visit may weigh.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from .card import Card
from .links import EVIDENCE, NOTEBOOKS, SCOREBOARD, address, evidence_page

__all__ = ["dossiers", "write_dossiers"]

PAGE = """---
html_theme.sidebar_secondary.remove: true
---

# Evidence: {title}

What stands behind each verdict on the claims of [its chapter]({chapter}).
Their rows among all claims of the book are on the [scoreboard]({board}).

```{{chapter-evidence}} {slug}
```
"""
PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
"""What Markdown could read as markup; a backslash before it makes it plain text."""


def write_dossiers(tree: Path, cards: Mapping[str, Card]) -> None:
    """Write the evidence page of every chapter into the staged ``tree``, and list them all below the scoreboard.

    A book without a scoreboard has none of them.
    """
    toc = yaml.safe_load((tree / "_toc.yml").read_text("utf8"))
    boards = [entry for entry in entries(toc) if name_of(entry) == SCOREBOARD]
    for board in boards:
        board.setdefault("sections", []).extend({"file": evidence_page(slug)} for slug in cards)
    if not boards:
        return
    (tree / "_toc.yml").write_text(yaml.safe_dump(toc, sort_keys=False, allow_unicode=True), "utf8")
    (tree / EVIDENCE).mkdir()
    for slug, card in cards.items():
        page = evidence_page(slug)
        chapter, score = address(page, f"{NOTEBOOKS}/{slug}.ipynb"), address(page, f"{SCOREBOARD}.md")
        title = PUNCTUATION.sub(r"\\\1", " ".join(card.title.split()))
        text = PAGE.format(title=title, chapter=chapter, board=score, slug=slug)
        (tree / f"{page}.md").write_text(text, "utf8")


def dossiers(listed: Iterable[str], cards: Mapping[str, Card]) -> list[str]:
    """The evidence pages of a book whose table of contents has the documents ``listed``."""
    return [evidence_page(slug) for slug in cards] if SCOREBOARD in listed else []


def entries(node: Any) -> Iterator[dict[str, Any]]:
    """Every entry of a table of contents, at any depth."""
    if isinstance(node, dict):
        yield node
    for inner in (*node.values(),) if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from entries(inner)


def name_of(entry: Mapping[str, Any]) -> str:
    """The document of an entry, without its suffix."""
    return str(entry.get("file", "")).removesuffix(".md")
