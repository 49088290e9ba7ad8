"""Reads one printed page: its text, its anchors, and every address it uses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from .alt import Image, images

# Which attribute of which element holds an address, and whether the browser loads it without being asked.
ADDRESSES = {
    ("a", "href"): False,
    ("area", "href"): False,
    ("script", "src"): True,
    ("img", "src"): True,
    ("source", "src"): True,
    ("video", "src"): True,
    ("video", "poster"): True,
    ("audio", "src"): True,
    ("track", "src"): True,
    ("iframe", "src"): True,
    ("embed", "src"): True,
    ("object", "data"): True,
    ("image", "href"): True,
    ("use", "href"): True,
}
LINKS_THAT_LOAD = frozenset(
    {
        *("stylesheet", "icon", "apple-touch-icon", "manifest"),
        *("preload", "prefetch", "modulepreload", "preconnect", "dns-prefetch"),
    }
)
STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
BLOCKS = frozenset(
    {
        *("p", "div", "section", "h1", "h2", "h3", "h4", "h5", "h6", "br", "ul", "ol", "li", "dt", "dd"),
        *("table", "tr", "th", "td", "small", "summary", "details"),
    }
)


FRAMES = "featlib-frames"
"""Class of a picture to touch: its states are counted apart from the page."""
CSS_USE = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")
PICTURE_TO_TOUCH = re.compile(rf'<fieldset class="{FRAMES}".*?</fieldset>', re.DOTALL)
FONT = re.compile(r"@font-face\s*\{[^}]*\}")
FAMILY = re.compile(r"font-family\s*:\s*['\"]?([^;'\"}]+)")


@dataclass(frozen=True)
class Use:
    """One address on a page: the element that names it, and whether the browser loads it by itself."""

    kind: str
    url: str
    loads: bool
    later: bool = False
    """Whether it belongs to a picture to touch, or is fetched only when a reader comes near it."""
    family: str = ""
    """Of a font: its name."""


@dataclass(frozen=True)
class Page:
    """What the checks need to know of a page; ``text`` is that of the article, with single blanks."""

    text: str
    ids: frozenset[str]
    uses: tuple[Use, ...]
    scripts: str
    styles: str
    images: tuple[Image, ...]
    tags: frozenset[str]
    frames: int
    """Bytes of the pictures to touch."""


def parse(path: Path) -> Page:
    """Read a page."""
    source = path.read_text("utf8")
    reader = _Reader()
    reader.feed(source)
    reader.close()
    return Page(
        text=plain("".join(reader.article if reader.has_article else reader.text)),
        ids=frozenset(reader.ids),
        uses=tuple(reader.uses),
        scripts="\n".join(reader.scripts),
        styles="\n".join(reader.styles),
        images=tuple(images(source)),
        tags=frozenset(reader.tags),
        frames=sum(len(piece.encode()) for piece in PICTURE_TO_TOUCH.findall(source)),
    )


def sheet_uses(sheet: Path) -> list[Use]:
    """What a style sheet loads."""
    text = sheet.read_text("utf8", errors="replace")
    fonts = [
        Use("style", url or imported, loads=True, family=(FAMILY.search(face) or [""] * 2)[1].strip())
        for face in FONT.findall(text)
        for url, imported in CSS_USE.findall(face)
    ]
    others = [Use("style", url or imported, loads=True) for url, imported in CSS_USE.findall(FONT.sub("", text))]
    return [*fonts, *others]


def plain(text: str) -> str:
    """Text with single blanks and straight quotation marks."""
    return " ".join(text.translate(STRAIGHT).split())


class _Reader(HTMLParser):
    """Collects as the parser walks."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text: list[str] = []
        self.article: list[str] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.ids: set[str] = set()
        self.uses: list[Use] = []
        self.depth = 0
        self.has_article = False
        self.within = ""
        self.tags: set[str] = set()
        self.in_frames = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note anchors, addresses and styles of an element."""
        given = {name: value or "" for name, value in attrs}
        self.tags.add(tag)
        if tag == "fieldset":
            self.in_frames += bool(self.in_frames or FRAMES in given.get("class", "").split())
        self.within = tag if tag in {"script", "style"} else ""
        if tag == "article":
            self.depth += 1
            self.has_article = True
        self.ids.update(value for name, value in given.items() if name == "id" or (tag == "a" and name == "name"))
        self.styles.append(given.get("style", ""))
        for name, value in given.items():
            if (tag, name.removeprefix("xlink:")) in ADDRESSES and value:
                self.add(tag, value, ADDRESSES[tag, name.removeprefix("xlink:")], given.get("loading") == "lazy")
            elif name == "srcset":
                for part in value.split(","):
                    self.add("img", (part.split() or [""])[0], True)
        self.handle_link(tag, given)
        self.handle_break(tag)

    def handle_link(self, tag: str, given: dict[str, str]) -> None:
        """Addresses in ``<link>`` and in ``<meta http-equiv="refresh">``."""
        if tag == "link" and given.get("href"):
            loads = bool(LINKS_THAT_LOAD & set(given.get("rel", "").lower().split()))
            self.add("link", given["href"], loads)
        if tag == "meta" and given.get("http-equiv", "").lower() == "refresh":
            self.add("meta", given.get("content", "").partition("url=")[2].strip(), False)

    def add(self, kind: str, url: str, loads: bool, later: bool = False) -> None:
        """Note an address."""
        if url:
            self.uses.append(Use(kind, url, loads, later or self.in_frames > 0))

    def handle_break(self, tag: str) -> None:
        """Words of two blocks do not run together."""
        if tag in BLOCKS:
            self.handle_data(" ")

    def handle_endtag(self, tag: str) -> None:
        """Leave an element."""
        self.within = ""
        self.depth -= tag == "article"
        self.in_frames -= tag == "fieldset" and self.in_frames > 0
        self.handle_break(tag)

    def handle_data(self, data: str) -> None:
        """Text, script or style."""
        if self.within == "script":
            self.scripts.append(data)
        elif self.within == "style":
            self.styles.append(data)
        else:
            self.text.append(data)
            if self.depth:
                self.article.append(data)
