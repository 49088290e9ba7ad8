"""The plan: what a request comes to, and what its digests cover."""

import shutil

import nbformat
import pytest
from conftest import PARAMETERS, TALLY
from hypothesis import given
from hypothesis import strategies as st

from featlib.press import plan as planning
from featlib.press.digests import PACKAGES, digest, library_digest, library_root, versions
from featlib.press.plan import PlanError, Planner, current_runs, missing_data


@pytest.fixture
def two(book):
    return book.add("alpha", "1").add("beta", TALLY)


def digests(book, **request):
    return [job.digest for job in book.plan(**request)]


def test_one_job_for_each_chapter_and_seed_in_the_order_of_the_book(two):
    two.write_toc("beta", "alpha")
    assert [(job.chapter, job.seed) for job in two.plan("alpha", "beta", seeds=[1, 0, 1])] == [
        ("beta", 1),
        ("beta", 0),
        ("alpha", 1),
        ("alpha", 0),
    ]
    assert [job.chapter for job in two.plan("alpha")] == ["alpha"]
    assert [job.chapter for job in two.plan()] == ["beta", "alpha"]


def test_what_is_given_by_hand_wins_over_the_preset_and_that_over_the_notebook(two):
    plain = {"seed": 3, "device": "auto", "n_images": 20, "name": None}
    assert two.plan("alpha", seeds=[3])[0].parameters == plain
    assert two.plan("alpha", seeds=[3], preset="smoke")[0].parameters == plain | {"n_images": 8}
    by_hand = two.plan("alpha", seeds=[3], preset="smoke", overrides={"n_images": 4, "name": "x"})[0]
    assert by_hand.parameters == plain | {"n_images": 4, "name": "x"}
    assert by_hand.overrides == {"n_images": 4, "name": "x"}


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({"chapters": ["alpa"]}, "no chapter alpa (did you mean 'alpha'?); there are alpha, beta"),
        ({"preset": "smok"}, "alpha has no preset smok (did you mean 'smoke'?); there are laptop, smoke"),
        (
            {"overrides": {"n_image": 4}},
            "alpha: no parameter n_image (did you mean 'n_images'?); there are seed, device",
        ),
        ({"overrides": {"n_images": "4"}}, "alpha: n_images must be int, got '4'"),
        ({"overrides": {"n_images": 4.0}}, "alpha: n_images must be int, got 4.0"),
        ({"overrides": {"n_images": True}}, "alpha: n_images must be int, got True"),
        ({"overrides": {"seed": 1}}, "seed is not set with -p: use --seed"),
    ],
)
def test_a_request_that_cannot_be_met_is_refused(two, request_, says):
    with pytest.raises(PlanError) as error:
        planning.plan(two.home, two.cards, **request_)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("presets", "says"),
    [
        ({"smoke": {"n_image": 8}}, "alpha.yml, preset smoke: no parameter n_image (did you mean 'n_images'?)"),
        ({"smoke": {"n_images": "8"}}, "alpha.yml, preset smoke: n_images must be int, got '8'"),
        ({"smoke": {"seed": 8}}, "alpha.yml, preset smoke: seed has no place there"),
    ],
)
def test_a_preset_that_does_not_fit_its_notebook_is_refused(book, presets, says):
    book.add("alpha", "1", presets=presets)
    with pytest.raises(PlanError) as error:
        book.plan(preset="smoke")
    assert says in str(error.value)


@pytest.mark.parametrize(
    "cell",
    ["n: int = 0", "seed: int = 0", 'device: str = "auto"\nseed: int = 0', 'seed: float = 0\ndevice: str = "auto"'],
)
def test_every_parameters_cell_starts_alike(book, cell):
    book.add("alpha", "1", parameters=cell)
    with pytest.raises(PlanError, match=r"alpha.ipynb: its parameters cell must start with seed: int = 0, device: str"):
        book.plan()


def test_data_that_no_one_knows_is_refused(book):
    book.add("alpha", "1", data=["fashion-mist"])
    with pytest.raises(PlanError, match=r"alpha.yml, data: .*fashion-mnist"):
        book.plan()


def test_prose_outputs_and_cell_ids_change_no_digest(book):
    before = digests(book.add("alpha", TALLY))
    book.add("alpha", TALLY, prose="Other words.")
    path = book.home.notebooks / "alpha.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].outputs = [nbformat.v4.new_output("stream", text="said")]
    notebook.cells[2].execution_count = 7
    notebook.cells[2].id = "other"
    notebook.cells.append(nbformat.v4.new_markdown_cell("More words."))
    nbformat.write(notebook, path)
    assert digests(book) == before


