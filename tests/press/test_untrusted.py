"""Cards, evidence, archives, sweeps and ledgers are data: whatever they hold, nothing is run and reading ends well."""

import json
import re
from pathlib import Path

import pytest
import yaml
from example_card import CARD, TOC, claim, evidence, home, record
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from featlib.press import archive
from featlib.press.archive import ArchivedRun, ArchiveError, parse_line
from featlib.press.cache import Cache
from featlib.press.card import CardError, load_cards, parse_card
from featlib.press.collect import LedgerFileError, collect, read_ledger, write
from featlib.press.evidence import Evidence, EvidenceError, evidence_html, parse_evidence
from featlib.press.ledger import Ledger, LedgerError
from featlib.press.sweep import SweepError, read_sweep

ROOT = Path(__file__).resolve().parents[2]
LINE = ArchivedRun(run=record(), evidence=[parse_evidence(evidence())]).line()
SWEEP = "preset: laptop\nseeds: 0..4\nchapters: {toy: {n: [1]}}"
FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150, deadline=None)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=15,
)


@st.composite
def mutated(draw, whole):
    """A text with a stretch of it cut, doubled or replaced by signs that mean something to a parser."""
    start = draw(st.integers(0, len(whole)))
    end = draw(st.integers(start, min(len(whole), start + 30)))
    signs = st.text("{}[]&*!|>-:,#'\"%@`\t\n 0aN\ud800\x00", max_size=10)
    between = draw(signs | st.just(whole[start:end] * 2))
    return whole[:start] + between + whole[end:]


@st.composite
def altered(draw, whole):
    """A mapping with one value, at any depth, replaced by anything."""
    copy = json.loads(json.dumps(whole))
    node = copy
    while True:
        key = draw(st.sampled_from(sorted(node) if isinstance(node, dict) else range(len(node))))
        if not isinstance(node[key], dict | list) or not node[key] or draw(st.booleans()):
            node[key] = draw(JSON)
            return copy
        node = node[key]


def complaint(error, read):
    """What a reader complains of, in its own error; empty if it reads."""
    try:
        read()
    except error as caught:
        return str(caught)
    return ""


# Nothing but its own error ------------------------------------------------------------------------------------------


@FILES
@given(text=st.text(max_size=200) | mutated(yaml.safe_dump(CARD)))
def test_any_text_is_a_card_or_a_card_error(text):
    said = complaint(CardError, lambda: parse_card(text, Path("toy.yml")))
    assert said == "" or said.startswith("toy.yml: ")


@FILES
@given(mapping=altered(CARD))
def test_any_mapping_is_a_card_or_a_card_error(mapping):
    said = complaint(CardError, lambda: parse_card(json.dumps(mapping), Path("toy.yml")))
    assert said == "" or said.startswith("toy.yml: ")


@FILES
@given(content=st.binary(max_size=100) | mutated(SWEEP).map(lambda text: text.encode("utf8", "surrogatepass")))
def test_any_file_is_a_sweep_or_a_sweep_error(content, tmp_path):
    path = tmp_path / "sweep.yml"
    path.write_bytes(content)
    said = complaint(SweepError, lambda: read_sweep(path))
    assert said == "" or said.startswith("sweep.yml: ")


@FILES
@given(text=st.text(max_size=200) | mutated(LINE))
def test_any_text_is_the_line_that_was_written_or_an_archive_error(text):
    said = complaint(ArchiveError, lambda: parse_line(text))
    assert len(said) < 300
    assert said or parse_line(text).line() == text


@FILES
@given(content=st.binary(max_size=300))
def test_any_file_of_the_archive_ends_cleanly(content, tmp_path):
    (tmp_path / "toy.jsonl").write_bytes(content)
    found = archive.read(tmp_path, ["toy"])
    assert found.runs == []


@FILES
@given(payload=JSON | altered(evidence()))
def test_any_payload_is_evidence_or_an_evidence_error_and_its_table_is_no_markup(payload):
    try:
        found = parse_evidence(payload)
    except EvidenceError:
        return
    assert isinstance(found, Evidence)
    json.dumps(found.payload(), allow_nan=False)
    tags = set(re.findall(r"<(/?[a-z]+)", evidence_html(payload, None)))
    assert {tag.strip("/") for tag in tags} <= {"table", "caption", "tbody", "tr", "th", "td", "strong"}


