"""Running jobs: what a run leaves behind, what it is told, and what is not run again."""

import os
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import nbformat
import psutil
import pytest
from conftest import TALLY, until

from featlib.press import run as running
from featlib.press.cache import CacheError
from featlib.press.run import Finished, run_jobs

TELL = """
import json, os, sys
about = {"folder": os.getcwd(), "python": sys.executable, "threads": os.environ["OMP_NUM_THREADS"], "path": sys.path}
with open("told.json", "w") as file:
    json.dump(about | {"parameters": [seed, device, n_images, name]}, file)
"""
BURN = """
import time
block = bytearray(200 * 2**20)
del block
started = time.process_time()
while time.process_time() - started < 0.6:
    pass
time.sleep(0.4)
"""


def test_a_run_is_stored_measured_and_not_run_again(book):
    book.add("alpha", TALLY, BURN)
    before = datetime.now(UTC) - timedelta(seconds=1)
    [first] = book.press(overrides={"name": "x"})
    assert (first.ok, first.cached, first.error) == (True, False, "")
    record = first.record
    assert record.seconds > 1.2  # a start of the kernel, 0.6 s of work and 0.4 s of sleep
    assert 0.6 < record.cpu_seconds < record.seconds
    assert 200 < record.peak_memory_mb < 500  # also after the memory has been given back
    assert record.device == "cpu"
    assert before < datetime.fromisoformat(record.date) < datetime.now(UTC) + timedelta(seconds=1)
    [job] = book.plan(overrides={"name": "x"})
    assert (record.digest, record.parameters, record.overrides) == (job.digest, job.parameters, {"name": "x"})
    assert (record.versions, record.code_digest) == (job.versions, job.code_digest)

    [second] = book.press(overrides={"name": "x"})
    assert (second.ok, second.cached, second.record, second.path) == (True, True, record, first.path)
    assert book.runs == ["0 20"]
    [third] = book.press(overrides={"name": "x"}, force=True)
    assert (third.ok, third.cached) == (True, False)
    assert book.runs == ["0 20"] * 2
    assert book.cache.get(job.digest).record == third.record != record


def test_the_kernel_is_this_python_in_the_notebooks_folder_and_is_told_its_parameters(book, tmp_path):
    import json

    here = Path.cwd()
    book.add("alpha", TELL)
    assert all(outcome.ok for outcome in book.press(seeds=[3], preset="smoke", overrides={"name": "it's \\ é"}))
    told = json.loads((book.home.notebooks / "told.json").read_text())
    assert told["folder"] == str(book.home.notebooks)
    assert told["python"] == sys.executable
    assert told["threads"] == str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert told["parameters"] == [3, "auto", 8, "it's \\ é"]
    assert "" in told["path"]  # a notebook may import what lies beside it, as in JupyterLab
    assert not any(Path(entry).name == "press" for entry in told["path"])  # and not the press's modules by short names
    assert Path.cwd() == here  # several threads share it


def test_the_executed_notebook_holds_outputs_and_no_trace_of_this_machine(book, tmp_path):
    book.add("alpha", "print(6 * 7)", "seed")
    [outcome] = book.press(seeds=[5])
    executed = nbformat.read(outcome.path, as_version=4)
    nbformat.validate(executed)
    injected = [cell for cell in executed.cells if "injected-parameters" in cell.metadata.get("tags", [])]
    assert len(injected) == 1
    assert "seed = 5" in injected[0].source
    assert executed.cells[-2].outputs[0].text == "42\n"
    assert executed.cells[-1].outputs[0].data["text/plain"] == "5"
    assert str(tmp_path) not in outcome.path.read_text()
    assert "papermill" not in outcome.path.read_text().replace("injected-parameters", "")


def test_a_change_in_prose_runs_nothing_and_a_change_in_code_does(book):
    book.add("alpha", TALLY)
    book.press()
    book.add("alpha", TALLY, prose="Other words.")
    assert [outcome.cached for outcome in book.press()] == [True]
    book.add("alpha", TALLY, "1")
    assert [outcome.cached for outcome in book.press()] == [False]
    assert book.runs == ["0 20"] * 2


