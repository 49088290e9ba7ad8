"""A whole small site, printed once: what stands on its pages, and that every fault is found and named."""

import html
import json
import re
import shutil
from contextlib import contextmanager

import pytest
from tiny_site import ALPHA, BETA, HOSTILE, TinySite, notebook, prose

from featlib.claims import Verdict
from featlib.press import weight
from featlib.press.check import check_site
from featlib.press.parse import parse
from featlib.press.site import PrintError, print_site, stage


def faults(site):
    return check_site(site.home.html, site.home, site.cards)


def page(site, name):
    return (site.home.html / name).read_text("utf8")


@contextmanager
def changed(site, name, old, new):
    """A file of the printed site, with a change that is taken back."""
    file = site.home.html / name
    before = file.read_text("utf8")
    assert old in before
    file.write_text(before.replace(old, new, 1), "utf8")
    try:
        yield
    finally:
        file.write_text(before, "utf8")


@contextmanager
def hidden(site, name):
    """A file of the printed site, gone for a while."""
    file, aside = site.home.html / name, site.home.build / "aside"
    file.rename(aside)
    try:
        yield
    finally:
        aside.rename(file)


class TestPages:
    def test_a_printed_site_has_no_fault(self, printed):
        assert faults(printed) == []

    def test_every_claim_of_every_card_has_a_row_with_its_anchor(self, printed):
        board = page(printed, "book/scoreboard.html")
        claims = [("alpha", c["id"]) for c in ALPHA["claims"]] + [("beta", c["id"]) for c in BETA["claims"]]
        rows = re.findall(r'<tr role="row" id="([^"]+)"', board)
        assert rows == [f"claim-{chapter}-{name}" for chapter, name in claims]
        links = re.findall(r'class="fl-behind" href="([^"]+)"', board)
        assert links == [f"evidence/{chapter}.html#claim-{chapter}-{name}" for chapter, name in claims]

    def test_every_claim_has_a_section_on_the_evidence_page_of_its_chapter(self, printed):
        for slug, card in (("alpha", ALPHA), ("beta", BETA)):
            text = page(printed, f"book/evidence/{slug}.html")
            sections = re.findall(r'<section id="(claim-[^"]+)">\s*<h2>', text)
            assert sections == [f"claim-{slug}-{claim['id']}" for claim in card["claims"]]
            assert f"<h1>Evidence: {card['title']}<" in text
            assert f'href="evidence/{slug}.html"' in page(printed, "book/scoreboard.html").partition("<article")[0]
        assert page(printed, "book/evidence/alpha.html").count('<svg class="fl-strip" role="img"') == 3
        assert "fl-strip" not in page(printed, "book/scoreboard.html")

    def test_verdicts_and_counts_are_those_of_the_ledger(self, printed):
        board = page(printed, "book/scoreboard.html")
        rows = json.loads(printed.home.ledger.read_text())["rows"]
        for row in rows:
            cells = re.search(rf'id="claim-{row["chapter"]}-{row["claim"]}".*?</tbody>', board, re.DOTALL).group()
            words = re.findall(r'class="fl-verdict [^"]+">.*?<span>([^<]+)</span>', cells)
            assert words == [row["verdict"]]
            behind = page(printed, f"book/evidence/{row['chapter']}.html")
            section = re.search(rf'id="claim-{row["chapter"]}-{row["claim"]}".*?</section>', behind, re.DOTALL).group()
            assert re.findall(r'class="fl-verdict [^"]+">.*?<span>([^<]+)</span>', section) == [row["verdict"]]
            assert html.escape(row["reason"], quote=False) in section.replace("&#39;", "'").replace("&#34;", '"')
        home = page(printed, "book/home.html")
        assert "<b>6</b> claims in 2 chapters:" in home
        counted = re.findall(r"<b>(\d+)</b> ([a-z ]+)</span>", home.partition('class="fl-cards"')[0])
        expected = {verdict.value: sum(row["verdict"] == verdict for row in rows) for verdict in Verdict}
        assert {word: int(n) for n, word in counted} == {word: n for word, n in expected.items() if n}

    def test_text_of_a_card_is_never_markup(self, printed):
        board = page(printed, "book/scoreboard.html")
        assert "<script>alert" not in board
        assert HOSTILE in html.unescape(board)
        behind = page(printed, "book/evidence/alpha.html")
        assert "<script>alert" not in behind
        assert "Features beat <script>alert(" in html.unescape(behind)
        chapter = page(printed, "notebooks/alpha.html")
        assert "<script>alert" not in chapter
        assert "<network>" not in chapter

    def test_claims_of_ours_and_of_the_paper_are_told_apart(self, printed):
        board = page(printed, "book/scoreboard.html")
        behind = page(printed, "book/evidence/alpha.html")
        assert board.count("a claim of ours") == behind.count("a claim of ours") == 1
        assert "0.750\n<small>top-1</small>\n<small>table 1</small>" in behind

    def test_the_chapter_shows_the_run_the_equations_and_its_head(self, printed):
        chapter = page(printed, "notebooks/alpha.html")
        assert "seen it all" in chapter
        assert 'display="block"' in chapter
        assert 'href="#equation-eq-first"' in chapter
        assert "mathjax@" not in chapter.lower()
        assert "thebe" not in chapter.lower().replace("sphinx-thebe.css", "").replace("text/x-thebe-config", "")
        assert "41 s and 1.5 GB a run; promised at most 60 s and 2 GB" in html.unescape(chapter)
        assert '../book/scoreboard.html#chapter-alpha"' in chapter
        assert "last year" not in chapter
        assert "The claim that holds is supported, with +21 points." in re.sub(r"<[^>]+>", "", chapter)
        assert '<a class="fl-verdict-link" href="../book/scoreboard.html#claim-alpha-holds">' in chapter

    def test_the_head_says_the_finding_only_where_the_chapter_does_not(self, printed):
        for name, card in (("alpha", ALPHA), ("beta", BETA)):
            article = html.unescape(page(printed, f"notebooks/{name}.html").partition("<article")[2])
            assert article.replace("\u2019", "'").count(card["finding"]) == 1
            assert f'<p class="fl-finding">{card["finding"]}' in article.replace("\u2019", "'")

    def test_home_shows_the_picture_of_a_chapter_that_ran(self, printed):
        home = page(printed, "book/home.html")
        assert '<img src="../_static/chapters/alpha.png" alt="" loading="lazy">' in home
        assert home.count("fl-no-picture") == 1
        assert "Part one" in home

    def test_launch_and_download_buttons_keep_the_layout_of_the_repository(self, printed):
        chapter = page(printed, "notebooks/alpha.html")
        assert "https://colab.research.google.com/github/featlib/featlib/blob/main/notebooks/alpha.ipynb" in chapter
        assert "https://mybinder.org/v2/gh/featlib/featlib/main?urlpath=lab/tree/notebooks/alpha.ipynb" in chapter
        assert "../_sources/notebooks/alpha.ipynb" in chapter

    def test_the_ledger_is_published_as_it_is(self, printed):
        for name in ("ledger.json", "ledger.csv"):
            assert (printed.home.html / name).read_bytes() == (printed.home.build / name).read_bytes()
            assert f'href="../{name}"' in page(printed, "book/scoreboard.html")

    def test_the_data_page_lists_the_registry(self, printed):
        from featlib.data.sources import SOURCES

        text = html.unescape(page(printed, "book/data.html"))
        for source in SOURCES.values():
            assert f'id="data-{source.name}"' in text
            assert source.licence in text
            assert source.credit in text
        used = re.search(r'id="data-scikit-image".*?</tr>', text, re.DOTALL).group()
        assert "../notebooks/alpha.html" in used

    def test_the_performance_page_draws_the_file(self, printed):
        text = page(printed, "book/performance.html")
        assert '<section id="op-top-component">' in text
        assert "74.8 ms" in text
        assert "0.330 ms" in text
        assert "227 ×<small>never slower</small>" in text
        assert text.count('<svg class="fl-strip fl-speed" role="img"') == 2
        assert text.index("fl-speed") < text.index("74.8 ms"), "the figure stands above its table"


