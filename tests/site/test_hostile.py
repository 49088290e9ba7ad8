"""A chapter whose every text is an attack: each page shows it as text, and nothing of it runs."""

import copy
import json

import pytest
from bs4 import BeautifulSoup
from tiny_site import ALPHA, TinySite

from featlib.press.archive import ArchivedRun
from featlib.press.collect import collect, write
from featlib.press.evidence import MIME, parse_evidence
from featlib.press.record import RunRecord
from featlib.press.site import print_site, stage

ATTACK = (
    """"'><script>pwned()</script><img src=x onerror=pwned()></td></table><a href="javascript:pwned()">x</a>{{7}}"""
)
KEPT = {"id", "kind", "weight", "key", "device"}
"""Fields that hold no free text."""


def attacked(node, name=""):
    """The same with an attack after every free text."""
    if isinstance(node, dict):
        return {key: attacked(value, key) for key, value in node.items()}
    if isinstance(node, list):
        return [attacked(value, name) for value in node]
    return f"{node} {ATTACK}" if isinstance(node, str) and name not in KEPT else node


def records():
    """What is known of two runs, in attacks: one from the archive, one with a parameter set by hand."""
    about = {"chapter": "alpha", "preset": "laptop", "seed": 0, "digest": "d", "notebook_digest": ATTACK}
    about |= {"code_digest": ATTACK, "data_digests": {ATTACK: ATTACK}, "versions": {ATTACK: ATTACK}, "device": ATTACK}
    about |= {"seconds": 99.0, "cpu_seconds": 50.0, "peak_memory_mb": 1536.0, "date": f"2026-11-23T10:00:00Z{ATTACK}"}
    plain, other = {"seed": 0, "a": ATTACK}, {"seed": 0, "a": f"{ATTACK} 2"}
    yield RunRecord(**about, overrides={}, parameters=plain)
    yield RunRecord(**about, overrides={"a": ATTACK}, parameters=other)


def recorded(run):
    """The evidence in an executed notebook, with attacks in all its texts and names."""
    for cell in run["cells"]:
        for output in cell.get("outputs", []):
            if MIME in output.get("data", {}):
                payload = output["data"][MIME]
                payload |= {"unit": ATTACK, "why": ATTACK, "precondition": False}
                for kind in ("samples", "control", "rival"):
                    if payload.get(kind):
                        payload[kind] = {f"{seed} {ATTACK}": value for seed, value in payload[kind].items()}
                yield parse_evidence(payload)


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """All pages of a site whose card, evidence, archive and history are attacks."""
    site = TinySite(tmp_path_factory.mktemp("hostile") / "book")
    card = attacked(copy.deepcopy({key: value for key, value in ALPHA.items() if key != "data"}))
    site.write("alpha", json.loads((site.home.notebooks / "alpha.ipynb").read_text()), card)
    plain, by_hand = records()
    old = ArchivedRun(run=plain, evidence=[*recorded(site.run)])
    ledger = collect(site.cards, [(by_hand, site.run)], "laptop", [(old, ATTACK)])
    assert ledger["sweeps"]
    for row in ledger["rows"]:
        row["history"] = [{"day": ATTACK, "commit": ATTACK, "verdict": ATTACK, "n": 1}]
    write(ledger, site.home.ledger)
    stage(site.home, site.cards, site.executed)
    html = print_site(site.home)
    return {path.relative_to(html).as_posix(): path.read_text() for path in html.rglob("*.html")}


def test_the_attack_is_on_the_pages_as_text(pages):
    shown = ("home", "scoreboard", "evidence/alpha", "status")
    for name in (*(f"book/{page}.html" for page in shown), "notebooks/alpha.html"):
        assert "<script>pwned()</script>" in BeautifulSoup(pages[name], "html.parser").get_text(), name


def test_nothing_of_it_is_markup(pages):
    for name, page in pages.items():
        soup = BeautifulSoup(page, "html.parser")
        assert not soup.find("img", src="x"), name
        for tag in soup.find_all():
            assert not [key for key in tag.attrs if key.startswith("on") and "pwned" in str(tag[key])], name
            for key in ("href", "src", "action", "formaction", "data"):
                assert not str(tag.get(key, "")).strip().lower().startswith("javascript:"), (name, key)
            if tag.name in {"script", "style"}:
                assert "pwned" not in tag.get_text(), name