def changed_code(book):
    book.add("alpha", TALLY + " ")


def changed_default(book):
    book.add("alpha", TALLY, parameters=PARAMETERS.replace("20", "21"))


def changed_order(book):
    book.add("alpha", "1", TALLY)


def changed_tags(book):
    path = book.home.notebooks / "alpha.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata.tags = ["picture"]
    nbformat.write(notebook, path)


def changed_data(book):
    book.add("alpha", TALLY, data=["scikit-image"])


@pytest.mark.parametrize("change", [changed_code, changed_default, changed_order, changed_tags, changed_data])
def test_whatever_a_result_depends_on_changes_the_digest(book, change):
    book.add("alpha", TALLY)
    before = digests(book)
    change(book)
    assert digests(book) != before


def test_seed_preset_and_parameters_change_the_digest(two):
    several = [
        *digests(two, seeds=[0, 1]),
        *digests(two, preset="smoke"),
        *digests(two, overrides={"n_images": 8}),
        *digests(two, overrides={"name": "x"}),
    ]
    assert len(set(several)) == len(several)


def test_versions_of_python_and_of_the_packages_change_the_digest(two, monkeypatch):
    before = digests(two)
    found = versions()
    assert set(found) == {"python", *PACKAGES}
    for name in found:
        monkeypatch.setattr(planning, "versions", lambda name=name: found | {name: "0"})
        assert not set(digests(two)) & set(before), name


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        ("claims.py", True),
        ("kernels/new.py", True),
        ("labels.txt", True),
        ("kernels/README.md", False),
        ("__pycache__/x.cpython-311.pyc", False),
        (".claims.py.swp", False),
    ],
)
def test_a_change_in_the_library_changes_the_digest_and_its_documentation_does_not(two, tmp_path, path, counts):
    library = tmp_path / "featlib"
    shutil.copytree(library_root() / "press", library, ignore=shutil.ignore_patterns("__pycache__"))
    before = Planner(two.home, two.cards, library).job("alpha", "laptop", 0, {}).digest
    file = library / path
    file.parent.mkdir(exist_ok=True)
    file.write_text("x = 1")
    assert (Planner(two.home, two.cards, library).job("alpha", "laptop", 0, {}).digest != before) is counts


def test_a_file_that_moves_or_swaps_content_changes_the_library(tmp_path):
    (tmp_path / "a.py").write_text("1")
    (tmp_path / "b.py").write_text("2")
    before = library_digest(tmp_path)
    (tmp_path / "a.py").write_text("2")
    (tmp_path / "b.py").write_text("1")
    swapped = library_digest(tmp_path)
    (tmp_path / "b.py").rename(tmp_path / "c.py")
    assert len({before, swapped, library_digest(tmp_path)}) == 3


@given(st.dictionaries(st.text(max_size=3), st.integers() | st.lists(st.booleans(), max_size=2), max_size=4))
def test_the_order_of_keys_is_of_no_account(value):
    assert digest(value) == digest(dict(reversed(value.items())))


def test_runs_are_current_until_what_they_depend_on_changes(book):
    book.add("alpha", TALLY).add("beta", "1")
    assert all(outcome.ok for outcome in book.press(preset="smoke"))

    def current():
        return sorted(run.record.chapter for run in current_runs(book.home, book.cards, book.cache))

    assert current() == ["alpha", "beta"]
    book.add("alpha", TALLY, prose="Other words.")
    assert current() == ["alpha", "beta"]
    book.add("alpha", TALLY, presets={"smoke": {"n_images": 9}})
    assert current() == ["beta"]
    book.add("beta", "1", presets={})
    assert current() == []
    book.add("alpha", TALLY, "2").add("beta", "1")
    assert current() == ["beta"]


def test_data_that_is_missing(book, monkeypatch):
    book.add("alpha", "1", data=["scikit-image", "scikit-learn"]).add("beta", "1", data=["scikit-learn"])
    state = planning.sources.State
    here = {"scikit-image": state.PRESENT, "scikit-learn": state.CORRUPT}
    monkeypatch.setattr(planning.sources, "present", here.get)
    assert missing_data(book.cards, ["alpha", "beta"]) == ["scikit-learn"]
