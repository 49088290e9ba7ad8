"""The card: what it takes, and that each fault names file, field and what is allowed."""

import re

import pytest
import yaml
from example_card import CARD, TOC, card, claim, home

from featlib.claims import AtMost, Exceeds
from featlib.press.card import CardError, load_card, load_cards, waiting_cards


@pytest.fixture
def written(tmp_path):
    """Writes a mapping (or a text) as ``toy.yml`` and loads it."""

    def load(content, name="toy.yml"):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content, sort_keys=False))
        return load_card(path)

    return load


def test_a_good_card_loads(written):
    loaded = written(CARD)
    assert loaded.slug == "toy"
    assert loaded.paper.arxiv == "2008.00299"
    assert loaded.promise.seconds == 60
    assert loaded.claim("toy-wins").rule == Exceeds(exceeds=0.05)
    assert loaded.claim("toy-exact").rule == AtMost(at_most=1e-6)
    assert loaded.claim("toy-at-scale").rule is None
    assert loaded.claim("toy-at-scale").testable == "A million images do not fit on a laptop."
    assert loaded.departs[0].weight == "major"


def test_the_laptop_preset_exists_and_is_empty(written):
    assert written(CARD).presets == {"laptop": {}, "smoke": {"n_images": 8}, "gpu": {"n_images": 5000}}
    assert written(card(presets=...)).presets == {"laptop": {}}
    assert written(card(presets={"laptop": {}})).preset("laptop") == {}
    with pytest.raises(CardError, match=r"toy.yml: presets: 'laptop' is what the notebook's parameters cell says"):
        written(card(presets={"laptop": {"n_images": 4}}))


def test_an_unknown_preset_or_claim_is_answered_with_the_nearest(written):
    with pytest.raises(CardError, match=r"no preset 'smok' \(did you mean 'smoke'\?\); it has: laptop, smoke, gpu"):
        written(CARD).preset("smok")
    with pytest.raises(CardError, match=r"no claim 'toy-win' \(did you mean 'toy-wins'\?\); it has: toy-wins, toy-ex"):
        written(CARD).claim("toy-win")


def test_a_card_cannot_be_changed(written):
    with pytest.raises(ValueError, match="frozen"):
        written(CARD).title = "Other"


@pytest.mark.parametrize("field", ["title", "finding", "part", "paper", "promise", "claims"])
def test_a_missing_field_is_named(written, field):
    with pytest.raises(CardError, match=f"^toy.yml: {field}: Field required"):
        written(card(**{field: ...}))


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        (card(fnding="x"), r"unknown field 'fnding' \(did you mean 'finding'\?\); allowed: .*title, finding, part"),
        (card(title=""), "title: .*at least 1 character"),
        (card(title="   "), "title: .*at least 1 character"),
        (card(title=3), "title: .*valid string, not 3; put it in quotes"),
        (card(slug="toy"), "slug: the name of the file is the slug"),
        (
            card(paper=CARD["paper"] | {"arxiv": 2008.00299}),
            "paper.arxiv: .*valid string, not 2008.00299; put it in qu",
        ),
        (card(paper=CARD["paper"] | {"year": "2020"}), "paper.year: .*valid integer, not '2020'"),
        (card(paper=CARD["paper"] | {"year": 20}), "paper.year: .*greater than or equal to 1900, not 20"),
        (card(paper=CARD["paper"] | {"axiv": "1"}), r"paper: unknown field 'axiv' \(did you mean 'arxiv'\?\)"),
        (card(promise={"seconds": 0, "memory_gb": 2}), "promise.seconds: .*greater than 0, not 0"),
        (card(promise={"seconds": 1, "memory_gb": 2, "device": "tpu"}), "promise.device: .*'cpu' or 'cuda', not 'tpu'"),
        (card(data="stamps"), "data: .*valid list, not 'stamps'"),
        (card(presets={"smoke": 3}), "presets.smoke: .*valid dict"),
        (card(departs=[{"what": "x", "weight": "huge"}]), "departs.0.weight: .*'major' or 'minor', not 'huge'"),
        (
            claim(kind="orderng"),
            "claims.0.kind: .*'value', 'ordering', 'trend', 'existence', 'identity' or 'cost', not",
        ),
        (claim(id="Toy Wins"), "claims.0.id: .*pattern"),
        (claim(id="toy-exact"), "claims: the id 'toy-exact' stands there twice"),
        (claim(rule=...), "claims.0: rule: missing"),
        (claim(control=...), "claims.0: control: missing"),
        (claim(testable=False), "claims.0.testable: write true, or as text the reason .*, not False$"),
        (claim(testable=""), "claims.0.testable: write true, or as text the reason"),
        (
            claim(rule={"exceds": 1}),
            "claims.0.rule: a rule holds exactly one of exceeds, below, within, at_most, share_",
        ),
        (claim(rule={"exceeds": 1, "confidence": 3}), "claims.0.rule: confidence: .*less than 1"),
        (claim(rule=0.05), "claims.0.rule: a rule is a mapping"),
        (claim(paper={"value": "71"}), "claims.0.paper.value: .*valid number, not '71'"),
        (claim(paper={"value": float("nan")}), "claims.0.paper.value: .*finite"),
        (claim(verdict="supported"), "claims.0: unknown field 'verdict'"),
        ([CARD], "holds list where a mapping of fields is due"),
        ("", "holds NoneType where a mapping"),
        ("title: [", "no valid YAML: .*line 1"),
        ("title: a\ntitle: b\n", "no valid YAML: the key 'title' stands there twice.*line 1"),
        ("claims:\n- rule: {exceeds: 1, exceeds: 2}\n", "the key 'exceeds' stands there twice"),
        ("{[1]: 2}: 3", "no valid YAML"),
        ("title: !!python/object/apply:os.system ['true']", "no valid YAML: could not determine a constructor"),
    ],
)
def test_a_fault_names_file_field_and_what_is_allowed(written, mapping, says):
    with pytest.raises(CardError, match=rf"(?m)^toy\.yml: .*{says}" if says[0] != "^" else says):
        written(mapping)


