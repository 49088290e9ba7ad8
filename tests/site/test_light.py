"""What the slimming takes out, what it must leave, and what it says when it meets something it does not know."""

import base64
import re

import numpy as np
import pandas as pd
import pytest
from tiny_site import PIXEL

from featlib.press import icons, light, mend, menus, sheets

SHEET = """/*! Licence: MIT */
/* a remark */
:root { --used: red; --chain: var(--used); --idle: url("data:x;y{}"); --only-idle: 1 }
.kept, .gone > a, #there:not(.never) { color: var(--chain); /* why */ margin: 0 }
.gone { --idle: 2 }
a[href=".gone"]:is(.gone, .kept)::after { content: ";{}.gone" }
@media (min-width: 2px) { .gone { top: 0 } .kept:hover { top: 1px } }
@media print { .gone { top: 0 } }
@font-face { font-family: "Font Awesome 6 Free"; src: url(fa.woff2) }
@font-face { font-family: Ours; src: url(ours.woff2) }
@keyframes turn { from { top: 0 } to { top: 1px } }
"""
KNOWN = {"kept", "there"}


def squeezed(text):
    return re.sub(r"\s", "", text)


def test_only_rules_that_can_match_stay():
    left = squeezed(sheets.drop_unused_rules(SHEET, KNOWN))
    assert left.startswith("/*!Licence:MIT*/")
    assert "remark" not in left
    assert ".kept,#there:not(.never){color:var(--chain);margin:0}" in left
    assert ".gone{" not in left
    assert ".gone>a" not in left
    assert 'a[href=".gone"]:is(.gone,.kept)::after{content:";{}.gone"}' in left
    assert "@media(min-width:2px){.kept:hover{top:1px}}" in left
    assert "print" not in left
    assert "fa.woff2" not in left
    assert "ours.woff2" in left
    assert "@keyframesturn{from{top:0}to{top:1px}}" in left


def test_properties_go_when_nothing_reads_them_however_long_the_chain():
    chain = ":root{--a:1;--b:var(--a);--c:var(--b);--d:2;--e:3}.kept{top:var(--d)}"
    left = sheets.drop_unused_properties({"x.css": chain}, KNOWN, "style='left: var(--e)'")["x.css"]
    assert left == ":root{--d:2;--e:3}.kept{top:var(--d)}"


def test_slimming_twice_changes_nothing():
    once = sheets.drop_unused_rules(SHEET, KNOWN)
    assert sheets.drop_unused_rules(once, KNOWN) == once


def test_an_icon_becomes_a_drawing_that_is_silent_and_keeps_its_handles():
    icon = '<i class="theme-switch fa-solid fa-sun   fa-lg" data-mode="light" title="Light"></i>'
    page = f'<button title="t">{icon}</button>'
    drawn = icons.draw_icons(page, "p.html")
    assert re.match(r'<button title="t"><svg class="fl-icon fl-large theme-switch" viewBox="0 0 16 16" ', drawn)
    assert 'data-mode="light"' in drawn
    assert 'aria-hidden="true"' in drawn
    assert 'title="Light"' not in drawn


def test_an_icon_that_nobody_drew_is_named():
    with pytest.raises(icons.IconError, match=r"a/b\.html: nobody has drawn the icon 'dragon'; add it to featlib"):
        icons.draw_icons('<i class="fas fa-dragon"></i>', "a/b.html")


def test_every_drawing_lies_in_its_box():
    for name, drawing in icons.DRAWINGS.items():
        absolute = re.findall(r"[ML] ?(-?[\d.]+)[ ,](-?[\d.]+)", drawing)
        assert all(0 <= float(number) <= 16 for pair in absolute for number in pair), name


