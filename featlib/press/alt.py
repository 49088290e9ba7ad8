"""The figure lint: an image says in words what it shows, or says that it is decoration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

from .notebooks import code_cells

__all__ = ["FEWEST", "Image", "fault", "images", "undescribed"]

FEWEST = 4
"""Words of a description."""
FILE = re.compile(r"^\S+\.(png|jpe?g|webp|svg|gif|avif)$|^(image|img|figure|plot|picture)?[-_ ]?\d*$", re.IGNORECASE)
CHAPTER_PICTURE = re.compile(r"_static/chapters/")
"""A chapter's picture on the home page stands beside its finding, and is described in the chapter."""
MARKDOWN = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)")
RECORD = "application/papermill.record/"
"""What glue puts before the kind of an output."""
REMEDY = "end the cell with figures.show(figure, describe=...)"


class Image:
    """One image of a page with what is needed to judge it."""

    def __init__(self, attributes: dict[str, str | None], within: bool) -> None:
        self.source = attributes.get("src") or ""
        self.alt = attributes.get("alt")
        hidden = attributes.get("aria-hidden") == "true" or attributes.get("role") in {"presentation", "none"}
        # Within a link or a button the words beside the image name it.
        self.decorative = hidden or within or bool(CHAPTER_PICTURE.search(self.source))

    @property
    def name(self) -> str:
        """How a message calls it."""
        return "an inline image" if self.source.startswith("data:") else self.source


def fault(image: Image) -> str | None:
    """What is wrong with the description of an image, if anything."""
    alt = None if image.alt is None else " ".join(image.alt.split())
    if alt is None:
        return "has no alt"
    if not alt:
        return None if image.decorative else 'has an empty alt and is not marked as decoration (role="presentation")'
    if FILE.match(alt):
        return f"has a file name for an alt: {alt!r}"
    if len(alt.split()) < FEWEST:
        return f"has an alt of fewer than {FEWEST} words: {alt!r}"
    return None


def images(html: str) -> list[Image]:
    """The images in a piece of HTML."""
    reader = _Images()
    reader.feed(html)
    reader.close()
    return reader.found


class _Images(HTMLParser):
    """Collects images, and knows whether they lie in a link or a button."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Image] = []
        self.depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an image."""
        self.depth += tag in {"a", "button"}
        if tag == "img":
            self.found.append(Image(dict(attrs), self.depth > 0))

    def handle_endtag(self, tag: str) -> None:
        """Leave a link or a button."""
        self.depth -= tag in {"a", "button"}


def undescribed(notebook: Any) -> Iterator[str]:
    """The pictures of a notebook that no reader can hear of: bare outputs, and images without a fair description."""
    for number, cell in enumerate(code_cells(notebook), 1):
        for output in cell.get("outputs", []):
            for said in _of_output(output):
                yield f"code cell {number} {said}: {REMEDY}"
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            for alt, source in MARKDOWN.findall("".join(cell["source"])):
                wrong = fault(Image({"src": source, "alt": alt}, within=False))
                if wrong:
                    yield f"the image {source} in the text {wrong}: describe it in the brackets"


def _of_output(output: Any) -> Iterator[str]:
    """What is wrong with the pictures of one output."""
    data = {kind.removeprefix(RECORD): value for kind, value in output.get("data", {}).items()}
    if "text/html" not in data:
        yield from (f"shows a bare {kind} without a description" for kind in data if kind.startswith("image/"))
    for image in images("".join(data.get("text/html", ""))):
        said = fault(image)
        if said:
            yield f"shows an image that {said}"
