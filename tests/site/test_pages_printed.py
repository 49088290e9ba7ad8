"""The printed pages of the tiny site: face, search, hover notes, badges; and the one script, in a real browser."""

import io
import json
import re
import shutil
import struct
from html import unescape
from itertools import pairwise
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from tiny_site import ALPHA, BETA, ROOT

STYLE = (ROOT / "book" / "assets" / "featlib.css").read_text("utf8")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


def page(site, name):
    return (site.home.html / name).read_text("utf8")


def meta(text):
    """What a page says of itself."""
    pairs = re.findall(r'<meta (?:name|property)="([^"]+)" content="([^"]*)"', text.partition("</head>")[0])
    return {name: unescape(said) for name, said in pairs}


class TestPrinted:
    def test_a_page_brings_the_card_that_others_show_with_a_link(self, printed):
        said = meta(page(printed, "notebooks/beta.html"))
        assert said["og:title"] == BETA["title"]
        assert said["description"] == said["og:description"] == BETA["finding"]
        assert said["og:type"] == "article"
        assert said["og:url"] == "https://featlib.github.io/featlib/notebooks/beta.html"
        image = said["og:image"].removeprefix("https://featlib.github.io/featlib/")
        assert (printed.home.html / image).read_bytes() == (ROOT / "book/assets/social-card.png").read_bytes()
        assert meta(page(printed, "book/status.html"))["description"] == "What it took."
        behind = meta(page(printed, "book/evidence/beta.html"))
        assert behind["og:title"] == f"Evidence: {BETA['title']}"
        assert behind["og:type"] == "website"
        assert behind["description"].startswith("What stands behind each verdict on the claims of its chapter.")

    def test_the_social_card_has_its_size_and_is_light(self):
        bytes_ = (ROOT / "book" / "assets" / "social-card.png").read_bytes()
        assert len(bytes_) < 60_000
        assert struct.unpack(">II", bytes_[16:24]) == (1200, 630)  # where a PNG says its size

    def test_a_claim_leads_to_the_evidence_in_its_chapter(self, printed):
        behind = page(printed, "book/evidence/alpha.html")
        chapter = page(printed, "notebooks/alpha.html")
        for name in ("holds", "unclear", "own"):
            assert behind.count(f'href="../../notebooks/alpha.html#evidence-{name}"') == 1
            assert chapter.count(f'<table class="featlib-evidence" id="evidence-{name}">') == 1
        assert "#evidence-later" not in behind

    def test_counts_by_chapter_and_by_kind_hold_all_claims(self, printed):
        board = page(printed, "book/scoreboard.html")
        kinds = {claim["kind"] for claim in ALPHA["claims"] + BETA["claims"]}
        for section, names in (("by-chapter", {"alpha", "beta"}), ("by-kind", kinds)):
            part = re.search(rf'<section id="{section}">.*?</section>', board, re.DOTALL)[0]
            claims = [int(n) for n in re.findall(r'data-label="Claims"><div>(\d+)</div>', part)]
            shown = [int(n) for n in re.findall(r"<b>(\d+)</b>", part)]
            assert len(claims) == len(names)
            assert sum(claims) == sum(shown) == 6

    def test_badges_are_whole_pictures_of_the_ledger(self, printed):
        for name, words in (
            ("book", "of 6 claims 2 supported, 1 inconclusive, 1 not testable here, 2 not yet run"),
            ("beta", "of 1 claims 1 not yet run"),
        ):
            badge = ElementTree.parse(printed.home.html / "badges" / f"{name}.svg").getroot()
            assert badge.get("aria-label").endswith(words)
        assert '<img src="../badges/alpha.svg"' in page(printed, "notebooks/alpha.html")

    def test_links_to_terms_and_citations_carry_their_meaning(self, printed):
        chapter = page(printed, "notebooks/alpha.html")
        term = re.search(
            r'<a class="reference internal" href="([^"]+)" title="([^"]+)"><span class="xref std std-term', chapter
        )
        assert term[1] == "../book/glossary.html#term-feature"
        assert unescape(term[2]) == "What a <network> answers to."
        assert re.search(r'title="Bolei Zhou[^"]+discriminative localization', chapter)

    def test_asides_and_solutions_are_html_around_markdown(self, printed):
        chapter = page(printed, "notebooks/alpha.html")
        assert re.search(r'<div class="margin" role="note">\s*<p>An <em>aside</em>.</p>\s*</div>', chapter)
        solution = r"<details>\s*<summary>Solution</summary>\s*<p>It is <em>two</em>.</p>\s*</details>"
        assert re.search(solution, chapter)

    def test_the_search_index_holds_claims_chapters_and_their_words(self, printed):
        text = page(printed, "searchindex.js").removeprefix("Search.setIndex(").removesuffix(")")
        index = json.loads(text)
        board = index["docnames"].index("book/scoreboard")
        for stem in ("million", "surviv", "nois"):  # of claims, as Sphinx stems them
            pages = index["terms"][stem]
            assert board in (pages if isinstance(pages, list) else [pages])
        assert any("beta chapter" in title.lower() for title in index["alltitles"])
        assert [board, "claim-alpha-too-large"] in [entry[:2] for entry in index["indexentries"]["too large"]]

    def test_headings_come_in_order_on_every_page(self, printed):
        for path in printed.home.html.rglob("*.html"):
            article = path.read_text("utf8").partition("<article")[2].partition("</article>")[0]
            levels = [int(level) for level in re.findall(r"<h([1-6])[ >]", article)]
            if levels:
                assert levels.count(1) == 1
                assert all(after <= before + 1 for before, after in pairwise(levels)), path.name


