"""Asserts a printed site: its pages say what they must, no link is broken, nothing is foreign, heavy or undescribed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from .alt import fault
from .card import Card
from .dossiers import dossiers
from .home import Home
from .links import EVIDENCE, SCOREBOARD
from .parse import CSS_USE, Page, Use, parse, plain, sheet_uses
from .weight import local, over_budget

MADE = frozenset({"index", "genindex", "search", "py-modindex"})
"""Pages that Jupyter Book adds by itself."""

SCRIPT_USE = re.compile(r"(?:https?:)?//[^\s'\"`]+\.(?:m?js|css|woff2?|wasm)\b")


def check_site(html: Path, home: Home, cards: Mapping[str, Card]) -> list[str]:
    """Every fault of the site in ``html``, each as one line that names the page; an empty list if there is none."""
    names = (path.relative_to(html).as_posix() for path in sorted(html.rglob("*.html")))
    pages = {name[:-5]: parse(html / name) for name in names if not name.startswith("_static/")}
    return [
        *missing_pages(set(pages), set(asked(home, cards))),
        *missing_words(pages, home, cards),
        *broken_links(html, pages),
        *outside_hosts(html, pages),
        *undescribed_images(pages),
        *over_budget(html, pages),
    ]


def documents(toc: Path) -> Iterator[str]:
    """The documents that a table of contents lists, without their suffixes; the home page comes first."""

    def walk(entry: Any) -> Iterator[str]:
        if isinstance(entry, dict):
            yield from (re.sub(r"\.(md|ipynb|rst)$", "", entry[key]) for key in ("root", "file") if key in entry)
            for value in entry.values():
                yield from walk(value)
        elif isinstance(entry, list):
            for item in entry:
                yield from walk(item)

    yield from walk(yaml.safe_load(toc.read_text("utf8")))


def asked(home: Home, cards: Mapping[str, Card]) -> list[str]:
    """The documents that the site must have: those listed, and the evidence of each chapter."""
    listed = list(documents(home.root / "_toc.yml"))
    return listed + dossiers(listed, cards)


def missing_pages(found: set[str], wanted: set[str]) -> Iterator[str]:
    """Pages that the table of contents promises and the site lacks, and the reverse."""
    yield from (f"{name}.html: the page is missing" for name in sorted(wanted - found))
    yield from (f"{name}.html: no entry of _toc.yml asks for this page" for name in sorted(found - wanted - MADE))
    if "index" not in found:
        yield "index.html: the site has no front door"


def missing_words(pages: Mapping[str, Page], home: Home, cards: Mapping[str, Card]) -> Iterator[str]:
    """Sentences that must stand on a page and do not: a page may be there and empty."""
    for name in sorted(set(asked(home, cards)) & set(pages)):
        for sentence in expected(name, home, cards):
            if plain(sentence) not in pages[name].text:
                yield f"{name}.html: does not say {plain(sentence)!r}"


def expected(name: str, home: Home, cards: Mapping[str, Card]) -> Iterator[str]:
    """What a page must say: its first sentence, and what the cards bring to it."""
    folder, _, stem = name.rpartition("/")
    if folder == home.notebooks.name and stem in cards:
        yield cards[stem].finding
    if folder == EVIDENCE and stem in cards:
        yield from (cards[stem].title, *(claim.says for claim in cards[stem].claims))
    source = home.root / f"{name}.md"
    if source.exists():
        yield from opening(source.read_text("utf8"))
    if name == SCOREBOARD:
        yield from (claim.says for card in cards.values() for claim in card.claims)
    if name == next(documents(home.root / "_toc.yml")):
        yield from (text for card in cards.values() for text in (card.title, card.finding))


def opening(source: str) -> Iterator[str]:
    """The title of a Markdown page, and the longest stretch without markup in its first paragraph."""
    blocks = [block.strip() for block in source.split("\n\n")]
    for index, block in enumerate(blocks):
        if block.startswith("# "):
            yield block.removeprefix("# ")
            pieces = re.split(r"[`*_$<>{}\[\]()]", blocks[index + 1]) if index + 1 < len(blocks) else []
            yield max(pieces, key=len, default="").strip()
            return


def broken_links(html: Path, pages: Mapping[str, Page]) -> Iterator[str]:
    """Links and assets that point at no file of the site, or at no anchor of a page."""
    for name, page in pages.items():
        for use in page.uses:
            target = local(use)
            if target is None:
                continue
            path, fragment = target
            file = (html / name).parent / path if path else html / f"{name}.html"
            file = Path(str(file)).resolve()
            if not file.is_file():
                yield f"{name}.html: {use.kind} {use.url} leads nowhere"
            elif fragment and file.suffix == ".html" and fragment not in ids(html, file, pages):
                yield f"{name}.html: {use.kind} {use.url} leads to no such anchor"
    for sheet in sorted(html.rglob("*.css")):
        for use in sheet_uses(sheet):
            target = local(use)
            if target and not (sheet.parent / target[0]).is_file():
                yield f"{sheet.relative_to(html)}: {use.url} leads nowhere"


def ids(html: Path, file: Path, pages: Mapping[str, Page]) -> frozenset[str]:
    """The anchors of a page of the site."""
    return pages[file.relative_to(html.resolve()).as_posix()[:-5]].ids


def outside_hosts(html: Path, pages: Mapping[str, Page]) -> Iterator[str]:
    """Scripts, styles, fonts, images and frames that another host would have to serve."""
    for name, page in pages.items():
        styles = [Use("style", first or second, loads=True) for first, second in CSS_USE.findall(page.styles)]
        for use in (*page.uses, *styles):
            if use.loads and foreign(use.url):
                yield f"{name}.html: {use.kind} {use.url} comes from outside the site"
        for address in SCRIPT_USE.findall(page.scripts):
            yield f"{name}.html: a script names {address}, outside the site"
    for sheet in sorted(html.rglob("*.css")):
        for use in sheet_uses(sheet):
            if foreign(use.url):
                yield f"{sheet.relative_to(html)}: {use.url} comes from outside the site"


def foreign(url: str) -> bool:
    """Whether an address names a host."""
    parts = urlsplit(url)
    return bool(parts.netloc) and parts.scheme in {"", "http", "https", "ftp"}


def undescribed_images(pages: Mapping[str, Page]) -> Iterator[str]:
    """Images that say nothing to those who do not see them."""
    for name, page in pages.items():
        said = ((image, fault(image)) for image in page.images)
        yield from (f"{name}.html: {image.name} {what}" for image, what in said if what)