def test_what_looks_like_an_icon_in_text_is_left_alone():
    page = "<p>fa-sun</p><code>&lt;i class=&quot;fas fa-dragon&quot;&gt;</code><i class='x'>fab fa-x</i>"
    assert icons.draw_icons(page, "p") == page


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("<p>plain</p>", set()),
        ('<div class="highlight"><pre>x</pre></div>', {"copybutton.js", "clipboard.min.js", "pygments.css"}),
        ('<div class="dropdown admonition">x</div>', {"togglebutton.js"}),
        ('<div class="admonition tip dropdown">x</div>', {"togglebutton.js"}),
        ('<p class="a toggle">x</p>', {"togglebutton.js"}),
        ('<button class="dropdown-toggle" data-bs-toggle="tooltip">x</button>', set()),
        ('<button data-bs-toggle="dropdown">x</button>', {"scripts/bootstrap.js"}),
        ('<div id="search-results"></div>', {"searchindex.js"}),
        ('<div class="sd-tab-set">x</div>', {"design-tabs.js", "sphinx-design.min.css"}),
    ],
)
def test_scripts_and_sheets_are_loaded_only_where_something_needs_them(body, kept):
    optional = {"copybutton.js", "clipboard.min.js", "pygments.css", "togglebutton.js", "searchindex.js"}
    optional |= {"design-tabs.js", "sphinx-design.min.css", "scripts/fontawesome.js", "scripts/bootstrap.js"}
    always = {"scripts/pydata-sphinx-theme.js", "featlib.css", "ours.js"}
    tags = "".join(
        f'<link href="../_static/{name}?v=1" rel="stylesheet" />\n'
        if name.endswith("css")
        else f'<script defer src="../_static/{name}?v=1"></script>\n'
        for name in sorted(optional | always)
    )
    page = light.slim(f"<html><head>{tags}</head><body>{body}</body></html>", "p")
    assert set(re.findall(r'_static/([^"?]+)', page)) == kept | always


def test_colours_of_code_that_are_those_of_the_text_need_no_marks():
    sheet = '[data-theme="light"] .highlight{background: #fff;color: #080808}'
    sheet += '[data-theme="light"] .highlight .n{color: #080808}'
    sheet += '[data-theme="light"] .highlight .k{color: #600}[data-theme="light"] .highlight .gs{font-weight: bold}'
    assert light.tints(sheet) == {"k", "gs"}


def test_what_the_theme_gets_wrong_is_put_right():
    page = '<html lang="en"><th class="blank">&nbsp;</th><th>name</th><div role="list" class="citation-list">'
    page += '<div class="citation" role="doc-biblioentry"><div role="list" class="other">'
    page += '<img src="minus.png" class="toggler" id="toggle-1" alt="-" /><img alt="Binder logo" src="x.svg">'
    mended = mend.mend_page(page)
    assert mended.startswith('<html data-theme="light" lang="en"><td class="blank"></td><th>name</th><div class="cita')
    assert "doc-biblioentry" not in mended
    assert mended.endswith('<div role="list" class="other"><img alt="" src="x.svg">')
    assert mend.mend_page(mended) == mended


class TestPrinted:
    def test_no_file_is_left_that_no_page_loads_any_more(self, printed):
        static = printed.home.html / "_static"
        assert not list(static.rglob("*fontawesome*"))
        assert not list(static.rglob("*.map"))
        assert (static / "scripts" / "bootstrap.js").read_text("utf8") == menus.SCRIPT

    def test_sheets_carry_the_digest_of_what_they_hold(self, printed):
        page = (printed.home.html / "book" / "home.html").read_text("utf8")
        found = re.findall(r'href="\.\./(_static/[^"?]+\.css)\?v=(\w+)"', page)
        assert len(found) >= 4
        for name, digest in found:
            text = (printed.home.html / name).read_text("utf8")
            assert light.stamp(f'href="{name}"', printed.home.html / "index.html") == f'href="{name}?v={digest}"', text

    def test_licences_of_what_is_left_stay(self, printed):
        theme = (printed.home.html / "_static" / "styles" / "pydata-sphinx-theme.css").read_text("utf8")
        assert re.search(r"/\*!.*Bootstrap.*MIT.*?\*/", theme, re.DOTALL)

    def test_a_site_with_another_part_of_bootstrap_keeps_bootstrap(self, printed, tmp_path):
        import shutil

        copy = shutil.copytree(printed.home.html, tmp_path / "site")
        whole = copy / "_static" / "scripts" / "bootstrap.js"
        whole.write_text("// the whole of it")
        page = copy / "book" / "data.html"
        page.write_text(
            page.read_text("utf8").replace("</article>", '<b data-bs-toggle="modal">x</b></article>'), "utf8"
        )
        light.lighten(copy)
        assert whole.read_text() == "// the whole of it"


