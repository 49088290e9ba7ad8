"""Gives the evidence in a chapter a permanent name, so that the scoreboard leads to the cell that measured a claim."""

from __future__ import annotations

import re

from docutils import nodes
from markupsafe import Markup

from .row import evidence_anchor

TABLE = re.compile(r'<table class="featlib-evidence">(?=\s*<caption>Evidence: ([a-z0-9-]+)</caption>)')


def name_evidence(doctree: nodes.document) -> None:
    """Put the name on every table of evidence; where a chapter records a claim twice, the first has it."""
    seen: set[str] = set()

    def named(found: re.Match[str]) -> str:
        if found[1] in seen:
            return found[0]
        seen.add(found[1])
        return str(Markup('<table class="featlib-evidence" id="{}">').format(evidence_anchor(found[1])))

    for node in list(doctree.findall(nodes.raw)):
        text = TABLE.sub(named, node.astext())
        if text != node.astext():
            node.children = [nodes.Text(text)]
            node.rawsource = text