def test_the_others_go_on_when_one_fails_and_only_it_runs_again(book):
    book.add("alpha", TALLY).add("beta", TALLY, "raise ValueError('no')").add("gamma", TALLY)
    events = []
    outcomes = book.press(on_event=events.append)
    assert [(outcome.job.chapter, outcome.ok) for outcome in outcomes] == [
        ("alpha", True),
        ("beta", False),
        ("gamma", True),
    ]
    assert [event.done for event in events if event.outcome] == [1, 2, 3]
    assert sorted(event.job.chapter for event in events if not event.outcome) == ["alpha", "beta", "gamma"]
    assert {event.total for event in events} == {3}
    kept = outcomes[1].path
    assert kept.is_relative_to(book.home.failed)
    assert "ValueError" in kept.read_text()
    book.add("beta", TALLY)
    assert [outcome.cached for outcome in book.press()] == [True, False, True]
    assert len(book.runs) == 4
    assert not kept.exists()


def test_no_more_kernels_at_once_than_asked_for(book):
    most, done = [], threading.Event()

    def look():
        while not done.wait(0.05):
            most.append(len(book.kernels()))

    watcher = threading.Thread(target=look)
    watcher.start()
    book.add("alpha", "import time; time.sleep(0.5)")
    outcomes = book.press(seeds=range(3), workers=1)
    done.set()
    watcher.join()
    assert [outcome.job.seed for outcome in outcomes] == [0, 1, 2]
    assert max(most) == 1


@pytest.mark.parametrize("end", ["1", "import os; os._exit(1)"], ids=["ends well", "dies"])
def test_what_a_notebook_starts_does_not_outlive_it(book, end):
    book.add("alpha", "import subprocess; child = subprocess.Popen(['sleep', '100'])", "print(child.pid)", end)
    [outcome] = book.press()
    pid = int(nbformat.read(outcome.path, as_version=4).cells[-2].outputs[0].text)
    assert until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, 3)


def test_the_work_may_be_done_elsewhere_and_is_stored_here(book):
    book.add("alpha", TALLY)
    asked = []

    def elsewhere(job, notebook, stop):
        asked.append((job.seed, notebook.cells[-1].source, stop.is_set()))
        return Finished(notebook, 3.0, 2.0, 100.0, "cuda", "no power" if job.seed else "")

    outcomes = run_jobs(book.plan(seeds=[0, 1]), book.home, book.cache, work=elsewhere)
    assert sorted(asked) == [(0, TALLY, False), (1, TALLY, False)]
    assert [(outcome.ok, outcome.error) for outcome in outcomes] == [(True, ""), (False, "no power")]
    assert (outcomes[0].record.device, outcomes[0].record.seconds) == ("cuda", 3.0)
    assert [run.record.seed for run in book.cache.entries()] == [0]
    assert book.runs == []


def test_a_notebook_that_changed_after_it_was_planned_is_not_run_under_the_old_digest(book):
    book.add("alpha", TALLY)
    jobs = book.plan()
    book.add("alpha", TALLY, "1")
    [outcome] = run_jobs(jobs, book.home, book.cache)
    assert not outcome.ok
    assert outcome.error == "alpha.ipynb was changed after this run was planned: run it again"
    assert book.runs == []


def test_a_run_during_which_the_library_changed_is_not_stored(book, monkeypatch):
    book.add("alpha", TALLY)
    jobs = book.plan()
    monkeypatch.setattr(running, "library_digest", lambda root: "other")
    [outcome] = run_jobs(jobs, book.home, book.cache)
    assert not outcome.ok
    assert "featlib was changed while this ran" in outcome.error
    assert list(book.cache.entries()) == []


def test_a_fault_of_our_own_in_one_job_is_contained_too(book, monkeypatch):
    book.add("alpha", TALLY).add("beta", TALLY)
    real = running.execute

    def fails_once(notebook, parameters, *rest):
        if "alpha" not in failed:
            failed.append("alpha")
            raise KeyError("surprise")
        return real(notebook, parameters, *rest)

    failed = []
    monkeypatch.setattr(running, "execute", fails_once)
    outcomes = book.press(workers=1)
    assert [(outcome.ok, outcome.error) for outcome in outcomes] == [(False, "KeyError: 'surprise'"), (True, "")]


def test_nothing_starts_when_the_cache_cannot_be_written(book, monkeypatch):
    book.add("alpha", TALLY)
    book.home.build.write_text("a file where a folder should be")
    with pytest.raises(CacheError, match=r"cannot write to .*_build/cache .*set FEATLIB_BUILD to another folder"):
        book.press()
    assert book.runs == []


def test_the_device_is_the_one_that_was_used_whatever_was_asked_for(book):
    torch = "import sys, types\nsys.modules['torch'] = torch = types.ModuleType('torch')\n"
    torch += "torch.cuda = types.SimpleNamespace(is_initialized=lambda: seed == 1)"
    book.add("alpha", torch)
    assert [outcome.record.device for outcome in book.press(seeds=[0, 1])] == ["cpu", "cuda"]