def test_images_become_files_that_pages_share(tmp_path):
    static = tmp_path / "_static"
    static.mkdir()
    content = base64.b64decode(PIXEL) * 60
    image = f'<img src="data:image/png;base64,{base64.b64encode(content).decode()}" alt="x">'
    small = f'<img src="data:image/png;base64,{PIXEL}" alt="x">'
    one = light.images_as_files(image + small, tmp_path / "book" / "one.html", static)
    two = light.images_as_files(image, tmp_path / "two.html", static)
    (file,) = (static / "pictures").iterdir()
    assert file.read_bytes() == content
    assert one == f'<img src="../_static/pictures/{file.name}" alt="x">{small}'
    assert two == f'<img src="_static/pictures/{file.name}" alt="x">'


def test_figures_further_down_wait_and_frames_do_not():
    figure = '<img class="featlib-figure" src="a.webp" alt="x">'
    waiting = figure.replace("<img ", '<img loading="lazy" ')
    frames = f'<fieldset class="featlib-frames" id="f">{figure}</fieldset>'
    assert light.fetched_later(f"<p>{figure}{frames}{figure}</p>{frames}{figure}") == (
        f"<p>{figure}{frames}{waiting}</p>{frames}{waiting}"
    )
    assert light.fetched_later("<p>none</p>") == "<p>none</p>"


def test_two_touchable_figures_of_a_page_share_style_and_script():
    from featlib import figures, widgets

    states = [figures.picture(np.full((4, 4, 3), shade), f"A field at {shade} of white.") for shade in (0.2, 0.8)]
    one, two = (
        widgets.frames(states, {name: ["dark", "bright"]}, f"Fields of any {name} you like").html()
        for name in ("size", "place")
    )
    page = light.said_once(f"<style>a</style>{one}<p>between</p>{two}<style>a</style>")
    assert page.startswith(f"<style>a</style>{one}<p>between</p><fieldset")
    assert page.endswith("</fieldset><script>featlibFrames()</script><style>a</style>")
    assert page.count("<script data-once>") == page.count("<style data-once>") == 1
    assert re.findall("<fieldset.*?</fieldset>", page) == re.findall("<fieldset.*?</fieldset>", one + two)
    assert len(one + two) - len(page) > 3500
    assert light.said_once(page) == page
    other = light.said_once(two.replace("0072b2", "d55e00") + one)
    assert (other.count("<style data-once>"), other.count("<script data-once>")) == (2, 1)  # not the same: both stay


def test_signatures_keep_their_words_and_lose_their_wrapping():
    part = '<span class="n"><span class="pre">phi</span></span><span class="o"><span class="pre">=</span></span>'
    name = '<span class="sig-name descname"><span class="pre">rsa</span></span>'
    page = f'<html><body><dt class="sig sig-object py" id="rsa">{name}<em>{part}</em></dt><dt>{part}</dt></body></html>'
    slimmer = light.slim(page, "p")
    assert 'id="rsa"><span class="sig-name descname">rsa</span><em>phi<span class="o">=</span></em></dt>' in slimmer
    assert f"<dt>{part}</dt>" in slimmer


def test_tables_from_pandas_lose_the_names_that_no_style_asks_for():
    frame = pd.DataFrame({"a": [1.5]}, index=["row"])
    plain, styled = frame.style.format("{:.1f}"), frame.style.set_properties(color="red")
    page = light.plain_tables(plain.to_html() + styled.to_html())
    assert page.count("_row0_col0") == styled.to_html().count("_row0_col0")
    assert squeezed(page).startswith("<tableid=")
    assert "<td>1.5</td>" in page
