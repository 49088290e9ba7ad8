"""axe-core on every page, in both themes, wide and narrow; and what axe cannot see: focus, order, width."""

import importlib.util
import itertools
from pathlib import Path

import pytest
from reader import CHAPTER, NARROW, WIDE

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22a", "wcag22aa", "best-practice"]
FOUND = """async rules => (await axe.run({runOnly: {type: "tag", values: rules}})).violations.flatMap(
  fault => fault.nodes.map(node => `${fault.id}: ${node.html.slice(0, 160)} (${node.failureSummary.slice(0, 300)})`))"""
# Whether the focus can be seen: a line of two pixels at least around the element that has it.
RING = """() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const visible = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2;
  const box = element.getBoundingClientRect();
  const name = `${element.dataset.number} ${element.outerHTML.slice(0, 120)}`;
  return {name, visible, shown: box.width > 0 && box.height > 0};
}"""
REACHABLE = """() => [...document.querySelectorAll(
  'a[href], button:not([disabled]), input:not([type=hidden]), select, summary, [tabindex="0"]')]
  .filter(e => e.tabIndex >= 0 && e.checkVisibility({visibilityProperty: true, opacityProperty: false})
    && !e.closest('dialog:not([open])'))
  .map((e, number) => { e.dataset.number = number; return `${number} ${e.outerHTML.slice(0, 120)}`; })"""


def pages(site):
    """The pages of the site, without the one that only leads to the home page."""
    found = (path.relative_to(site).as_posix() for path in sorted(site.rglob("*.html")))
    return [name for name in found if not name.startswith("_static") and name != "index.html"]


@pytest.fixture(scope="module")
def axe():
    package = importlib.util.find_spec("axe_playwright_python")
    return (Path(package.origin).parent / "axe.min.js").read_text("utf8")


def faults(page, axe):
    page.evaluate(axe)
    return page.evaluate(FOUND, RULES)


def too_wide(page):
    spill = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    return [f"is {spill} pixels too wide"] if spill > 0 else []


def misplaced_headings(page):
    shown = page.locator("main :is(h1,h2,h3,h4,h5,h6):visible")
    levels = shown.evaluate_all("all => all.map(heading => +heading.tagName[1])")
    steps = [below - above for above, below in itertools.pairwise(levels)]
    return [] if levels[0] == 1 == levels.count(1) and max(steps, default=0) <= 1 else [f"has headings {levels}"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_axe_finds_nothing_and_nothing_scrolls_sideways(visit, site, axe, scheme, size):
    window, found = visit(viewport=size, color_scheme=scheme), {}
    for name in pages(site):
        page = window.go(name + ("?q=hippopotamus" if name == "search.html" else ""))
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        # axe asks for the sheets that a sheet imports by a wrong address: its own complaints are not the page's.
        found[name] = [*window.complaints, *too_wide(page), *misplaced_headings(page), *faults(page, axe)]
        window.complaints.clear()
    assert {name: faults for name, faults in found.items() if faults} == {}


def test_axe_finds_nothing_once_menus_folds_and_sidebars_are_open(visit, axe):
    for size in (WIDE, NARROW):
        window = visit(viewport=size)
        page = window.go()
        for fold in page.locator("article summary").all():
            fold.click()
        for menu in page.locator(".dropdown > [data-bs-toggle=dropdown]").all():
            menu.click()
            assert page.locator(".dropdown-menu:visible").count() == 1
            assert faults(page, axe) == []
            page.keyboard.press("Escape")
        assert faults(page, axe) == []
        if size is NARROW:
            page.locator(".primary-toggle").click()
            assert page.locator("#pst-primary-sidebar-modal").is_visible()
            assert faults(page, axe) == []
        window.complaints.clear()


@pytest.mark.parametrize(
    "name", [CHAPTER, "book/home.html", "book/scoreboard.html", "book/evidence/alpha.html", "search.html"]
)
def test_tab_reaches_everything_in_order_with_a_ring_around_it(visit, name):
    page = visit().go(name)
    wanted = page.evaluate(REACHABLE)
    page.evaluate("document.activeElement.blur(); getSelection().removeAllRanges(); scrollTo(0, 0)")
    reached, order = [], []
    for _ in range(len(wanted) + 5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement === document.body"):
            break
        focus = page.evaluate(RING)
        assert focus["visible"], f"the focus cannot be seen on {focus['name']}"
        assert focus["shown"], f"the focus is on something that does not show: {focus['name']}"
        reached.append(focus["name"])
        order.append(page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    numbers = {name.split()[0] for name in reached}
    assert [name for name in wanted if name.split()[0] not in numbers] == []
    assert order == sorted(order)
