"""What a reader does with a page: search, menus, themes, folds, keys; and what the page costs to load."""

import re

import pytest
from reader import CHAPTER, NARROW

from featlib.press.parse import parse
from featlib.press.weight import COLD, weigh


def theme(page):
    return page.evaluate("document.documentElement.dataset.theme")


def test_search_finds_a_chapter_by_keyboard(visit):
    page = visit().go("book/home.html")
    page.keyboard.press("Control+k")
    page.keyboard.type("hippopotamus")
    page.keyboard.press("Enter")
    result = page.locator("#search-results a", has_text="The alpha chapter")
    result.first.wait_for()
    result.first.press("Enter")
    page.wait_for_url(re.compile(re.escape(CHAPTER)))
    assert page.locator("span.highlighted", has_text="hippopotamus").count() == 1


def test_search_finds_a_claim(visit):
    page = visit().go("search.html?q=survive+noise")
    page.locator("#search-results a", has_text="Scoreboard").first.wait_for()


def test_the_theme_switch_goes_round_by_keyboard_and_is_remembered(visit):
    page = visit().go()
    switch = page.locator(".theme-switch-button:visible")
    seen, paper = [], []
    for _ in range(3):
        switch.press("Enter")
        assert has_focus(switch)
        assert switch.locator("svg:visible").count() == 1
        seen.append(page.evaluate("document.documentElement.dataset.mode"))
        paper.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert sorted(seen) == ["auto", "dark", "light"]
    assert paper[seen.index("dark")] != paper[seen.index("light")]
    while theme(page) != "dark":
        switch.press("Enter")
    page.reload()
    assert theme(page) == "dark"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_first_visit_has_the_colours_of_the_system_before_any_script_file_runs(visit, scheme):
    window = visit(color_scheme=scheme)
    window.page.route("**/*.js*", lambda route: route.abort())
    page = window.go()
    assert theme(page) == scheme
    window.complaints.clear()


def test_without_script_the_page_has_the_colours_of_the_light_theme(visit):
    styles = """[document.body, document.querySelector("article a"), document.querySelector("article h1")].map(
        element => [getComputedStyle(element).color, getComputedStyle(element).backgroundColor])"""
    ours = """["--fl-line", "--pst-color-link"].map(name => getComputedStyle(document.body).getPropertyValue(name))"""
    with_script, without = visit().go(), visit(java_script_enabled=False).go()
    assert without.evaluate(styles) == with_script.evaluate(styles)
    assert without.evaluate(ours) == with_script.evaluate(ours)


def menus(page):
    """The menus in the head of a page."""
    found = page.locator(".dropdown:has(> [data-bs-toggle=dropdown])").all()
    if not found:
        pytest.skip("the head of a page has no menus: its buttons are links")
    return [(menu.locator("> button"), menu.locator(".dropdown-item")) for menu in found]


def has_focus(element):
    return element.evaluate("e => e === document.activeElement")


def test_menus_open_move_and_close_by_keyboard(visit):
    page = visit().go()
    for button, items in menus(page):
        assert button.locator("svg").count() == 1
        assert not items.first.is_visible()
        button.press("Enter")
        assert button.get_attribute("aria-expanded") == "true"
        assert items.first.is_visible()
        page.keyboard.press("ArrowDown")
        assert has_focus(items.first)
        page.keyboard.press("ArrowUp")
        assert has_focus(items.last)
        page.keyboard.press("Escape")
        assert not items.first.is_visible()
        assert button.get_attribute("aria-expanded") == "false"
        assert has_focus(button)


def test_a_menu_closes_when_the_reader_goes_elsewhere_and_stays_on_the_page(visit):
    page = visit(viewport=NARROW).go()
    for button, items in menus(page):
        button.click()
        box = items.first.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= NARROW["width"]
        page.locator("article h2").first.click()
        assert not items.first.is_visible()
        button.press("Enter")
        for _ in range(items.count() + 1):
            page.keyboard.press("Tab")
        assert not items.first.is_visible()
        page.evaluate("scrollTo(0, 0)")


def test_launch_and_download_lead_to_this_chapter(visit):
    links = visit().go().locator("a[href$='notebooks/alpha.ipynb']").evaluate_all("all => all.map(e => e.href)")
    for start in ("http://127.0.0.1", "https://colab.research.google.com/", "https://mybinder.org/"):
        assert any(link.startswith(start) for link in links), start


def test_fullscreen_answers_to_keys(visit):
    page = visit().go()
    button = page.locator(".btn-fullscreen-button")
    if not button.count():
        pytest.skip("the head of a page has no fullscreen button: every browser has a key for it")
    button.press("Enter")
    page.wait_for_function("document.fullscreenElement !== null")
    button.press("Enter")
    page.wait_for_function("document.fullscreenElement === null")


def test_the_sidebar_answers_to_keys(visit):
    page = visit().go()
    side, toggle = page.locator("#pst-primary-sidebar"), page.locator(".primary-toggle")
    assert side.is_visible()
    toggle.press("Enter")
    side.wait_for(state="hidden")
    toggle.press("Enter")
    side.wait_for(state="visible")
    assert has_focus(toggle)


def test_on_a_narrow_screen_the_sidebar_opens_as_a_dialog_and_gives_the_focus_back(visit):
    page = visit(viewport=NARROW).go()
    toggle = page.locator(".primary-toggle")
    toggle.press("Enter")
    sidebar = page.locator("#pst-primary-sidebar-modal")
    assert sidebar.get_by_role("link", name="The beta chapter", exact=True).is_visible()
    page.keyboard.press("Escape")
    assert has_focus(toggle)


def test_a_hidden_solution_opens(visit):
    page = visit().go()
    solution = page.get_by_text("The solution was hidden.")
    hidden = solution.evaluate("e => getComputedStyle(e).visibility === 'hidden' || !e.checkVisibility()")
    assert hidden
    page.locator(".admonition.dropdown button, .admonition.dropdown summary").first.press("Enter")
    page.wait_for_function("e => getComputedStyle(e).visibility === 'visible'", arg=solution.element_handle())


def test_code_can_be_copied_by_keyboard(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).go()
    page.locator("div.highlight button.copybtn").first.press("Enter")
    page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('seed: int = 0')")


@pytest.mark.parametrize(
    "name", [CHAPTER, "book/home.html", "book/scoreboard.html", "book/evidence/alpha.html", "search.html"]
)
def test_a_page_loads_what_the_budget_counts_and_no_more(visit, site, name):
    window = visit()
    window.go(name).wait_for_load_state("networkidle")
    own = name.removesuffix(".html")
    weight = weigh(site, own, parse(site / name))
    loaded = {url.removeprefix(window.address).partition("?")[0]: len(r.body()) for url, r in window.loaded.items()}
    assert sum(loaded.values()) <= weight.cold + weight.later
    # Fonts and backgrounds are fetched when something needs them; what a page names itself, always.
    assert [file for file in weight.files if file not in loaded and file.endswith((".js", ".css"))] == []
    assert all(loaded.get(file, size) == size for file, size in weight.files.items() if not file.endswith(".html"))
    assert weight.cold < COLD