@FILES
@given(content=st.binary(max_size=200) | JSON.map(lambda value: json.dumps(value).encode()))
def test_any_file_in_the_cache_is_a_damaged_entry(content, tmp_path):
    entry = tmp_path / "digest-0"
    entry.mkdir(exist_ok=True)
    for name in ("notebook.ipynb", "record.json", "SHA256SUMS"):
        (entry / name).write_bytes(content)
    cache = Cache(tmp_path)
    assert list(cache.entries()) == list(cache.records()) == []


@pytest.fixture
def cards(tmp_path):
    return load_cards(home(tmp_path))


@FILES
@given(data=st.data())
def test_any_ledger_is_one_or_a_ledger_error(data, cards, tmp_path):
    path = tmp_path / "ledger.json"
    known = collect(cards, [], "laptop")
    content = data.draw(st.binary(max_size=100) | altered(known).map(lambda value: json.dumps(value).encode()))
    path.write_bytes(content)
    said = complaint(LedgerFileError, lambda: read_ledger(path))
    assert said == "" or said.startswith("ledger.json cannot be read (")


def test_a_ledger_reads_back(cards, tmp_path):
    known = collect(cards, [], "laptop")
    write(known, tmp_path / "ledger.json")
    assert read_ledger(tmp_path / "ledger.json") == known


# Nothing is run, unfolded or followed -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        "!!python/object/apply:os.system ['touch pwned']",
        "!!python/name:os.system",
        "!!binary aGVsbG8=",
        "!anything x",
        "&a [*a]",
        "[&a x, *a]",
    ],
)
def test_tags_and_aliases_of_yaml_are_refused(value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    others = yaml.safe_dump({key: given for key, given in CARD.items() if key != "title"})
    with pytest.raises(CardError):
        parse_card(f"title: {value}\n{others}", Path("toy.yml"))
    assert list(tmp_path.iterdir()) == []


def test_a_card_that_unfolds_to_gigabytes_is_refused_at_once():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 10)}]" for old, new in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(CardError, match="an alias"):
        parse_card("\n".join(lines), Path("toy.yml"))
    with pytest.raises(CardError, match="nested too deeply"):
        parse_card("a: " + "[" * 5000, Path("toy.yml"))


@pytest.mark.parametrize("slug", ["../toy", "a/b", "/etc/passwd", "..", "toy/../toy", "toy\x00", "To\u0301y", "C:toy"])
def test_tricks_in_the_name_of_a_chapter_are_refused(slug, tmp_path):
    toc = {**TOC, "parts": [{"caption": "One", "chapters": [{"file": f"notebooks/{slug}"}]}]}
    with pytest.raises(CardError, match=r"_toc.yml: "):
        load_cards(home(tmp_path, toc=toc))
    with pytest.raises(LedgerError):
        Ledger(slug)


def test_a_notebook_with_a_name_that_is_no_slug_is_refused(tmp_path):
    book = home(tmp_path)
    for suffix in (".ipynb", ".yml"):
        (book.notebooks / f"toy{suffix}").rename(book.notebooks / f"a toy{suffix}")
    toc = {**TOC, "parts": [{"caption": "One", "chapters": [{"file": "notebooks/a toy"}]}]}
    (book.root / "_toc.yml").write_text(yaml.safe_dump(toc))
    with pytest.raises(CardError, match=r"a toy.yml: slug: "):
        load_cards(book)


def test_a_claim_of_any_words_is_data():
    card = parse_card(yaml.safe_dump(claim(says="{{ 7 * 7 }} <%= x %> ${HOME} `id` $(id)")), Path("toy.yml"))
    assert card.claims[0].says == "{{ 7 * 7 }} <%= x %> ${HOME} `id` $(id)"


def test_the_press_reads_no_format_that_runs_code():
    runs_code = r"\b(pickle|shelve|marshal|dill)\b|(?<![\w.])(eval|exec)\(|yaml\.(unsafe_|full_)?load_all"
    for path in sorted((ROOT / "featlib" / "press").rglob("*.py")):
        text = path.read_text()
        assert not re.search(runs_code, text), path
        assert "shell=True" not in text, path
        for use in re.findall(r"yaml\.load\([^\n]*", text):
            assert "_OnceLoader" in use, path


def test_workflows_give_nothing_to_a_pull_request():
    for path in sorted((ROOT / ".github" / "workflows").glob("*.yml")):
        text = path.read_text()
        assert "pull_request_target" not in text, path.name
        assert "secrets." not in text, path.name
        assert yaml.safe_load(text)["permissions"] == {"contents": "read"}, path.name
