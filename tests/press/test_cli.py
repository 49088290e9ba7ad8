"""The command line: what it says, and with which exit code it ends."""

import importlib.metadata
import json
import shutil
import subprocess
import sys

import nbformat
import pytest
import yaml
from conftest import CARD, TALLY

from featlib.press import cli, desk, doctor
from featlib.press.digests import library_root
from featlib.press.plan import parse_seeds

RECORD = """
from featlib.press import Ledger
Ledger("alpha").record("one-is-one", samples={str(seed): 1.0 + seed}, control={str(seed): 0.0})
""".strip()

VARIED = RECORD.replace("0.0", "0.001 * seed")
"""The same with a control that can be judged."""


@pytest.fixture
def featlib(book, monkeypatch, capsys):
    """Run a command in this process: exit code, what it said, what it complained of."""
    monkeypatch.chdir(book.home.root)
    monkeypatch.delenv("FEATLIB_BUILD", raising=False)

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["featlib", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return command


def test_run_says_one_line_for_each_job_then_a_table_and_writes_the_ledger(book, featlib):
    book.add("alpha", RECORD, TALLY).add("beta", TALLY)
    code, said, complaint = featlib("run", "--seed", "0..1", "--jobs", 1)
    assert (code, complaint) == (0, "")
    first, *lines = [line.rstrip() for line in said.splitlines()]
    assert first == "4 to run, about 4 min"
    assert lines[0].startswith("[1/4] alpha laptop seed 0: ")
    assert " s CPU, " in lines[0]
    assert "; about " in lines[0]
    assert lines[0].endswith(" left")
    assert [line.split()[0] for line in lines[:4]] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert "left" not in lines[3]
    assert lines[4].split() == ["chapter", "runs", "seconds", "CPU", "seconds", "peak", "MB", "claims"]
    assert lines[5].split()[:2] == ["alpha", "2"]
    assert lines[6].split()[:2] == ["beta", "2"]
    assert lines[6].endswith("1 not yet run")
    assert lines[7].startswith("4 jobs in ")
    assert ": 4 run, 0 cached, 0 failed (featlib " in lines[7]
    assert len(lines) == 8

    ledger = json.loads(book.home.ledger.read_text())
    assert {run["chapter"]: run["seed"] for run in ledger["runs"]} == {"alpha": 1, "beta": 1}
    [row] = [row for row in ledger["rows"] if row["chapter"] == "alpha"]
    assert row["samples"] == {"0": 1.0, "1": 2.0}
    assert lines[5].endswith(f"1 {row['verdict']}")
    assert row["verdict"] != "not yet run"

    code, said, _ = featlib("run", "--seed", "0..1")
    assert code == 0
    assert said.startswith("4 to run (4 in the cache), about 0 s\n")
    assert said.count("from the cache") == 4
    assert "1 not yet run" not in said.splitlines()[6]
    assert book.runs == ["0 20", "0 20", "1 20", "1 20"]

    code, said, _ = featlib("score")
    assert code == 0
    assert said.splitlines()[1].split()[:2] == ["alpha", "one-is-one"]
    assert f"2 claims, preset laptop: 1 {row['verdict']}, 1 not yet run" in said


def test_run_takes_parameters_presets_and_chapters(book, featlib):
    book.add("alpha", RECORD, TALLY).add("beta", TALLY)
    code, said, _ = featlib(
        "run", "beta", "alpha", "--preset", "smoke", "-p", "n_images=4", "-p", "name=null", "--seed", 7
    )
    assert code == 0
    assert book.runs == ["7 4", "7 4"]
    assert "1 inconclusive" in said  # what is tried out by hand is shown, and stays out of the ledger
    ledger = json.loads(book.home.ledger.read_text())
    assert {row["verdict"] for row in ledger["rows"]} == {"not yet run"}
    assert [run["overrides"] for run in ledger["runs"]] == [{"n_images": 4, "name": None}] * 2


def test_a_dry_run_says_what_would_run_and_runs_nothing(book, featlib):
    book.add("alpha", TALLY).add("beta", TALLY)
    assert featlib("run", "alpha")[0] == 0
    code, said, complaint = featlib("run", "--all", "--seed", "0..9", "--dry-run")
    assert (code, complaint) == (0, "")
    lines = [line.split() for line in said.splitlines()]
    assert lines[1] == ["beta", "laptop", "10", "0", "60", "each", "its", "card"]
    assert lines[2][:4] == ["alpha", "laptop", "10", "1"]
    assert lines[2][-3:] == ["1", "earlier", "runs"]
    assert said.splitlines()[-1].startswith("20 to run (1 in the cache), about ")
    assert book.runs == ["0 20"]


def test_all_and_some_do_not_go_together(book, featlib):
    book.add("alpha", TALLY)
    code, _, complaint = featlib("run", "alpha", "--all")
    assert code == 2
    assert "--all means every chapter: leave out alpha, or --all" in " ".join(complaint.replace("│", "").split())


def test_a_program_reads_json_from_stdout_and_nothing_else(book, featlib):
    book.add("alpha", TALLY).add("beta", "1 / 0")
    code, said, complaint = featlib("run", "--all", "--log", "json")
    assert code == 1
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["event"] for line in lines].count("end") == 2
    assert lines[-1]["event"] == "summary"
    assert lines[-1]["failed"][0]["job"] == "beta laptop seed 0"
    assert "2 jobs in " in complaint


