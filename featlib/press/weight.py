"""What a page weighs: everything a browser loads on a first visit, in bytes, uncompressed.

Frames are counted apart, and so are pictures further down that are fetched when a reader comes near them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

from .parse import Page, Use, sheet_uses

__all__ = ["COLD", "WHOLE", "Weight", "local", "over_budget", "weigh"]

COLD = 500_000
"""Bytes of a first visit without frames and pictures further down."""
WHOLE = 1_500_000
"""Bytes of all that a page ever loads."""
HEAVIEST = 4
"""How many files a message names."""
ONLY_IN = {"Featlib Math": "math"}
"""Fonts of one element alone."""
IGNORED = frozenset({"mailto", "data", "javascript", "tel", "blob"})


@dataclass(frozen=True)
class Weight:
    """The bytes of one page: of each file it loads at once, and of its frames and what comes later."""

    files: Mapping[str, int]
    later: int

    @property
    def cold(self) -> int:
        """What a first visit loads at once."""
        return sum(self.files.values())


def weigh(html: Path, name: str, page: Page) -> Weight:
    """The weight of the page ``name`` of the site in ``html``. What is missing weighs nothing, and is another fault."""
    own = html / f"{name}.html"
    plain = {file for use in page.uses if not use.later for file in loaded(html, own, use, page)}
    later = {file for use in page.uses if use.later for file in loaded(html, own, use, page)} - plain
    files = {file.relative_to(html.resolve()).as_posix(): file.stat().st_size for file in plain}
    files[f"{name}.html"] = own.stat().st_size - page.frames
    return Weight(files, page.frames + sum(file.stat().st_size for file in later))


def loaded(html: Path, base: Path, use: Use, page: Page) -> Iterator[Path]:
    """The file that a page or sheet loads with one address, and what that file loads in turn."""
    target = local(use) if use.loads else None
    if not target or not target[0]:
        return
    file = (base.parent / target[0]).resolve()
    if not file.is_file() or html.resolve() not in file.parents:
        return
    yield file
    if file.suffix == ".css":
        for inner in sheet_uses(file):
            # A browser fetches a font only where a character is set in it.
            if ONLY_IN.get(inner.family, "html") in page.tags:
                yield from loaded(html, file, inner, page)


def local(use: Use) -> tuple[str, str] | None:
    """Path and fragment of an address within the site; ``None`` for any other."""
    parts = urlsplit(use.url)
    if parts.scheme in IGNORED or parts.scheme or parts.netloc:
        return None
    address, fragment = urldefrag(use.url)
    return unquote(address.partition("?")[0]), unquote(fragment)


def over_budget(html: Path, pages: Mapping[str, Page]) -> Iterator[str]:
    """Pages that are heavier than a first visit may be, with the files that weigh most."""
    for name, page in pages.items():
        weight = weigh(html, name, page)
        whole = weight.cold + weight.later
        heaviest = sorted(weight.files.items(), key=lambda item: -item[1])[:HEAVIEST]
        listed = ", ".join(f"{file} {size:,}" for file, size in heaviest)
        if weight.cold > COLD:
            yield f"{name}.html: loads {weight.cold:,} bytes at once; the budget is {COLD:,}; most: {listed}"
        elif whole > WHOLE:
            later = f"frames and pictures further down {weight.later:,}"
            yield f"{name}.html: loads {whole:,} bytes in all; the budget is {WHOLE:,}; most: {later}, {listed}"
