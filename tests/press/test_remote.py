"""Jobs on a Dask cluster: a real scheduler and two workers, each a process of its own."""

import json
import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest
from conftest import until

from featlib.press.digests import library_root

pytest.importorskip("distributed", reason="make env installs it")
RECORD = """
import os, pathlib, time
from featlib.press import Ledger
with open(r"{tally}", "a") as file:
    file.write(f"{{seed}} {{os.getppid()}}\\n")
while {wait} and not os.path.exists(r"{go}"):
    time.sleep(0.05)
ledger = Ledger("alpha")
assert ledger.card is not None and pathlib.Path.cwd().name == "notebooks"
ledger.record("one-is-one", samples={{str(seed): 1.0 + seed}}, control={{str(seed): 0.001 * seed}})
""".strip()


class Cluster:
    """A scheduler and workers, as one starts them by hand."""

    def __init__(self, folder):
        self.folder = folder
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self.environment = {**os.environ, "PYTHONPATH": str(library_root().parent), "TMPDIR": str(self.temporary)}
        file = folder / "scheduler.json"
        self.processes = []
        self.start("scheduler", "--port", 0, "--scheduler-file", file)
        assert until(lambda: file.exists() and file.read_text().endswith("}"), 60), self.said()
        self.address = json.loads(file.read_text())["address"]

    def start(self, what, *options, env=()):
        options = [*map(str, options), "--host", "127.0.0.1", "--no-dashboard"]
        with (self.folder / f"{what}-{len(self.processes)}.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{what}", *options],
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=self.environment | dict(env),
                start_new_session=True,
            )
        self.processes.append(process)

    def worker(self, **options):
        """A worker under its nanny, with one thread: one kernel at a time."""
        self.start("worker", self.address, "--local-directory", self.temporary, "--nthreads", 1, **options)

    def said(self):
        return "\n".join(log.read_text() for log in self.folder.glob("*.log"))

    def stop(self):
        for process in reversed(self.processes):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    made = Cluster(tmp_path)
    yield made
    made.stop()


def press(book, cluster, *arguments, seeds="0..5", **options):
    where = ["--executor", "dask", "--scheduler", cluster.address]
    return book.command("run", "--seed", seeds, *where, *arguments, **options)


def chapter(book, wait=False):
    """A chapter that notes who runs it, and may wait for a sign."""
    tally, go = book.home.root / "tally.txt", book.home.root / "go"
    book.add("alpha", RECORD.format(tally=tally, go=go, wait=wait))
    return tally, go


def started(tally):
    """Seed and worker of every run that has started."""
    return [line.split() for line in tally.read_text().splitlines()] if tally.exists() else []


def seeds_in(book):
    """The seeds whose runs the cache holds; an entry holds one run."""
    return sorted(run.record.seed for run in book.cache.entries())


def kernels(worker):
    """The kernels that a worker runs; one that has ended and waits to be noticed is none."""
    found = []
    for child in psutil.Process(worker).children():
        with suppress(psutil.Error):
            found += [child] if "tether" in " ".join(child.cmdline()) else []
    return found


def test_a_worker_is_killed_in_the_middle_and_its_jobs_move(book, cluster):
    cluster.worker()
    cluster.worker()
    tally, go = chapter(book, wait=True)
    process = press(book, cluster, "--jobs", 2)
    assert until(lambda: len(started(tally)) == 2, 60), cluster.said()
    workers = {int(worker) for _, worker in started(tally)}
    assert len(workers) == 2, "two workers, a kernel each"
    os.kill(min(workers), signal.SIGKILL)
    assert until(lambda: len(started(tally)) == 3, 60), "its job starts again elsewhere"
    go.touch()
    said, complaint = process.communicate(timeout=120)
    assert process.returncode == 0, said + complaint
    assert seeds_in(book) == [0, 1, 2, 3, 4, 5]
    assert len(started(tally)) == 7, "one job was begun twice"
    ledger = json.loads(book.home.ledger.read_text())
    [row] = ledger["rows"]
    assert row["samples"] == {str(seed): 1.0 + seed for seed in range(6)}
    assert len(ledger["runs"]) == 6
    assert len(list(cluster.temporary.glob("featlib-job-*"))) <= 1, "only the killed worker may leave its folder"
    assert press(book, cluster).communicate(timeout=120)[0].count("from the cache") == 6


def test_a_press_that_is_stopped_takes_its_kernels_with_it(book, cluster):
    cluster.worker()
    tally, go = chapter(book, wait=True)
    for stop in (signal.SIGINT, signal.SIGKILL):
        begun = len(started(tally))
        process = press(book, cluster)
        assert until(lambda begun=begun: len(started(tally)) > begun, 60), cluster.said()
        worker = int(started(tally)[-1][1])
        assert kernels(worker)
        process.send_signal(stop)
        process.communicate(timeout=60)
        assert until(lambda worker=worker: not kernels(worker), 60), "nobody wants it any more"
    assert process.returncode == -signal.SIGKILL
    assert seeds_in(book) == []
    go.touch()
    said, complaint = press(book, cluster, seeds="0..1").communicate(timeout=120)
    assert seeds_in(book) == [0, 1], said + complaint
    assert list(cluster.temporary.glob("featlib-*")) == []


def test_a_failure_comes_back_with_its_notebook(book, cluster):
    cluster.worker()
    book.add("alpha", "1 / 0")
    process = press(book, cluster, "--jobs", 1, seeds="0")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "FAILED: code cell 2 (1 / 0): ZeroDivisionError: division by zero (see _build/failed/alpha-laptop-" in said
    assert "ZeroDivisionError" in (book.home.failed / "alpha-laptop-seed-0.ipynb").read_text()


def test_a_worker_with_other_code_refuses(book, cluster, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(library_root(), other / "featlib", ignore=shutil.ignore_patterns("__pycache__"))
    with (other / "featlib" / "claims.py").open("a") as file:
        file.write("\n# changed\n")
    cluster.worker(env={"PYTHONPATH": str(other)})
    tally, _ = chapter(book)
    process = press(book, cluster, "--jobs", 1, seeds="0")
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "its featlib is another than the press's; give it the same checkout" in said
    assert started(tally) == []


def test_a_cluster_without_workers_or_without_a_scheduler_is_one_clear_line(book, cluster):
    chapter(book)
    process = press(book, cluster, seeds="0")
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 2
    assert complaint == "featlib: the cluster has no worker: start one, or say with --jobs how many jobs it is to get\n"
    cluster.stop()
    process = press(book, cluster, seeds="0", env={"DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "2s"})
    _, complaint = process.communicate(timeout=120)
    assert process.returncode == 2
    assert complaint.startswith(f"featlib: no Dask scheduler answers at {cluster.address} (")
    assert complaint.count("\n") == 1


def test_the_two_halves_of_a_cluster_go_together(book):
    chapter(book)
    for half in (["--executor", "dask"], ["--scheduler", "tcp://127.0.0.1:1"]):
        code, _, complaint = book.featlib("run", *half)
        assert code == 2
        assert "a cluster is named by both" in " ".join(complaint.replace("│", "").split())
