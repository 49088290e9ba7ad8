"""Makes a printed site light: what the theme brings and no page uses is taken out, and images become files.

It works on the finished pages, so it also sees what templates and scripts put there, and whatever it does not know it
leaves alone. Jupyter Book's own files stay as they are: only the copy that was printed changes.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from . import icons, mend, menus, sheets
from .parse import PICTURE_TO_TOUCH

__all__ = ["lighten"]

# A script or a style sheet, and what a page must hold to need it.
NEEDED = {
    "scripts/fontawesome.js": None,
    "scripts/bootstrap.js": re.compile(r'data-bs-toggle="(?!tooltip")'),
    "sphinx-thebe": None,
    "design-tabs.js": re.compile(r'class="[^"]*\bsd-tab'),
    "sphinx-design.min.css": re.compile(r'class="[^"]*\bsd-'),
    "togglebutton": re.compile(
        r'class="(?:(?:[^"]* )?toggle[ "]|[^"]*\b(?:admonition\b[^"]* dropdown|dropdown admonition))'
    ),
    "clipboard.min.js": re.compile(r"<pre\b"),
    "copybutton": re.compile(r"<pre\b"),
    "mystnb.": re.compile(r'class="[^"]*\bcell\b'),
    "pygments.css": re.compile(r'class="[^"]*\bhighlight'),
    "searchtools.js": re.compile(r'id="search-results"'),
    "language_data.js": re.compile(r'id="search-results"'),
    "searchindex.js": re.compile(r'id="search-results"'),
}
UNUSED = ("vendor/fontawesome", "locales", "scripts/fontawesome*", "**/*.map", "**/*.LICENSE.txt", "sphinx-thebe*")
"""Below ``_static``: what no page loads any more. (The licences stay with the sheets and scripts themselves.)"""
LOADED = re.compile(r'\s*<(?:script|link)\b[^>]*(?:src|href)="(?P<url>[^"]+\.(?:js|css))[^"]*"[^>]*>(?:</script>)?')
STAMP = re.compile(r'(?P<before>(?:src|href)=")(?P<url>[^":?]+\.(?:js|css))(?:\?[^"]*)?"')
INLINE_SCRIPT = re.compile(r"<script\b[^>]*>(.+?)</script>", re.DOTALL)
NAMED = re.compile(r"\b(?:class|id)=(?:\"([^\"]*)\"|'([^']*)')")
PICTURE = re.compile(r'(?<=src=")data:image/(?P<kind>webp|png|jpeg);base64,(?P<data>[A-Za-z0-9+/=\s]{2000,})(?=")')
FIGURE, WAITING = '<img class="featlib-figure"', '<img loading="lazy" class="featlib-figure"'
ONCE = re.compile(r"<(style|script) data-once>.*?</\1>", re.DOTALL)
"""What several figures bring along, each for itself, though the first of a page would do for all."""
CELL = re.compile(
    r'<(?P<tag>t[dh])(?: id="T_(?P<table>[0-9a-f]+)_\w+")?'
    r' class="(?:data|row_heading|col_heading|blank|index_name)[^"]*" ?>'
)
NO_STYLE = '<style type="text/css">\n</style>\n'
TOKEN = re.compile(r'<span class="(?P<name>[a-z][a-z0-9]?)">(?P<text>[^<]*)</span>')
CALM = frozenset({"o", "sa", "si"})
"""Operators, string prefixes and braces in strings: a colour of their own costs more bytes than it helps eyes."""
MAP = re.compile(r"//# sourceMappingURL=\S+")
TINT = re.compile(r'\[data-theme="(\w+)"\] \.highlight ?(?:\.([a-z][a-z0-9]?))?\{([^}]*)\}')
PLAIN = re.compile(r"(?<![-\w])color:([^;]*)")
MATHS = re.compile(r"<math\b.*?</math>", re.DOTALL)
SIGNATURE = re.compile(r'<dt class="sig\b.*?</dt>', re.DOTALL)
BARE = re.compile(r'<span class="(?:pre|[a-np-z])">([^<]*)</span>')
"""A part of a signature that looks as its neighbours do: only operators (o) are of another grey."""
TOGGLE = re.compile(r'data-bs-toggle="([^"]+)"')


def lighten(site: Path) -> None:
    """Take out of a printed site what its pages do not use.

    Raises:
        IconError: if a page asks for an icon that nobody has drawn.
    """
    static = site / "_static"
    pages = {path: path.read_text("utf8") for path in sorted(site.rglob("*.html")) if static not in path.parents}
    pages = {path: slim(text, path.relative_to(site).as_posix()) for path, text in pages.items()}
    if all(set(TOGGLE.findall(text)) <= menus.TOGGLES for text in pages.values()):
        (static / "scripts" / "bootstrap.js").write_text(menus.SCRIPT, "utf8")
    for pattern in UNUSED:
        for path in sorted(static.glob(pattern), reverse=True):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    scripts = {path: path.read_text("utf8") for path in static.rglob("*.js")}
    for path, text in scripts.items():
        path.write_text(mend.mend_script(MAP.sub("", text)), "utf8")
    slim_sheets(static, [*pages.values()], [*scripts.values()])
    tinted = tints((static / "pygments.css").read_text("utf8")) - CALM
    for path, text in pages.items():
        plainer = TOKEN.sub(lambda token: token[0] if token["name"] in tinted else token["text"], text)
        light = fetched_later(images_as_files(plain_tables(said_once(plainer)), path, static))
        path.write_text(stamp(light, path), "utf8")


def tints(sheet: str) -> set[str]:
    """The kinds of words in code that look different from plain text, in one theme at least."""
    rules = [(theme, name, style) for theme, name, style in TINT.findall(sheet)]
    plain = {theme: PLAIN.findall(style) for theme, name, style in rules if not name}
    return {name for theme, name, style in rules if name and style.split("color:")[1:] != plain.get(theme)}


def slim(page: str, name: str) -> str:
    """A page with drawn icons, without scripts and sheets that it does not need, without padding."""
    body = page.partition("<body")[2]

    def judge(tag: re.Match[str]) -> str:
        for part, needs in NEEDED.items():
            if part in tag["url"]:
                return tag[0] if needs and needs.search(body) else ""
        return tag[0]

    page = LOADED.sub(judge, icons.draw_icons(mend.mend_page(page), name))
    page = SIGNATURE.sub(lambda signature: unwrapped(signature[0]), page)
    return MATHS.sub(lambda formula: re.sub(r">\s+<", "><", formula[0]), page)


def unwrapped(signature: str) -> str:
    """A signature without the elements, one in the other, that wrap each of its words and change nothing."""
    plainer = BARE.sub(r"\1", signature)
    return plainer if plainer == signature else unwrapped(plainer)


def slim_sheets(static: Path, pages: list[str], scripts: list[str]) -> None:
    """Take out of every style sheet what no page and no script names."""
    inline = [script for page in pages for script in INLINE_SCRIPT.findall(page)]
    known = set().union(*(name_list.split() for page in pages for pair in NAMED.findall(page) for name_list in pair))
    known = known.union(*(sheets.words(script) for script in (*scripts, *inline)))
    whole = {path.relative_to(static).as_posix(): path.read_text("utf8") for path in static.rglob("*.css")}
    slimmer = {name: sheets.drop_unused_rules(sheet, known) for name, sheet in whole.items()}
    theme = next(name for name in slimmer if name.endswith("pydata-sphinx-theme.css"))
    slimmer[theme] += icons.STYLE + menus.STYLE + mend.STYLE
    for name, sheet in sheets.drop_unused_properties(slimmer, known, "\n".join((*pages, *scripts))).items():
        (static / name).write_text(sheet, "utf8")


def images_as_files(page: str, path: Path, static: Path) -> str:
    """A page with its larger images as files named by their content: a third less to load, and loaded once."""

    def save(image: re.Match[str]) -> str:
        content = base64.b64decode(image["data"])
        file = static / "pictures" / f"{hashlib.sha256(content).hexdigest()[:16]}.{image['kind']}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
        return relative(file, path)

    return PICTURE.sub(save, page)


def said_once(page: str) -> str:
    """A page on which a style or script of :data:`ONCE` does not come again, letter for letter, after the first."""
    seen: set[str] = set()

    def first(block: re.Match[str]) -> str:
        if block[0] in seen:
            return ""
        seen.add(block[0])
        return block[0]

    return ONCE.sub(first, page)


def plain_tables(page: str) -> str:
    """A page whose tables from pandas have no names on their cells, unless a style asks for one."""

    def bare(cell: re.Match[str]) -> str:
        return cell[0] if f"#T_{cell['table']}_" in page else f"<{cell['tag']}>"

    return CELL.sub(bare, page).replace(NO_STYLE, "")


def fetched_later(page: str) -> str:
    """A page whose figures, but for the first one and those in frames, wait until a reader comes near them."""
    between = PICTURE_TO_TOUCH.split(page)
    touched = PICTURE_TO_TOUCH.findall(page)
    head, first, rest = between[0].partition(FIGURE)
    parts = [head + first + rest.replace(FIGURE, WAITING), *(part.replace(FIGURE, WAITING) for part in between[1:])]
    return "".join(part for pair in itertools.zip_longest(parts, touched, fillvalue="") for part in pair)


def relative(file: Path, page: Path) -> str:
    """The address of a file as seen from a page."""
    return Path(*parts(file, page)).as_posix()


def parts(file: Path, page: Path) -> Iterator[str]:
    """The steps from the folder of a page to a file."""
    folder = page.parent
    while folder not in file.parents:
        yield ".."
        folder = folder.parent
    yield from file.relative_to(folder).parts


def stamp(page: str, path: Path) -> str:
    """A page whose scripts and sheets carry the digest of what they hold now, so that no browser keeps an older one."""

    def sign(found: re.Match[str]) -> str:
        file = path.parent / found["url"]
        if not file.is_file():
            return found[0]
        return f'{found["before"]}{found["url"]}?v={hashlib.sha256(file.read_bytes()).hexdigest()[:8]}"'

    return STAMP.sub(sign, page)
