"""Staging: the outputs of a run in today's notebook, and nothing that is stale."""

import base64
import copy
import io

import numpy as np
import PIL.Image
import pytest
import yaml
from tiny_site import ALPHA, PIXEL, code, display, prose, stripped

from featlib.press.evidence import MIME
from featlib.press.site import StageError, stage
from featlib.press.stage import MALFORMED, replace_folder


def outputs(notebook):
    return [cell["outputs"] for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_every_output_lands_in_the_cell_that_made_it(tiny):
    stage(tiny.home, tiny.cards, tiny.executed)
    parameters, picture, printed, *_ = outputs(tiny.staged())
    assert parameters == []
    assert picture[0]["data"]["image/png"] == PIXEL
    assert printed == [{"output_type": "stream", "name": "stdout", "text": "seen it all\n"}]
    assert [c["source"] for c in tiny.staged()["cells"]] == [c["source"] for c in stripped(tiny.run)["cells"]]


def test_changed_prose_is_staged_with_the_outputs_of_the_old_run(tiny):
    source = stripped(tiny.run)
    source["cells"][0]["source"] = "# The alpha chapter\n\nBetter words."
    source["cells"].insert(3, prose("More words."))
    tiny.write("alpha", source, ALPHA)
    stage(tiny.home, tiny.cards, tiny.executed)
    staged = tiny.staged()
    words = [cell["source"] for cell in staged["cells"] if cell["cell_type"] == "markdown"]
    assert words == ["# The alpha chapter\n\nBetter words.", "More words."]
    assert outputs(staged)[2] == [{"output_type": "stream", "name": "stdout", "text": "seen it all\n"}]


def test_changed_code_is_refused_and_the_cell_named(tiny):
    source = stripped(tiny.run)
    source["cells"][3]["source"] = "print('seen more')"
    tiny.write("alpha", source, ALPHA)
    with pytest.raises(StageError, match=r"alpha\.ipynb: code cell 3 changed after its run"):
        stage(tiny.home, tiny.cards, tiny.executed)


def test_a_cell_more_or_less_is_refused(tiny):
    source = stripped(tiny.run)
    source["cells"].append(code("pass"))
    tiny.write("alpha", source, ALPHA)
    with pytest.raises(StageError, match="has 8 code cells, its run 7"):
        stage(tiny.home, tiny.cards, tiny.executed)


@pytest.mark.parametrize(
    ("rule", "verdict"),
    [
        ({"exceeds": 0.5}, "supported"),
        ({"exceeds": 0.95}, "direction only"),
        ({"exceeds": 0.95, "no_effect": 0.9}, "contradicted"),
        ({"within": [0.9, 1.0]}, "not reproduced at this scale"),
    ],
)
def test_evidence_is_judged_by_the_rule_of_today(tiny, rule, verdict):
    card = copy.deepcopy(ALPHA)
    card["claims"][0]["rule"] = rule
    tiny.write("alpha", stripped(tiny.run), card)
    stage(tiny.home, tiny.cards, tiny.executed)
    (shown,) = outputs(tiny.staged())[3]
    assert set(shown["data"]) == {"text/html"}
    assert f"<strong>{verdict}</strong>" in shown["data"]["text/html"]
    assert 'href="../book/scoreboard.html#claim-alpha-holds"' in shown["data"]["text/html"]
    assert "last year" not in str(tiny.staged())
    assert MIME not in str(tiny.staged())


def test_evidence_on_a_claim_that_left_the_card_has_no_verdict(tiny):
    card = copy.deepcopy(ALPHA)
    del card["claims"][0]
    tiny.write("alpha", stripped(tiny.run), card)
    stage(tiny.home, tiny.cards, tiny.executed)
    table = outputs(tiny.staged())[3][0]["data"]["text/html"]
    assert "last year" not in table
    assert "<strong>supported</strong>" not in table
    assert "scoreboard" not in table


@pytest.mark.parametrize("payload", [{"claim": "holds"}, "nonsense", None, {"samples": "<script>alert(1)</script>"}])
def test_malformed_evidence_is_said_to_be_so_and_harms_nothing_else(tiny, payload):
    tiny.run["cells"][5]["outputs"] = [display({MIME: payload, "text/html": "<p>a verdict of last year</p>"})]
    stage(tiny.home, tiny.cards, tiny.executed)
    broken, whole = outputs(tiny.staged())[3:5]
    assert broken[0]["data"] == {"text/html": MALFORMED}
    assert "<strong>inconclusive</strong>" in whole[0]["data"]["text/html"]


def test_live_controls_are_left_out_and_what_stands_beside_them_stays(tiny):
    widget = {"application/vnd.jupyter.widget-view+json": {"model_id": "x"}, "text/plain": "IntSlider()"}
    tiny.run["cells"][4]["outputs"] = [display(widget), display({**widget, "text/html": "<p>frames</p>"})]
    stage(tiny.home, tiny.cards, tiny.executed)
    (left,) = outputs(tiny.staged())[2]
    assert left["data"] == {"text/html": "<p>frames</p>"}


def test_a_chapter_without_a_run_is_staged_without_outputs(tiny):
    stage(tiny.home, tiny.cards, {})
    assert outputs(tiny.staged()) == [[]] * 7


def test_prose_that_waits_for_a_run_says_so(tiny):
    stage(tiny.home, tiny.cards, tiny.executed)
    waiting = tiny.staged("beta")["cells"][0]["source"]
    assert "glue" not in waiting
    assert "It gains *(not yet run)* and draws *(not yet run)*." in waiting
    assert waiting.startswith("# The beta chapter")
    assert waiting.endswith("The end.\n")
    assert "A caption" not in waiting
    assert "{glue:text}`gain`" in tiny.staged("alpha")["cells"][0]["source"]


@pytest.mark.parametrize(
    ("kind", "content", "suffix"),
    [("image/png", PIXEL, "png"), ("image/webp", PIXEL, "webp"), ("image/svg+xml", "<svg>ä</svg>", "svg")],
)
def test_the_picture_is_saved_byte_for_byte(tiny, kind, content, suffix):
    described = {kind: content, "text/html": "<p>the same, described</p>"}
    tiny.run["cells"][3]["outputs"] = [display({"text/plain": "no"}), display(described)]
    stage(tiny.home, tiny.cards, tiny.executed)
    saved = (tiny.home.stage / "book" / "assets" / "chapters" / f"alpha.{suffix}").read_bytes()
    assert saved == (content.encode() if suffix == "svg" else base64.b64decode(PIXEL))


def test_a_large_picture_is_made_small_for_the_home_page(tiny):
    noise = np.random.default_rng(0).integers(0, 255, (900, 1600, 3), np.uint8)
    large = io.BytesIO()
    PIL.Image.fromarray(noise).save(large, "png")
    data = {"image/png": base64.b64encode(large.getvalue()).decode(), "text/html": "<p>noise</p>"}
    tiny.run["cells"][3]["outputs"] = [display(data)]
    stage(tiny.home, tiny.cards, tiny.executed)
    (saved,) = (tiny.home.stage / "book" / "assets" / "chapters").iterdir()
    assert saved.name == "alpha.webp"
    with PIL.Image.open(saved) as picture:
        assert picture.size == (640, 360)


GOOD = "Two lines that cross at 0.4."


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"image/png": PIXEL, "text/plain": "<Figure>"}, "shows a bare image/png without a description"),
        ({"image/svg+xml": "<svg/>"}, "shows a bare image/svg+xml without a description"),
        ({"application/papermill.record/image/png": PIXEL}, "shows a bare image/png without a description"),
        ({"text/html": f'<img src="data:,"><img src="data:," alt="{GOOD}">'}, "shows an image that has no alt"),
        ({"text/html": '<img src="data:," alt=" ">'}, "shows an image that has an empty alt"),
        ({"text/html": '<img src="data:," alt="figure_1.png">'}, "has a file name for an alt: 'figure_1.png'"),
        ({"text/html": '<img src="data:," alt="accuracy per layer">'}, "fewer than 4 words: 'accuracy per layer'"),
    ],
)
def test_a_picture_without_a_description_is_refused_and_its_cell_named(tiny, data, said):
    tiny.run["cells"][4]["outputs"] = [display(data)]
    with pytest.raises(StageError) as refused:
        stage(tiny.home, tiny.cards, tiny.executed)
    assert str(refused.value).startswith("alpha.ipynb: code cell 3 ")
    assert said in str(refused.value)
    assert "figures.show(figure, describe=...)" in str(refused.value)


