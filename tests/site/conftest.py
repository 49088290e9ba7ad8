"""A tiny site for each test, and one that is printed once for all."""

import pytest
from tiny_site import TinySite

from featlib.press.site import print_site, stage


@pytest.fixture
def tiny(tmp_path):
    return TinySite(tmp_path / "a book")  # with a space: people have those


@pytest.fixture(scope="session")
def printed(tmp_path_factory):
    """The tiny site, collected, staged and printed. Tests that break a page put it back."""
    site = TinySite(tmp_path_factory.mktemp("printed") / "a book")
    bench = "op,size,dtype,threads,device,peer,peer_version,peer_ms,ours_ms,ratio,error,break_even,load,date,commit\n"
    bench += "top_component,1280x7x7,float32,1,cpu,numpy,2.4,74.8,0.33,226.7,1.2e-05,never slower,0.4,2026-11-23,abc1\n"
    (site.home.root / "book" / "performance.csv").write_text(bench)
    site.collect()
    stage(site.home, site.cards, site.executed)
    print_site(site.home)
    return site