def test_a_failure_is_told_with_its_notebook_and_ends_with_1(book, featlib):
    book.add("alpha", "1 / 0").add("beta", TALLY)
    code, said, complaint = featlib("run")
    assert (code, complaint) == (1, "")
    assert (
        "alpha laptop seed 0: FAILED: code cell 2 (1 / 0): ZeroDivisionError: division by zero "
        "(see _build/failed/alpha-laptop-seed-0.ipynb)"
    ) in said
    assert "beta laptop seed 0: " in said
    assert "the chapter failed" in said
    assert "0 of 1" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "alfa"], "no chapter alfa (did you mean 'alpha'?); there are alpha"),
        (["run", "-p", "n_image=4"], "alpha: no parameter n_image (did you mean 'n_images'?)"),
        (["run", "-p", "n_images=four"], "alpha: n_images must be int, got 'four'"),
        (["run", "-p", "n_images"], "cannot read 'n_images': write name=value"),
        (["run", "--preset", "smok"], "alpha has no preset smok (did you mean 'smoke'?)"),
        (["book", "-p", "seed=4"], "seed is not set with -p: use --seed"),
        (["fetch", "fashion-mist"], "'fashion-mnist'"),
    ],
)
def test_a_request_that_cannot_be_met_is_one_clear_line_and_starts_nothing(book, featlib, monkeypatch, arguments, says):
    book.add("alpha", TALLY)
    monkeypatch.setattr(desk, "run_jobs", None)
    code, said, complaint = featlib(*arguments)
    assert code == 2
    assert complaint.startswith("featlib: ")
    assert says in complaint
    assert complaint.count("\n") == 1
    assert "Traceback" not in complaint + said


@pytest.mark.parametrize("seed", ["a", "-1", "3..1", "1..", "0...2", "1.5", ""])
def test_a_seed_that_is_none(book, featlib, seed):
    book.add("alpha", TALLY)
    code, _, complaint = featlib("run", f"--seed={seed}")
    assert code == 2
    assert f"cannot read '{seed}': write a seed as 3, a range as 0..4" in " ".join(complaint.split())


def test_seeds_may_be_ranges_and_are_taken_once():
    assert parse_seeds(["0..2", "7", "1"]) == (0, 1, 2, 7)
    assert parse_seeds(["3..3"]) == (3,)


def test_a_card_that_breaks_the_schema(book, featlib):
    book.add("alpha", TALLY, part=3, promise={"seconds": -1, "memory_gb": 2, "device": "gpu"})
    code, _, complaint = featlib("run")
    assert code == 2
    assert all(line.startswith("featlib: alpha.yml: ") for line in complaint.splitlines())
    assert "part" in complaint
    assert "promise.seconds" in complaint
    assert "'cpu' or 'cuda'" in complaint
    code, _, complaint = featlib("cards", book.home.notebooks / "alpha.yml")
    assert code == 1
    assert "'cpu' or 'cuda'" in complaint


def test_good_cards_pass(book, featlib):
    book.add("alpha", TALLY)
    assert featlib("cards", book.home.notebooks / "alpha.yml") == (0, "", "")
    code, _, complaint = featlib("cards", book.home.notebooks / "alpha.yml", book.home.notebooks / "none.yml")
    assert code == 1
    assert complaint.startswith("featlib: none.yml: ")