def test_a_described_or_decorative_picture_is_let_in(tiny):
    html = f'<img src="data:," alt="{GOOD}"><img src="data:," alt="" role="presentation"><a href="#"><img alt="">x</a>'
    tiny.run["cells"][4]["outputs"] = [display({"text/html": html, "image/png": PIXEL})]
    stage(tiny.home, tiny.cards, tiny.executed)
    assert outputs(tiny.staged())[2][0]["data"]["text/html"] == html


def test_an_image_in_the_prose_needs_words_too(tiny):
    for notebook in (tiny.run, source := stripped(tiny.run)):
        notebook["cells"][0]["source"] += "\n\n![map](map.png)\n"
    tiny.write("alpha", source, ALPHA)
    with pytest.raises(StageError, match=r"the image map\.png in the text has an alt of fewer than 4 words: 'map'"):
        stage(tiny.home, tiny.cards, tiny.executed)


def test_a_picture_cell_without_an_image_is_refused(tiny):
    tiny.run["cells"][3]["outputs"] = [display({"text/plain": "<Figure>"})]
    with pytest.raises(StageError, match=r"alpha\.ipynb: the cell tagged 'picture' shows no image"):
        stage(tiny.home, tiny.cards, tiny.executed)


def test_the_stage_keeps_the_layout_of_the_checkout_and_runs_nothing(tiny):
    tiny.collect()
    tree = stage(tiny.home, tiny.cards, tiny.executed)
    for name in ("book/home.md", "book/assets/featlib.css", "notebooks/beta.ipynb", "notebooks/beta.yml"):
        assert (tree / name).read_bytes() == (tiny.home.root / name).read_bytes() or name.endswith(".ipynb")
    assert (tree / "_build" / "ledger.json").read_bytes() == tiny.home.ledger.read_bytes()
    assert (tree / "_build" / "ledger.csv").read_bytes() == tiny.home.ledger.with_suffix(".csv").read_bytes()
    before, after = (yaml.safe_load((root / "_config.yml").read_text()) for root in (tiny.home.root, tree))
    assert after["execute"].pop("execute_notebooks") == "off"
    assert before["execute"].pop("execute_notebooks") != "off"
    assert after == before


