"""Notebooks that misbehave, and presses that are stopped: each fails alone, is named, and leaves nothing behind."""

import os
import resource
import shutil
import signal
import subprocess
import time

import nbformat
import psutil
import pytest
from conftest import TALLY, until

from featlib.press import tether

HANG_IN_C = """
import os, re
if not os.path.exists("go"):
    open(f"up-{seed}", "w").close()
    re.match(r"(a+)+$", "a" * 64 + "b")
""".strip()
"""Holds the interpreter's lock for ever: nothing that is written in Python can end such a kernel from within."""


def failure(book, cell, timeout=60.0, after="2"):
    """The one line that a press says of a chapter whose second code cell is this one."""
    book.add("alpha", "open('before', 'w').close()", cell, *([after] if after else []))
    [outcome] = book.press(timeout=timeout)
    assert not outcome.ok
    assert outcome.record is None
    assert "\n" not in outcome.error
    assert list(book.cache.entries()) == []
    assert book.kernels() == []
    assert (book.home.notebooks / "before").exists()
    kept = nbformat.read(outcome.path, as_version=4)
    assert outcome.path == book.home.failed / "alpha-laptop-seed-0.ipynb"
    assert any(source.source == cell for source in kept.cells)
    return outcome.error


def test_a_notebook_that_raises(book):
    says = failure(book, "1 / 0")
    assert says == "code cell 3 (1 / 0): ZeroDivisionError: division by zero"


def test_a_notebook_that_raises_and_says_it_expects_to(book):
    book.add("alpha", "1 / 0")
    path = book.home.notebooks / "alpha.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[-1].metadata.tags = ["raises-exception"]
    nbformat.write(notebook, path)
    [outcome] = book.press()
    assert outcome.error == "code cell 2 (1 / 0): ZeroDivisionError: division by zero"


@pytest.mark.parametrize("after", ["2", None], ids=["in the middle", "at the end"])
def test_a_notebook_that_calls_sys_exit(book, after):
    says = failure(book, "import sys; sys.exit(0)", after=after)
    assert (
        says
        == "code cell 3 (import sys; sys.exit(0)): SystemExit(0) ended the run; a chapter must run to its last cell"
    )


def test_a_notebook_whose_kernel_is_killed(book):
    says = failure(book, "import os; os.kill(os.getpid(), 9)")
    assert says.startswith(
        "code cell 3 (import os; os.kill(os.getpid(), 9)): the kernel was killed by SIGKILL; out of memory?"
    )


def test_a_notebook_that_ends_its_own_process(book):
    says = failure(book, "import os; os._exit(0)", after=None)
    assert "the kernel ended by itself (exit code 0)" in says


def test_a_notebook_that_exceeds_its_time_limit(book):
    started = time.monotonic()
    says = failure(book, "while True: pass", timeout=5.0)
    assert says == "code cell 3 (while True: pass): over the limit of 5 s; raise --timeout or choose a smaller preset"
    assert time.monotonic() - started < 30


def test_the_time_limit_is_for_all_cells_together(book):
    cells = ["import time; time.sleep(1)"] * 4
    book.add("alpha", *cells)
    [outcome] = book.press(timeout=3.0)
    assert "over the limit of 3 s" in outcome.error