class TestFaults:
    """Each test breaks the finished site in one place; the checker must name the page and the fault."""

    def one(self, site):
        (fault,) = faults(site)
        return fault

    @pytest.mark.parametrize(
        ("name", "old", "new", "fault"),
        [
            (
                "book/home.html",
                'href="../notebooks/beta.html"',
                'href="../notebooks/gamma.html"',
                "book/home.html: a ../notebooks/gamma.html leads nowhere",
            ),
            (
                "notebooks/alpha.html",
                "scoreboard.html#chapter-alpha",
                "scoreboard.html#chapter-omega",
                "notebooks/alpha.html: a ../book/scoreboard.html#chapter-omega leads to no such anchor",
            ),
            (
                "book/data.html",
                "</article>",
                '<script src="https://cdn.example.org/x.js"></script></article>',
                "book/data.html: script https://cdn.example.org/x.js comes from outside the site",
            ),
            (
                "book/data.html",
                "</article>",
                '<script>import("https://cdn.example.org/y.mjs")</script></article>',
                "book/data.html: a script names https://cdn.example.org/y.mjs, outside the site",
            ),
            (
                "book/data.html",
                "</article>",
                '<img src="//img.example.org/z.png" alt="" role="presentation"></article>',
                "book/data.html: img //img.example.org/z.png comes from outside the site",
            ),
            (
                "book/data.html",
                "</head>",
                '<link rel="stylesheet" href="https://fonts.example.org/css"></head>',
                "book/data.html: link https://fonts.example.org/css comes from outside the site",
            ),
            (
                "book/data.html",
                "</head>",
                "<style>body { background: url(https://img.example.org/p.png) }</style></head>",
                "book/data.html: style https://img.example.org/p.png comes from outside the site",
            ),
            (
                "_static/featlib.css",
                "fonts/featlib-math.woff2",
                "https://fonts.example.org/math.woff2",
                "_static/featlib.css: https://fonts.example.org/math.woff2 comes from outside the site",
            ),
            (
                "_static/featlib.css",
                "fonts/featlib-math.woff2",
                "fonts/gone.woff2",
                "_static/featlib.css: fonts/gone.woff2 leads nowhere",
            ),
            (
                "book/home.html",
                "<p>Two chapters, and a word on",
                "",
                "book/home.html: does not say 'Two chapters, and a word on'",
            ),
            (
                "book/home.html",
                "Beta waits for its run.",
                "",
                "book/home.html: does not say 'Beta waits for its run.'",
            ),
            (
                "book/scoreboard.html",
                "Features survive noise.",
                "Features survive.",
                "book/scoreboard.html: does not say 'Features survive noise.'",
            ),
            (
                "notebooks/beta.html",
                'fl-finding">Beta waits for its run.',
                "",
                "notebooks/beta.html: does not say 'Beta waits for its run.'",
            ),
        ],
    )
    def test_a_fault_is_found_and_named(self, printed, name, old, new, fault):
        with changed(printed, name, old, new):
            assert self.one(printed) == fault

    def test_a_claim_whose_text_became_markup_is_found(self, printed):
        board = page(printed, "book/scoreboard.html")
        escaped = re.search(r'class="fl-says">(Features beat &lt;script.*?)</span>', board).group(1)
        with changed(printed, "book/scoreboard.html", escaped, HOSTILE):
            assert self.one(printed) == f"book/scoreboard.html: does not say {HOSTILE!r}"

    def test_a_missing_page_is_found_with_all_links_to_it(self, printed):
        with hidden(printed, "notebooks/beta.html"):
            found = faults(printed)
        assert found[0] == "notebooks/beta.html: the page is missing"
        assert "book/home.html: a ../notebooks/beta.html leads nowhere" in found

    def test_an_evidence_page_that_lacks_a_claim_is_found(self, printed):
        file = printed.home.html / "book" / "evidence" / "alpha.html"
        before = file.read_text("utf8")
        assert before.count("Features survive noise.") > 1  # in the contents as well
        file.write_text(before.replace("Features survive noise.", "Features survive."), "utf8")
        try:
            assert self.one(printed) == "book/evidence/alpha.html: does not say 'Features survive noise.'"
        finally:
            file.write_text(before, "utf8")

    def test_a_missing_evidence_page_is_found(self, printed):
        with hidden(printed, "book/evidence/beta.html"):
            assert faults(printed)[0] == "book/evidence/beta.html: the page is missing"

    def test_a_page_that_nobody_asked_for_is_found(self, printed):
        extra = printed.home.html / "book" / "draft.html"
        shutil.copyfile(printed.home.html / "book" / "data.html", extra)
        try:
            assert self.one(printed) == "book/draft.html: no entry of _toc.yml asks for this page"
        finally:
            extra.unlink()

    def test_a_site_without_a_front_door_is_found(self, printed):
        with hidden(printed, "index.html"):
            assert "index.html: the site has no front door" in faults(printed)

    @pytest.mark.parametrize("name", ["_static/chapters/alpha.png", "_static/featlib.css", "ledger.csv"])
    def test_a_missing_file_is_found_on_the_page_that_uses_it(self, printed, name):
        with hidden(printed, name):
            found = faults(printed)
        assert found
        assert all(re.fullmatch(rf"\S+: \w+ (\.\./)*{name}(\?\S+)? leads nowhere", fault) for fault in found)

    @pytest.mark.parametrize(
        ("image", "fault"),
        [
            ('<img src="../_static/minus.png">', "has no alt"),
            ('<img src="../_static/minus.png" alt="">', "has an empty alt and is not marked as decoration"),
            ('<img src="../_static/minus.png" alt="minus.png">', "has a file name for an alt: 'minus.png'"),
            ('<img src="../_static/minus.png" alt="the mark">', "has an alt of fewer than 4 words: 'the mark'"),
        ],
    )
    def test_an_image_without_words_is_found(self, printed, image, fault):
        with changed(printed, "book/data.html", "</article>", f"{image}</article>"):
            found = self.one(printed)
        assert found.startswith("book/data.html: ../_static/")
        assert fault in found

    def test_a_page_over_its_budget_is_found_with_its_heaviest_files(self, printed, monkeypatch):
        monkeypatch.setattr(weight, "COLD", over := self.weigh(printed).cold)
        assert not [fault for fault in faults(printed) if "home" in fault]
        monkeypatch.setattr(weight, "COLD", over - 1)
        (found,) = (fault for fault in faults(printed) if fault.startswith("book/home.html"))
        assert found.startswith(f"book/home.html: loads {over:,} bytes at once; the budget is {over - 1:,}; ")
        assert "most: _static/styles/pydata-sphinx-theme.css" in found

    def test_frames_are_counted_apart_with_their_images(self, printed, monkeypatch):
        before = self.weigh(printed)
        other = printed.home.html / "_static" / "state.svg"
        other.write_text("<svg/>" * 100)
        image = '<img src="../_static/{}" alt="one two three four">'.format
        frames = f'<fieldset class="featlib-frames" id="f">{image("state.svg")}{image("chapters/alpha.png")}</fieldset>'
        try:
            with changed(printed, "book/home.html", "</article>", f"{frames}</article>"):
                after = self.weigh(printed)
                monkeypatch.setattr(weight, "WHOLE", after.cold + after.later - 1)
                monkeypatch.setattr(weight, "COLD", after.cold)
                (found,) = (fault for fault in faults(printed) if fault.startswith("book/home.html"))
        finally:
            other.unlink()
        assert after.cold == before.cold  # that picture is used by the page anyway
        assert after.later - before.later == len(frames) + 600
        assert f"most: frames and pictures further down {after.later:,}" in found

    def weigh(self, site):
        return weight.weigh(site.home.html, "book/home", parse(site.home.html / "book" / "home.html"))


def test_warnings_stop_the_print_and_the_older_site_stays(tmp_path):
    site = TinySite(tmp_path / "a book")
    site.home.html.mkdir(parents=True)
    (site.home.html / "index.html").write_text("the older site")
    home = site.home.root / "book" / "home.md"
    home.write_text(home.read_text() + "\n[gone](gone.md) and $\\nosuchcommand$\n\n```{no-such-directive}\n```\n")
    site.write("beta", notebook(prose("# Beta\n\nIt {verdict}`wait`.")), BETA)
    stage(site.home, site.cards, {})
    with pytest.raises(PrintError) as failed:
        print_site(site.home)
    said = str(failed.value)
    assert said.startswith("the book was not printed:\n  book/home.md:")
    for word in ("gone.md", "nosuchcommand", "no-such-directive", "no claim 'wait' (did you mean 'waits'?)"):
        assert word in said
    assert str(site.home.root) not in said
    assert (site.home.html / "index.html").read_text() == "the older site"
    assert {path.name for path in site.home.build.iterdir()} == {"html", "stage"}
