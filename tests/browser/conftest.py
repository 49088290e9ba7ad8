"""A small book, printed once, behind a local server; a browser that can reach nothing else."""

import functools
import http.server
import importlib
import sys
import threading
from dataclasses import dataclass, field

import pytest
from reader import CHAPTER, ROOT, WIDE

for folder in (ROOT / "tools", ROOT / "tests" / "site"):
    sys.path.insert(0, str(folder))
browser_tool = importlib.import_module("browser")
tiny_site = importlib.import_module("tiny_site")

KNOWN = "THEBE_JS_URL has already been declared"
"""The one line that the theme itself writes to the console of every page."""


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_arguments):
        pass


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """The tiny book with a chapter to touch, printed."""
    from featlib.press.site import check_site, print_site, stage

    book = tiny_site.TinySite(tmp_path_factory.mktemp("browser") / "a book")
    book.run["cells"] += tiny_site.touchable()
    book.write("alpha", tiny_site.stripped(book.run), tiny_site.ALPHA)
    (book.home.root / "book" / "performance.csv").write_text(tiny_site.BENCH)
    book.collect()
    stage(book.home, book.cards, book.executed)
    print_site(book.home)
    assert check_site(book.home.html, book.home, book.cards) == []
    return book.home.html


@pytest.fixture(scope="session")
def address(site):
    """Where the site is served."""
    handler = functools.partial(Quiet, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


# One browser for each file of tests: between them no event loop may run, for other tests start their own.
@pytest.fixture(scope="module")
def chromium():
    path = browser_tool.find()
    if path is None:
        pytest.skip(f"no browser: {browser_tool.HOW}")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path)
        yield launched
        launched.close()


@dataclass
class Visit:
    """One reader's window, with what it loaded, tried to load from elsewhere, and complained of."""

    page: object
    address: str
    loaded: dict = field(default_factory=dict)
    outside: list = field(default_factory=list)
    complaints: list = field(default_factory=list)

    def go(self, name=CHAPTER):
        self.page.goto(self.address + name)
        return self.page


@pytest.fixture
def visit(chromium, address):
    """Open windows; at the end, nothing may have left the site, and nothing may have gone wrong in the console."""
    contexts, visits = [], []

    def open_window(**options):
        context = chromium.new_context(**{"viewport": WIDE, "color_scheme": "light", **options})
        context.set_default_timeout(5000)
        here = Visit(context.new_page(), address)

        def keep_inside(route):
            if route.request.url.startswith(address):
                route.continue_()
            else:
                here.outside.append(route.request.url)
                route.abort()

        context.route("**/*", keep_inside)
        here.page.on("response", lambda response: here.loaded.setdefault(response.url, response))
        here.page.on("console", lambda said: here.complaints.append(said.text) if said.type == "error" else None)
        here.page.on("pageerror", lambda error: here.complaints.append(str(error)))
        contexts.append(context)
        visits.append(here)
        return here

    yield open_window
    for context in contexts:
        context.close()
    for here in visits:
        assert here.outside == []
        assert [line for line in here.complaints if KNOWN not in line] == []