def test_all_faults_of_a_card_are_told_at_once(written):
    with pytest.raises(CardError) as error:
        written(card(title="", part=..., paper=CARD["paper"] | {"year": "x"}))
    assert [re.split(": ", line)[1] for line in str(error.value).splitlines()] == ["title", "part", "paper.year"]


@pytest.mark.parametrize("name", ["Toy.yml", "toy-1.yml", "toy chapter.yml"])
def test_a_slug_is_small_letters_digits_and_underscores(written, name):
    with pytest.raises(CardError, match="slug"):
        written(CARD, name)


def test_a_card_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(CardError, match=r"toy.yml: cannot be read \(No such file"):
        load_card(tmp_path / "toy.yml")
    (tmp_path / "toy.yml").write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(CardError, match=r"toy.yml: cannot be read"):
        load_card(tmp_path / "toy.yml")


# The table of contents ----------------------------------------------------------------------------------------------


def test_cards_come_in_the_order_of_the_table_of_contents(tmp_path):
    nested = {
        "root": "book/home",
        "chapters": [{"file": "notebooks/zebra.ipynb", "sections": [{"file": "notebooks/toy"}]}],
    }
    book = home(tmp_path, toc=nested)
    for end in ("ipynb", "yml"):
        (book.notebooks / f"zebra.{end}").write_text((book.notebooks / f"toy.{end}").read_text())
    assert list(load_cards(book)) == ["zebra", "toy"]
    assert load_cards(book)["zebra"].slug == "zebra"


def test_pages_that_are_no_chapters_need_no_card(tmp_path):
    toc = TOC | {"parts": [*TOC["parts"], {"chapters": [{"file": "book/scoreboard"}, {"url": "https://example.org"}]}]}
    assert list(load_cards(home(tmp_path, toc=toc))) == ["toy"]


def test_a_chapter_listed_but_not_on_disk_is_named(tmp_path):
    toc = {"root": "book/home", "chapters": [{"file": "notebooks/toy"}, {"file": "notebooks/ghost"}]}
    with pytest.raises(CardError, match=r"^_toc.yml: lists notebooks/ghost, which is not on disk$"):
        load_cards(home(tmp_path, toc=toc))


def test_a_chapter_on_disk_but_not_listed_is_named(tmp_path):
    with pytest.raises(CardError, match=r"^notebooks/toy.ipynb: not in _toc.yml; list it there or remove it$"):
        load_cards(home(tmp_path, toc={"root": "book/home"}))


def test_a_chapter_listed_twice_is_named(tmp_path):
    toc = {"root": "book/home", "chapters": [{"file": "notebooks/toy"}, {"file": "notebooks/toy"}]}
    with pytest.raises(CardError, match=r"_toc.yml: notebooks/toy stands there twice"):
        load_cards(home(tmp_path, toc=toc))


def test_a_notebook_without_a_card_and_a_card_without_a_notebook_are_named(tmp_path):
    book = home(tmp_path)
    (book.notebooks / "toy.yml").rename(book.notebooks / "tory.yml")
    with pytest.raises(CardError) as error:
        load_cards(book)
    assert str(error.value).splitlines() == [
        "notebooks/toy.ipynb: has no card; write notebooks/toy.yml",
        "notebooks/tory.yml: a card without a notebook",
    ]


def test_a_card_may_come_before_its_notebook(tmp_path):
    """Its rules are committed first; that stops nobody from printing the book meanwhile."""
    book = home(tmp_path)
    (book.notebooks / "next.yml").write_text((book.notebooks / "toy.yml").read_text())
    assert list(load_cards(book)) == ["toy"]
    assert waiting_cards(book) == ["next"]


def test_a_broken_card_does_not_hide_the_other_faults(tmp_path):
    toc = {"root": "book/home", "chapters": [{"file": "notebooks/toy"}, {"file": "notebooks/ghost"}]}
    with pytest.raises(CardError, match=r"(?s)ghost.*toy.yml: title"):
        load_cards(home(tmp_path, mapping=card(title=3), toc=toc))


def test_a_book_without_a_table_of_contents_says_so(tmp_path):
    book = home(tmp_path)
    (tmp_path / "_toc.yml").unlink()
    with pytest.raises(CardError, match=r"_toc.yml: cannot be read"):
        load_cards(book)
