"""Puts right what the theme leaves wrong for readers: roles, empty headers, lost focus, colours on first sight."""

from __future__ import annotations

import re
from collections.abc import Callable

__all__ = ["STYLE", "mend_page", "mend_script"]

# Assistive techniques no longer know the roles that docutils gives to a bibliography.
OLD_ROLES = re.compile(r' role="doc-biblioentry"|(?<=<div) role="list"(?= class="citation-list")')
# A header cell without a word heads nothing; pandas writes them at the corner of a table.
EMPTY_HEADER = re.compile(r"<th\b([^>]*)>(?:\s|&nbsp;|\u00a0)*</th>")
SIDEBAR = re.compile(r'<div id="pst-primary-sidebar"(?! role)')
# Folds of the module index that answer to a mouse alone; without them it is unfolded.
TOGGLER = re.compile(r'<img\b[^>]*class="toggler"[^>]*>')
# The fold of a page with pages below it in the sidebar has no name of its own.
FOLD = '<summary><span class="toctree-toggle"'
# The words beside a logo say what it is.
LOGO = re.compile(r'<img alt="[^"]* logo" src=')
# On a first visit the theme writes an error to the console, and shows no colours until its script has run.
MODE = 'localStorage.getItem("mode") || ""'
THEME = 'localStorage.getItem("theme") || ""'
BY_SYSTEM = '(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")'
HTML = re.compile(r"<html\b(?![^>]*data-theme)")

STEPS: tuple[Callable[[str], str], ...] = (
    lambda page: OLD_ROLES.sub("", page),
    lambda page: EMPTY_HEADER.sub(r"<td\1></td>", page),
    lambda page: SIDEBAR.sub('<div id="pst-primary-sidebar" role="navigation" aria-label="Book"', page),
    lambda page: TOGGLER.sub("", page),
    lambda page: page.replace(FOLD, FOLD.replace("<summary>", '<summary aria-label="Pages below">')),
    lambda page: LOGO.sub('<img alt="" src=', page),
    lambda page: page.replace(MODE, 'localStorage.getItem("mode") || "auto"'),
    lambda page: page.replace(THEME, f'localStorage.getItem("theme") || {BY_SYSTEM}'),
    lambda page: page.replace('data-default-mode=""', 'data-default-mode="auto"'),
    lambda page: HTML.sub('<html data-theme="light"', page),
)
STYLE = """
html[data-theme] body .bd-content div.cell_output .text_html.text_html:has(table){padding:0;
background:none;color:inherit;overflow-x:auto}
html[data-theme] body .bd-content .text_html table.dataframe{color:inherit}
html[data-theme] body .bd-content .text_html table.dataframe :is(tr,th,td,caption){background:none;color:inherit}
html[data-theme] button.copybtn:focus-visible{opacity:1}
html[data-theme] body :is(a,button,summary,input,select,[tabindex="0"]):focus-visible{
outline:3px solid var(--pst-color-link)!important;outline-offset:2px;box-shadow:none!important}
.bd-sidebar-primary li.has-children>details>summary{position:absolute;right:0;top:0;width:30px;height:30px}
@media(max-width:600px){table.genindextable td{display:block;width:100%!important}
table.genindextable a{overflow-wrap:anywhere}}
"""
"""Tables in the colours of the page, one visible focus ring, an index that fits a narrow screen."""


def mend_page(page: str) -> str:
    """A page with all of it put right."""
    for step in STEPS:
        page = step(page)
    return page


def mend_script(script: str) -> str:
    """The theme's script drops the focus of a button that was pressed; by keyboard one would start again at the top."""
    return script.replace("t.blur()", "t.focus()")
