"""What a term means, on the link itself: from the glossary into the ``title`` of every link to it.

Citations bring theirs already. The page's script turns both into a note that opens on focus too; without it the
browser shows the title.
"""

from __future__ import annotations

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

LONGEST = 320
"""Characters of a definition that a hover note shows."""


class Definitions:
    """The definitions of all glossaries, by the anchor of the term."""

    def __init__(self) -> None:
        self.known: dict[tuple[str, str], str] = {}

    def read(self, app: Sphinx, env: BuildEnvironment) -> None:
        """Collect them, after all pages were read."""
        for page in sorted(env.found_docs):
            for glossary in env.get_doctree(page).findall(addnodes.glossary):
                for item in glossary.findall(nodes.definition_list_item):
                    self.add(page, item)

    def add(self, page: str, item: nodes.definition_list_item) -> None:
        """One entry of a glossary; its first paragraph is what a note has room for."""
        paragraph = next(iter(item.findall(nodes.paragraph)), None)
        said = " ".join(paragraph.astext().split()) if paragraph is not None else ""
        for term in item.findall(nodes.term):
            self.known.update({(page, name): shortened(said) for name in term["ids"]})

    def write(self, app: Sphinx, doctree: nodes.document, page: str) -> None:
        """Put them on the links of a page."""
        assert app.builder is not None
        for link in doctree.findall(nodes.reference):
            address, _, anchor = link.get("refuri", "").partition("#")
            for target, name in self.known:
                here = app.builder.get_relative_uri(page, target) if target != page else ""
                if (anchor or link.get("refid")) == name and address == here:
                    link["reftitle"] = self.known[target, name]


def shortened(text: str) -> str:
    """A text that a note has room for, cut between words."""
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " \u2026"