def test_a_kernel_that_does_not_start(book, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text("raise ImportError('no ipykernel here')")
    monkeypatch.setattr(tether, "__file__", str(tmp_path / "broken.py"))
    [outcome] = book.add("alpha", "1").press()
    assert outcome.error.startswith("start of the kernel: RuntimeError: Kernel died before replying to kernel_info")
    assert outcome.error.endswith("(ImportError: no ipykernel here)")


def test_a_cell_that_is_skipped(book):
    book.add("alpha", "1", "2")
    path = book.home.notebooks / "alpha.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].metadata.tags = ["skip-execution"]
    nbformat.write(notebook, path)
    [outcome] = book.press()
    assert outcome.error == "code cell 2 (1): did not run; every code cell of a chapter must"


def stopped_in_the_middle(book, *signals):
    """Stop a press that has finished one job and hangs in two others; then let them through and press again."""
    book.add("alpha", TALLY).add("beta", TALLY, HANG_IN_C)
    process = book.command("run", "--seed", "0..1", "--jobs", 3, stdout=subprocess.DEVNULL)
    hanging = [book.home.notebooks / f"up-{seed}" for seed in (0, 1)]
    assert until(lambda: len(list(book.cache.entries())) == 2 and all(path.exists() for path in hanging), 60)
    assert len(book.kernels()) == 2
    for one in signals:
        process.send_signal(one)
    _, complaint = process.communicate(timeout=30)
    assert until(lambda: not book.kernels(), 3), "no kernel outlives its press"
    assert {run.record.chapter for run in book.cache.entries()} == {"alpha"}
    assert not list(book.home.build.rglob("*.tmp"))
    (book.home.notebooks / "go").touch()
    again = book.press(seeds=range(2))
    assert [(outcome.job.chapter, outcome.ok, outcome.cached) for outcome in again] == [
        ("alpha", True, True),
        ("alpha", True, True),
        ("beta", True, False),
        ("beta", True, False),
    ]
    assert book.runs == ["0 20"] * 3 + ["1 20"] * 3  # once each for alpha, twice for beta
    return process.returncode, complaint


def test_ctrl_c_in_the_middle(book):
    code, complaint = stopped_in_the_middle(book, signal.SIGINT)
    assert code == 130
    assert complaint == "featlib: stopped; what had finished is kept, and the same command does only the rest\n"


def test_sigkill_in_the_middle(book):
    code, _ = stopped_in_the_middle(book, signal.SIGKILL)
    assert code == -signal.SIGKILL


def test_sigkill_while_a_kernel_is_being_started(book):
    book.add("alpha", TALLY)
    process = book.command("run")
    assert until(book.kernels, 60)
    process.kill()
    process.communicate(timeout=30)
    assert until(lambda: not book.kernels(), 3)
    assert book.runs == []


def test_two_presses_at_once_on_one_cache_do_each_job_once(book):
    book.add("alpha", TALLY, "import time; time.sleep(1)")
    presses = [book.command("run", "--seed", "0..1") for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in presses]
    assert [process.returncode for process in presses] == [0, 0]
    assert book.runs == ["0 20", "1 20"]
    assert "".join(said).count("from the cache") == 2


def test_a_truncated_cache_entry_is_detected_and_done_again(book):
    book.add("alpha", TALLY, "print('whole')")
    [outcome] = book.press()
    os.truncate(outcome.path, outcome.path.stat().st_size // 2)
    code, said, _ = book.featlib("run")
    assert code == 0
    assert f"note: cache entry {outcome.job.digest[:12]} is damaged" in said
    assert "from the cache" not in said
    assert book.runs == ["0 20"] * 2
    assert "whole" in book.cache.get(outcome.job.digest).path.read_text()


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 200 kB, where the system lets us mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = shutil.which("mount")
    if not mount or subprocess.run([mount, "-t", "tmpfs", "-o", "size=200k", "none", folder], stderr=-3).returncode:
        pytest.skip("only root may mount a disk; the next test fills none, but fails in the same place")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk(book, small_disk):
    book.add("alpha", TALLY).add("beta", TALLY, "print('x' * 300_000)")
    code, said, _ = book.featlib("run", env={"FEATLIB_BUILD": str(small_disk)})
    assert code == 1
    assert f"beta laptop seed 0: FAILED: {small_disk}/cache is full: free some space, or set FEATLIB_BUILD" in said
    assert "alpha laptop seed 0: FAILED" not in said
    assert sorted(path.name for path in small_disk.glob("cache/*/*.json")) == ["record.json"]
    assert list(small_disk.glob("cache/tmp/*")) == []
    assert all(outcome.ok for outcome in book.press())  # elsewhere there is room


def test_a_file_that_cannot_grow(book):
    book.add("alpha", TALLY).add("beta", TALLY, "print('x' * 300_000)")
    process = book.command("run")
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (100_000, 100_000))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert f"beta laptop seed 0: FAILED: {book.home.cache} is full: free some space, or set FEATLIB_BUILD" in said
    assert [run.record.chapter for run in book.cache.entries()] == ["alpha"]
    assert list(book.home.cache.glob("tmp/*")) == []
    assert [outcome.cached for outcome in book.press()] == [True, False]


def read_only(folder):
    """Make a folder read-only, also for root: by its mode, or by mounting it anew."""
    folder.mkdir(parents=True)
    folder.chmod(0o500)
    if not os.access(folder, os.W_OK):
        return lambda: folder.chmod(0o700)
    for command in (["mount", "--bind", folder, folder], ["mount", "-o", "remount,bind,ro", folder]):
        if not shutil.which("mount") or subprocess.run(command, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("root may write everywhere and this root may not mount; a file in the folder's place is tested")
    return lambda: subprocess.run(["umount", "-l", folder], check=True)


def test_a_read_only_output_folder(book, tmp_path):
    undo = read_only(tmp_path / "fixed")
    try:
        book.add("alpha", TALLY)
        code, said, complaint = book.featlib("run", env={"FEATLIB_BUILD": str(tmp_path / "fixed")})
    finally:
        undo()
    assert code == 2
    assert complaint.startswith(f"featlib: cannot write to {tmp_path}/fixed/cache (")
    assert complaint.endswith("make it writable, or set FEATLIB_BUILD to another folder\n")
    assert complaint.count("\n") == 1
    assert said == ""
    assert book.runs == []


def test_an_output_folder_that_becomes_unwritable_while_a_notebook_runs(book):
    book.add(
        "alpha", TALLY, "import os, shutil; shutil.rmtree('../_build/cache'); open('../_build/cache', 'w').close()"
    )
    [outcome] = book.press()
    assert not outcome.ok
    assert outcome.error.startswith(f"cannot write to {book.home.cache} (")


def test_kernels_are_tethered_by_the_system(book):
    """The kernel's own look after its parent is too slow and too blind; see tether.py."""
    book.add("alpha", HANG_IN_C)
    process = book.command("run")
    assert until((book.home.notebooks / "up-0").exists, 60)
    [kernel] = book.kernels()
    assert kernel.parent() == psutil.Process(process.pid)
    process.kill()
    process.communicate(timeout=30)
    assert until(lambda: not book.kernels(), 1)
