"""The performance page: what our kernels cost beside their peers, from the file that the benchmarks wrote."""

from __future__ import annotations

import csv
from itertools import groupby
from pathlib import Path

from docutils import nodes
from markupsafe import Markup
from sphinx.errors import ExtensionError

from .base import Book, BookDirective, html
from .markup import number, table
from .memory import memory
from .speed import speed

FILE = Path("book", "performance.csv")
COLUMNS = (
    *("op", "size", "dtype", "threads", "device", "peer", "peer_version", "peer_ms", "ours_ms"),
    *("ratio", "error", "break_even", "load", "date", "commit"),
)
HEAD = ("Size", "Peer", "Peer's time", "Our time", "Ratio", "Error", "Measured")


class Performance(BookDirective):
    """``{performance}``: a figure and a table for each operation."""

    def render(self, book: Book) -> list[nodes.Node]:
        """The tables, or one line where nothing was measured yet."""
        path = book.root / FILE
        self.env.note_dependency(str(path))
        if not path.exists():
            text = "Nothing has been measured yet: make bench writes this table."
            return [html(Markup('<p class="fl-note">{}</p>').format(text))]
        rows = sorted(read(path), key=lambda row: row["op"])
        return [self.op(name, list(group)) for name, group in groupby(rows, key=lambda row: row["op"])]

    def op(self, name: str, rows: list[dict[str, str]]) -> nodes.section:
        """A section with all measurements of one operation: speed and memory drawn, then in numbers."""
        section = nodes.section("", nodes.title("", name), ids=[f"op-{nodes.make_id(name)}"], names=[name])
        if drawn := speed(name, rows):
            section += html(drawn)
        if drawn := memory(name, rows):
            section += html(drawn)
        section += html(table(HEAD, [("", cells(row)) for row in rows], f"Measurements of {name}"))
        return section


def read(path: Path) -> list[dict[str, str]]:
    """The rows of the file.

    Raises:
        ExtensionError: if a column is missing.
    """
    with path.open(newline="", encoding="utf8") as file:
        reader = csv.DictReader(file)
        missing = [column for column in COLUMNS if column not in (reader.fieldnames or ())]
        if missing:
            raise ExtensionError(f"{path.name}: no column {', '.join(missing)}; make bench writes them all")
        return list(reader)


def cells(row: dict[str, str]) -> list[Markup]:
    """The cells of one measurement, in the order of ``HEAD``."""
    return [
        Markup("{}<small>{}</small>").format(row["size"], row["dtype"]),
        Markup("{}<small>{}</small>").format(row["peer"], row["peer_version"]),
        Markup("{} ms").format(figure(row["peer_ms"])),
        Markup("{} ms").format(figure(row["ours_ms"])),
        Markup("{} ×<small>{}</small>").format(figure(row["ratio"]), row["break_even"]),
        Markup("{}").format(figure(row["error"])),
        Markup("{}, {} threads<small>load {}, {}</small><small><code>{}</code></small>").format(
            row["device"], row["threads"], row["load"], row["date"], row["commit"]
        ),
    ]


def figure(text: str) -> str:
    """A number of the file in the book's own form; anything else stays as it is."""
    try:
        return number(float(text))
    except (ValueError, OverflowError):
        return text