def light(colour):
    """Relative luminance, as WCAG defines it."""
    colour = colour if len(colour) == 6 else "".join(c * 2 for c in colour)
    parts = [int(colour[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", ["ours", "against", "paper", "ink", "quiet"])
def test_every_colour_of_text_can_be_read(theme, name):
    block = re.search(rf'html\[data-theme="{theme}"\] \{{(.*?)\}}', STYLE, re.DOTALL)[1]
    colours = dict(re.findall(r"--fl-(\w+): #([0-9a-f]+);", block))
    for ground in ("page", "tint"):
        low, high = sorted((light(colours[name]), light(colours[ground])))
        assert (high + 0.05) / (low + 0.05) >= 4.5


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine")
    with sync.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser, printed):
    """Opens a page of the printed site; with script or without."""
    contexts = []

    def open_page(name, script=True, width=1200):
        context = browser.new_context(java_script_enabled=script, viewport={"width": width, "height": 800})
        contexts.append(context)
        tab = context.new_page()
        file, mark, fragment = name.partition("#")
        tab.goto((printed.home.html / file).as_uri() + mark + fragment)
        return tab

    yield open_page
    for context in contexts:
        context.close()


def shown(tab):
    """The claims whose rows show, from top to bottom."""
    rows = tab.locator("[data-board] tbody:visible > tr:first-child")
    names = rows.evaluate_all("rows => rows.map(row => row.id)")
    return [re.sub("claim-(alpha|beta)-", "", name) for name in names]


BOARD = "book/scoreboard.html"
ALL = ["holds", "unclear", "later", "too-large", "own", "waits"]


class TestScript:
    def test_without_script_all_rows_show_with_their_evidence_and_no_dead_control_does(self, opened):
        tab = opened(BOARD, script=False)
        assert shown(tab) == ALL
        assert tab.locator("[data-board] a.fl-behind:visible").count() == 6
        assert not tab.locator(".fl-filter").is_visible()
        assert tab.locator("[data-board] thead button").count() == 0

    def test_filters_leave_what_they_say_and_say_how_many(self, opened):
        tab = opened(BOARD)
        status = tab.get_by_role("status")
        tab.locator("select[name=verdict]").select_option("supported")
        assert shown(tab) == ["holds", "own"]
        assert status.inner_text() == "2 of 6 claims shown"
        tab.locator("select[name=kind]").select_option("identity")
        assert shown(tab) == ["own"]
        tab.locator("select[name=chapter]").select_option("beta")
        assert shown(tab) == []
        assert status.inner_text() == "0 of 6 claims shown"

    def test_sorting_by_keyboard_goes_forwards_backwards_and_home(self, opened):
        tab = opened(BOARD)
        head = tab.get_by_role("columnheader", name="Verdict", exact=True)
        head.get_by_role("button").focus()
        order = ["holds", "own", "unclear", "too-large", "later", "waits"]
        for expected, said in ((order, "ascending"), (None, "descending"), (ALL, "none")):
            tab.keyboard.press("Enter")
            assert head.get_attribute("aria-sort") == said
            if expected:
                assert shown(tab) == expected
            else:
                assert shown(tab) == ["later", "waits", "too-large", "unclear", "holds", "own"]

    @pytest.mark.parametrize("script", [True, False])
    def test_a_row_leads_to_its_evidence_by_keyboard_and_back(self, opened, script):
        tab = opened(BOARD, script=script)
        tab.get_by_role("link", name="Evidence for unclear").focus()
        tab.keyboard.press("Enter")
        tab.wait_for_url("**/evidence/alpha.html#claim-alpha-unclear")
        section = tab.locator("section#claim-alpha-unclear")
        assert 0 <= section.locator("h2").bounding_box()["y"] < 800
        assert section.locator(".fl-strip").bounding_box()["height"] > 100
        section.get_by_role("link", name="Its row on the scoreboard").press("Enter")
        tab.wait_for_url("**/scoreboard.html#claim-alpha-unclear")
        assert 0 <= tab.locator("#claim-alpha-unclear").bounding_box()["y"] < 800

    @pytest.mark.parametrize("width", [400, 1200])
    @pytest.mark.parametrize("group", ["ours", "rival", "control"])
    def test_a_dot_is_as_wide_as_high_on_any_screen(self, opened, width, group):
        """The picture around it is stretched, the dot must not be."""
        tab = opened("book/evidence/alpha.html", width=width)
        tab.locator("[id=claim-alpha-holds] .fl-strip").scroll_into_view_if_needed()
        # One dot alone: the first, on white, with all else out of the way.
        where = tab.evaluate(
            """group => {
                const box = document.querySelector(`#claim-alpha-holds .fl-${group}`);
                const path = box.querySelector("path");
                path.setAttribute("d", "m300 0h0");
                document.querySelectorAll(".fl-strip line, .fl-strip text").forEach((other) => other.remove());
                document.querySelectorAll(`.fl-dots:not(.fl-${group})`).forEach((other) => other.remove());
                const { left, top, width } = box.closest(".fl-strip").getBoundingClientRect();
                return [left + 0.3 * width, top + Number(box.getAttribute("y"))];
            }""",
            group,
        )
        clip = {"x": round(where[0]) - 12, "y": round(where[1]) - 12, "width": 24, "height": 24}
        with Image.open(io.BytesIO(tab.screenshot(clip=clip))) as picture:
            grey = np.asarray(picture.convert("L"), dtype=float)
        ink = grey < grey.max() - 40
        high, wide = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
        assert 7 <= np.ptp(high) + 1 <= 12
        assert abs(np.ptp(high) - np.ptp(wide)) <= 1
        assert ink[12, 12] == (group != "rival")  # a ring is open

    def test_a_link_to_a_claim_shows_it_and_one_to_a_chapter_shows_its_claims(self, opened):
        assert opened(f"{BOARD}#claim-alpha-holds").locator("#claim-alpha-holds").is_visible()
        tab = opened(f"{BOARD}#chapter-beta")
        assert shown(tab) == ["waits"]
        assert tab.locator("select[name=chapter]").input_value() == "beta"

    def test_a_note_opens_on_focus_and_on_hover_and_closes_with_escape(self, opened):
        tab = opened("notebooks/alpha.html")
        note, link = tab.get_by_role("tooltip", include_hidden=True), tab.locator("a.reference:has(.std-term)")
        assert not note.is_visible()
        link.focus()
        assert note.inner_text() == "What a <network> answers to."
        assert link.get_attribute("aria-describedby") == note.get_attribute("id")
        tab.keyboard.press("Escape")
        assert not note.is_visible()
        tab.locator("a.reference[data-note*=Zhou]").hover()
        assert "discriminative localization" in note.inner_text()
        note.hover()
        tab.wait_for_timeout(400)  # longer than a note waits for the pointer
        assert note.is_visible()

    @pytest.mark.parametrize(
        "name",
        ["book/home", "book/scoreboard", "book/evidence/alpha", "book/status", "book/glossary", "notebooks/alpha"],
    )
    @pytest.mark.parametrize("script", [True, False])
    def test_nothing_is_wider_than_a_telephone(self, opened, name, script):
        tab = opened(f"{name}.html", script=True, width=400)
        if not script:
            tab.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        wide = "boxes => boxes.filter(box => box.scrollWidth > box.clientWidth).length"
        assert tab.locator(".fl-scroll").evaluate_all(wide) == 0  # a table stacks, it does not scroll
        assert tab.evaluate("document.documentElement.scrollWidth") <= 400
