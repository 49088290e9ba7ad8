"""A tiny site for each test, and one that is printed once for all."""

import pytest
from tiny_site import BENCH, TinySite

from featlib.press.site import print_site, stage


@pytest.fixture
def tiny(tmp_path):
    return TinySite(tmp_path / "a book")  # with a space: people have those


@pytest.fixture(scope="session")
def printed(tmp_path_factory):
    """The tiny site, collected, staged and printed. Tests that break a page put it back."""
    site = TinySite(tmp_path_factory.mktemp("printed") / "a book")
    (site.home.root / "book" / "performance.csv").write_text(BENCH)
    site.collect()
    stage(site.home, site.cards, site.executed)
    print_site(site.home)
    return site
