"""The handful of icons on the site, drawn for this book; they stand in for the theme's icon script of 1.5 MB."""

from __future__ import annotations

import re

__all__ = ["STYLE", "IconError", "draw_icons"]

# Lines in a box of 16 x 16, in the colour of the text beside them.
_DISC = '<circle cx="8" cy="8" r="6"/>'
_SHEET = "M4 1.8h5.2L12.5 5v9.2H4zM9 2v3.2h3.2"
DRAWINGS = {
    "angle-left": "M10 3L5 8l5 5",
    "angle-right": "M6 3l5 5-5 5",
    "arrow-up": "M8 13.5v-11M3.5 7L8 2.5 12.5 7",
    "bars": "M2 4h12M2 8h12M2 12h12",
    "chevron-down": "M3 6l5 5 5-5",
    "chevron-right": "M6 3l5 5-5 5",
    "chevron-up": "M3 10l5-5 5 5",
    "circle-half-stroke": _DISC + '<path fill="currentColor" d="M8 2a6 6 0 0 1 0 12z"/>',
    "download": "M8 2v8M4.5 7L8 10.5 11.5 7M2.5 13.5h11",
    "expand": "M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10",
    "file": _SHEET,
    "file-pdf": _SHEET + "M6 8.2h4.5M6 10.8h4.5",
    # Two lines of work that part and meet: any repository, whoever hosts it.
    "github": '<path d="M4.5 5v6M11.5 7c0 3-7 1-7 4"/><circle cx="4.5" cy="3.3" r="1.7"/>'
    '<circle cx="4.5" cy="12.7" r="1.7"/><circle cx="11.5" cy="5.3" r="1.7"/>',
    "lightbulb": "M6 11.5C6 9.5 4 9 4 6a4 4 0 0 1 8 0c0 3-2 3.5-2 5.5zM6.5 14h3",
    "list": "M6 4h8M6 8h8M6 12h8M2.3 4h.4M2.3 8h.4M2.3 12h.4",
    "magnifying-glass": '<circle cx="7" cy="7" r="4.5"/><path d="M10.5 10.5L14 14"/>',
    "moon": "M13.5 9.8A6 6 0 1 1 6.2 2.5a5 5 0 0 0 7.3 7.3z",
    "pencil": "M2.5 13.5l.7-3 7.8-7.8 2.3 2.3-7.8 7.8zM9.5 4.2l2.3 2.3",
    "rocket": "M6 10L4.5 8.5C6 4.5 9 2 14 2c0 5-2.5 8-6.5 9.5zM5 8H2.5L4.5 5.5M8 11v2.5L10.5 11.5M2.5 13.5l2-2",
    "sun": '<circle cx="8" cy="8" r="3"/><path d="M8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1.1 1.1M11.9 11.9L13 13'
    'M3 13l1.1-1.1M11.9 4.1L13 3"/>',
    "xmark": "M3.5 3.5l9 9M12.5 3.5l-9 9",
}
SAME_AS = {"pencil-alt": "pencil", "times": "xmark", "search": "magnifying-glass", "chevron-left": "angle-left"}
MARK = re.compile(
    r'<(i|span)\b(?P<before>[^<>]*?)\bclass="(?P<names>[^"]*\bfa[bsr]?[ -][^"]*)"(?P<after>[^<>]*)>\s*</\1>'
)
"""An empty element that the theme's script would turn into an icon."""
SIZES = frozenset({"lg", "fw", "sm", "xs", "solid", "regular", "brands"})
STYLE = """
.fl-icon{width:1em;height:1em;overflow:visible;vertical-align:-.125em;fill:none;stroke:currentColor;stroke-width:1.5;
stroke-linecap:round;stroke-linejoin:round}
.fl-icon.fl-large{width:1.25em;height:1.25em}
html:root{--fa-font-solid:700 1em/1 var(--pst-font-family-base);--fa-font-brands:var(--fa-font-solid);
--pst-icon-external-link:"\\2197"/"";--pst-icon-download:"\\2193"/"";--pst-icon-search-minus:"\\2212"/"";
--pst-breadcrumb-divider:"\\203a"/"";--pst-icon-admonition-default:"i"/"";--pst-icon-admonition-note:"i"/"";
--pst-icon-admonition-seealso:"\\2192"/"";--pst-icon-admonition-todo:"\\2026"/"";--pst-icon-admonition-hint:"+"/"";
--pst-icon-admonition-tip:"+"/"";--pst-icon-admonition-attention:"!"/"";--pst-icon-admonition-caution:"!"/"";
--pst-icon-admonition-warning:"!"/"";--pst-icon-admonition-danger:"!"/"";--pst-icon-admonition-error:"!"/"";
--pst-icon-admonition-important:"!"/"";--pst-icon-versionmodified-default:"i"/""}
.admonition>.admonition-title.admonition-title::after{text-align:center}
.bd-sidebar-secondary.hide:not(:hover) .onthispage.onthispage::after{content:"\\25be"/"";font-family:inherit}
"""
"""How the drawings look, and plain characters where the theme's style sheet takes a character of the icon font."""


class IconError(RuntimeError):
    """A page asks for an icon that nobody has drawn."""


def draw_icons(page: str, name: str) -> str:
    """The HTML of a page with a drawing in place of every icon that it names.

    Args:
        page: the HTML.
        name: of the page, for the error message.

    Raises:
        IconError: if there is no drawing of an icon.
    """

    def draw(found: re.Match[str]) -> str:
        names = found["names"].split()
        wanted = [part.removeprefix("fa-") for part in names if part.startswith("fa-")]
        icon = next((part for part in wanted if part not in SIZES), "")
        drawing = DRAWINGS.get(SAME_AS.get(icon, icon))
        if drawing is None:
            raise IconError(f"{name}: nobody has drawn the icon {icon!r}; add it to featlib/press/icons.py")
        kept = [part for part in names if not re.match(r"fa[bsr]?(-|$)", part)]
        classes = " ".join(["fl-icon", *(["fl-large"] if "lg" in wanted else []), *kept])
        shape = drawing if drawing.startswith("<") else f'<path d="{drawing}"/>'
        # What a title would say, the button around it says already.
        others = re.sub(r'\s+title="[^"]*"|\s+', " ", found["before"] + found["after"]).strip()
        attributes = f'class="{classes}" viewBox="0 0 16 16" aria-hidden="true" focusable="false" {others}'.strip()
        return f"<svg {attributes}>{shape}</svg>"

    return MARK.sub(draw, page)