def test_every_chapter_gets_an_evidence_page_listed_below_the_scoreboard(tiny):
    tree = stage(tiny.home, tiny.cards, {})
    before, after = (yaml.safe_load((root / "_toc.yml").read_text()) for root in (tiny.home.root, tree))
    board = next(entry for entry in after["parts"][1]["chapters"] if entry["file"] == "book/scoreboard")
    assert board.pop("sections") == [{"file": "book/evidence/alpha"}, {"file": "book/evidence/beta"}]
    assert after == before
    assert sorted(path.name for path in (tree / "book" / "evidence").iterdir()) == ["alpha.md", "beta.md"]
    assert not (tiny.home.root / "book" / "evidence").exists()


def test_a_title_with_markup_is_staged_as_text(tiny):
    tiny.write("alpha", stripped(tiny.run), {**ALPHA, "title": "On *what* <b>is</b> `seen`"})
    tree = stage(tiny.home, tiny.cards, {})
    assert r"# Evidence: On \*what\* \<b\>is\<\/b\> \`seen\`" in (tree / "book" / "evidence" / "alpha.md").read_text()


def test_a_book_without_a_scoreboard_has_no_evidence_pages(tiny):
    toc = yaml.safe_load((tiny.home.root / "_toc.yml").read_text())
    toc["parts"][1]["chapters"] = [e for e in toc["parts"][1]["chapters"] if e["file"] != "book/scoreboard"]
    (tiny.home.root / "_toc.yml").write_text(yaml.safe_dump(toc))
    tree = stage(tiny.home, tiny.cards, {})
    assert (tree / "_toc.yml").read_bytes() == (tiny.home.root / "_toc.yml").read_bytes()
    assert not (tree / "book" / "evidence").exists()


def test_nothing_of_an_earlier_stage_is_left(tiny):
    stage(tiny.home, tiny.cards, tiny.executed)
    assert (tiny.home.stage / "book" / "assets" / "chapters" / "alpha.png").exists()
    stage(tiny.home, tiny.cards, {})
    assert not (tiny.home.stage / "book" / "assets" / "chapters").exists()
    assert {path.name for path in tiny.home.build.iterdir()} == {"stage"}


def test_a_failed_stage_leaves_the_earlier_one(tiny):
    stage(tiny.home, tiny.cards, tiny.executed)
    before = tiny.staged()
    tiny.run["cells"].pop()
    with pytest.raises(StageError):
        stage(tiny.home, tiny.cards, tiny.executed)
    assert tiny.staged() == before
    assert {path.name for path in tiny.home.build.iterdir()} == {"stage"}


def test_a_folder_that_cannot_be_replaced_comes_back(tmp_path):
    place = tmp_path / "html"
    place.mkdir()
    (place / "index.html").write_text("old")
    with pytest.raises(FileNotFoundError):
        replace_folder(tmp_path / "never made", place)
    assert (place / "index.html").read_text() == "old"