def test_a_chapter_on_disk_that_is_not_listed_and_the_reverse(book, featlib):
    book.add("alpha", TALLY).add("beta", TALLY)
    book.write_toc("alpha")
    code, _, complaint = featlib("run")
    assert code == 2
    assert complaint == "featlib: notebooks/beta.ipynb: not in _toc.yml; list it there or remove it\n"
    book.write_toc("alpha", "beta", "gamma")
    code, _, complaint = featlib("list")
    assert code == 2
    assert complaint == "featlib: _toc.yml: lists notebooks/gamma, which is not on disk\n"


def test_outside_a_checkout_it_says_what_is_missing(tmp_path, monkeypatch):
    """The checkout that featlib was installed from is found from anywhere; a copy without a book is none."""
    shutil.copytree(library_root(), tmp_path / "featlib", ignore=shutil.ignore_patterns("__pycache__"))
    done = subprocess.run(
        [sys.executable, "-m", "featlib.press.cli", "list"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"featlib: no book at {tmp_path}")


def test_list_shows_what_the_cards_say(book, featlib):
    book.add("alpha", TALLY, title="On tiny things")
    code, said, _ = featlib("list")
    assert code == 0
    for part in ("alpha", "One", "On tiny things", "60 s, 2 GB, cpu", "laptop, smoke", "1"):
        assert part in said.splitlines()[1]


def test_a_change_in_featlib_runs_everything_again_and_its_documentation_does_not(book, tmp_path):
    library = tmp_path / "library" / "featlib"
    shutil.copytree(library_root(), library, ignore=shutil.ignore_patterns("__pycache__"))
    own = {"PYTHONPATH": str(library.parent)}
    book.add("alpha", TALLY, "import featlib; print(featlib.__file__)")
    code, said, _ = book.featlib("run", env=own)
    assert code == 0, said
    (library / "README.md").write_text("Other words.")
    _, said, _ = book.featlib("run", env=own)
    assert "from the cache" in said
    with (library / "claims.py").open("a") as file:
        file.write("\n# changed\n")
    _, said, _ = book.featlib("run", env=own)
    assert "from the cache" not in said
    assert book.runs == ["0 20"] * 2


def test_a_bug_of_our_own_shows_its_traceback(featlib, monkeypatch):
    monkeypatch.setattr(cli, "_desk", lambda: 1 / 0)
    monkeypatch.setattr(sys, "argv", ["featlib", "list"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_evidence_is_archived_scored_and_compared_with_an_earlier_commit(book, featlib):
    def git(*words):
        who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(book.home.root), *who, *words], check=True)

    book.add("alpha", VARIED, TALLY)
    git("init", "-q")
    git("add", "-A")
    git("commit", "-qm", "rules")
    assert featlib("archive")[1].startswith("nothing to archive: no run of today's code with preset laptop")
    assert featlib("run", "--seed", "0..4")[0] == 0
    assert featlib("run", "-p", "n_images=3")[0] == 0
    code, said, complaint = featlib("archive")
    assert (code, said, complaint) == (0, "book/evidence/alpha.jsonl: 5 runs added, 5 in all\n", "")
    assert featlib("archive")[1] == "book/evidence/alpha.jsonl: 0 runs added, 5 in all\n"
    assert featlib("archive", "--sweeps")[1] == "book/evidence/alpha.jsonl: 1 runs added, 6 in all\n"
    git("add", "-A")
    git("commit", "-qm", "evidence")
    code, said, _ = featlib("score")
    assert code == 0
    assert said.splitlines()[1].split()[-3:] == ["5", "fresh", "runs"]
    shutil.rmtree(book.home.cache)
    assert featlib("score")[1].splitlines()[1].split()[-3:] == ["5", "5", "archived"]
    code, said, _ = featlib("score", "--diff", "HEAD~1")
    assert code == 0
    assert said.splitlines() == [
        "alpha/one-is-one: not yet run -> supported (3, n=5)",
        "1 of 1 claims have another verdict than at HEAD~1",
    ]
    assert featlib("score", "--diff", "HEAD")[1] == "0 of 1 claims have another verdict than at HEAD\n"
    book.add("alpha", VARIED, TALLY, "1")
    said = featlib("score")[1].splitlines()[1]
    assert said.rstrip().endswith("5 archived, 5 stale (the notebook changed since)")
    assert featlib("run")[0] == 0
    said = featlib("score")[1].splitlines()[1]
    assert said.rstrip().endswith("4 archived, 4 stale (the notebook changed since; seed 0 run again agrees)")
    [row] = json.loads(book.home.ledger.read_text())["rows"]
    assert row["n"] == 5
    assert [past["verdict"] for past in row["history"]] == ["supported"]


def test_a_corrupt_line_of_the_archive_is_named_and_ends_with_1(book, featlib, monkeypatch):
    monkeypatch.setattr(doctor, "device", lambda: doctor.Finding("torch", doctor.Health.WELL, "cpu"))
    book.add("alpha", RECORD)
    assert featlib("run", "--seed", "0..1")[0] == 0
    assert featlib("archive")[0] == 0
    file = book.home.evidence / "alpha.jsonl"
    file.write_text(file.read_text().replace('"seed":1', '"seed":2'))
    code, said, complaint = featlib("score")
    assert code == 1
    assert complaint == "featlib: book/evidence/alpha.jsonl:2: its digest is another: it is not as it was written\n"
    assert "1 claims" in said
    assert "FAULT   archive: book/evidence/alpha.jsonl:2: " in featlib("doctor")[1]
    code, _, complaint = featlib("archive")
    assert code == 2
    assert "restore it from git, or remove these lines" in complaint


@pytest.fixture
def printed(monkeypatch):
    """A print shop that only notes what it was given."""
    given = {}

    def stage(home, cards, executed):
        given["executed"] = {slug: nbformat.read(path, as_version=4) for slug, path in executed.items()}
        given["ledger"] = json.loads(home.ledger.read_text())
        return home.stage

    monkeypatch.setattr(desk, "stage", stage)
    monkeypatch.setattr(desk, "print_site", lambda home: home.html)
    monkeypatch.setattr(desk, "check_site", lambda html, home, cards: given.get("faults", []))
    return given


def shown(printed, slug):
    """The seed and the number of images of the run that a chapter shows."""
    for cell in printed["executed"][slug].cells:
        if "injected-parameters" in cell.metadata.get("tags", []):
            namespace = {}
            exec(cell.source, namespace)
            return namespace["seed"], namespace["n_images"]
    raise AssertionError(slug)


def test_book_prints_the_runs_just_made_and_for_other_chapters_the_earlier_ones(book, featlib, printed):
    book.add("alpha", TALLY).add("beta", TALLY).add("gamma", TALLY)
    assert featlib("run", "alpha", "beta", "--seed", "0..1")[0] == 0
    code, said, complaint = featlib("book", "alpha", "--seed", "2", "--seed", "1", "-p", "n_images=3")
    assert (code, complaint) == (0, "")
    assert said.splitlines()[-1] == f"the book is at {book.home.html}/index.html"
    assert shown(printed, "alpha") == (1, 3)
    assert shown(printed, "beta") == (0, 20)
    assert "gamma" not in printed["executed"]
    assert len(printed["ledger"]["runs"]) == 6
    assert featlib("book", "alpha")[0] == 0
    assert shown(printed, "alpha") == (0, 20)


def test_book_is_printed_without_the_chapter_that_failed_and_ends_with_1(book, featlib, printed):
    book.add("alpha", "1 / 0").add("beta", TALLY)
    code, said, complaint = featlib("book")
    assert code == 1
    assert list(printed["executed"]) == ["beta"]
    assert complaint == "featlib: 1 of 2 runs failed; their chapters show an earlier run, or none\n"
    assert "the book is at" in said


def test_book_ends_with_1_when_a_page_is_at_fault(book, featlib, printed):
    book.add("alpha", TALLY)
    printed["faults"] = ["index.html: a broken link"]
    code, _, complaint = featlib("book")
    assert code == 1
    assert complaint == "featlib: index.html: a broken link\n"


def test_data_that_is_missing_is_fetched_before_anything_runs(book, featlib, monkeypatch):
    book.add("alpha", TALLY, data=["fashion-mnist"])
    fetched = []
    monkeypatch.setattr(desk, "missing_data", lambda cards, chapters: ["fashion-mnist"])

    def fetch(names, progress):
        fetched.append((list(names), len(book.runs)))
        return list(names)

    monkeypatch.setattr(desk.sources, "fetch", fetch)
    code, said, _ = featlib("run")
    assert code == 0
    assert fetched == [(["fashion-mnist"], 0)]
    assert said.startswith("fetching fashion-mnist\n")
    code, said, _ = featlib("fetch")
    assert (code, said) == (0, "fetching fashion-mnist\nfetched fashion-mnist\n")


def test_data_that_cannot_be_had_stops_the_press_with_one_line(book, featlib, monkeypatch):
    book.add("alpha", TALLY, data=["fashion-mnist"])
    monkeypatch.setattr(desk, "missing_data", lambda cards, chapters: ["fashion-mnist"])

    def fetch(names, progress):
        raise desk.sources.DataError("fashion-mnist: no way to get it")

    monkeypatch.setattr(desk.sources, "fetch", fetch)
    code, _, complaint = featlib("run")
    assert (code, complaint) == (2, "featlib: fashion-mnist: no way to get it\n")
    assert book.runs == []


def test_doctor_says_what_is_there_and_the_one_command_for_the_rest(book, featlib, monkeypatch, tmp_path):
    monkeypatch.setenv("FEATLIB_DATA", str(tmp_path / "data"))
    book.add("alpha", TALLY, data=["fashion-mnist"])
    code, said, _ = featlib("doctor")
    assert code == 0, said
    assert "ok      chapters: 1: _toc.yml, notebooks and cards agree" in said
    assert "missing data fashion-mnist: missing (a chapter reads it)" in said
    [command] = [
        line for line in said.splitlines() if "run: featlib fetch" in line and line.startswith("missing data: ")
    ]
    fetched = command.partition("featlib fetch ")[2].split()
    kinds = {name: source.carrier for name, source in doctor.sources.SOURCES.items()}
    assert set(fetched) == {name for name, kind in kinds.items() if kind != "installed"}
    assert f"ok      featlib: {importlib.metadata.version('featlib')}" in said


@pytest.mark.parametrize("broken", ["toc", "card", "notebook", "build"])
def test_doctor_finds_what_would_stop_a_run(book, featlib, monkeypatch, broken):
    monkeypatch.setattr(doctor, "device", lambda: doctor.Finding("torch", doctor.Health.WELL, "cpu"))
    book.add("alpha", TALLY)
    expected = {
        "toc": "FAULT   chapters: notebooks/alpha.ipynb: not in _toc.yml",
        "card": "FAULT   chapters: alpha.yml: ",
        "notebook": "FAULT   chapters: alpha.ipynb: its parameters cell must start with",
        "build": "FAULT   build folder: ",
    }
    if broken == "toc":
        book.write_toc()
    elif broken == "card":
        (book.home.notebooks / "alpha.yml").write_text(yaml.safe_dump(CARD | {"titel": "x"}))
    elif broken == "notebook":
        book.add("alpha", TALLY, parameters="n: int = 0")
    else:
        book.home.build.write_text("")
    code, said, _ = featlib("doctor")
    assert code == 1
    assert expected[broken] in said


def test_doctor_says_which_promise_is_broken(book, featlib, monkeypatch):
    monkeypatch.setattr(doctor, "device", lambda: doctor.Finding("torch", doctor.Health.WELL, "cpu"))
    book.add("alpha", TALLY, promise={"seconds": 0.01, "memory_gb": 2})
    assert featlib("run")[0] == 0
    code, said, _ = featlib("doctor")
    assert code == 0
    assert "over    promise of alpha: wall time " in said
    assert " s, promised 0.01 s (" in said


def test_doctor_names_packages_that_are_not_as_asked_for(monkeypatch):
    assert doctor.packages().health is doctor.Health.WELL
    asked = ["numpy>=99", "no-such-package", "ruff<0; extra == 'test'", "pydantic>=2"]
    monkeypatch.setattr(doctor.metadata, "requires", lambda name: asked)
    found = doctor.packages()
    assert found.health is doctor.Health.FAULT
    assert found.said.startswith("numpy is ")
    assert "not >=99; no-such-package is not installed: run make env" in found.said
    assert "ruff" not in found.said


def test_doctor_asks_torch_in_a_process_of_its_own(monkeypatch):
    monkeypatch.setattr(doctor, "ASK_TORCH", "raise ImportError('no torch')")
    found = doctor.device()
    assert (found.health, found.said) == (doctor.Health.FAULT, "ImportError: no torch: run make env")
    monkeypatch.setattr(doctor, "ASK_TORCH", "print('cpu, 2 threads')")
    assert doctor.device() == doctor.Finding("torch", doctor.Health.WELL, "cpu, 2 threads")


def test_doctor_sees_that_another_checkout_s_featlib_runs(book):
    assert doctor.library(book.home).health is doctor.Health.WELL
    (book.home.root / "featlib").mkdir()
    assert doctor.library(book.home).health is doctor.Health.FAULT
