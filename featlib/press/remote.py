"""``--executor dask``: the same jobs on a running Dask cluster, wherever its workers are.

A worker needs this featlib, the packages and the data, and nothing else: the notebook and its card travel with the job,
and what came of it travels back, so no folder is shared. If a worker dies, the scheduler gives its job to another. The
press alone writes the cache; a job whose answer is lost is done again, and one that was done twice is stored once.
"""

from __future__ import annotations

import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError, TimeoutError
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nbformat

from featlib.data import sources
from featlib.press import places
from featlib.press.digests import library_digest, library_root, versions
from featlib.press.home import Home
from featlib.press.plan import Job
from featlib.press.run import Finished, cores, work_here

DEATHS = 3
"""So many workers may die under one job before it is taken for the cause; Dask's own default."""


class ClusterError(RuntimeError):
    """A cluster that cannot be used; one line that says what to do."""


class Cluster:
    """A running Dask cluster. Certificates for ``tls://`` and patience come from Dask's own configuration."""

    def __init__(self, client: Any, home: Home, timeout: float | None) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)
        self._home = home
        self._timeout = timeout

    def slots(self) -> int:
        """How many jobs the workers can run at once.

        Raises:
            ClusterError: if there is no worker yet.
        """
        workers = self._client.scheduler_info(n_workers=-1)["workers"].values()
        if not workers:
            raise ClusterError("the cluster has no worker: start one, or say with --jobs how many jobs it is to get")
        return sum(worker["nthreads"] for worker in workers)

    def __call__(self, job: Job, notebook: Any, stop: threading.Event) -> Finished:
        """Have a worker run the notebook of a job, and wait for it."""
        text = nbformat.writes(notebook)  # type: ignore[no-untyped-call]
        card = (self._home.notebooks / f"{job.chapter}.yml").read_text("utf-8")
        future = self._executor.submit(work_there, job, text, card, self._timeout)
        while True:
            try:
                finished: Finished = future.result(timeout=0.2)
                return finished if finished.notebook is None else replace(finished, notebook=_read(finished.notebook))
            except TimeoutError:
                if stop.is_set():
                    future.cancel()
                    return Finished(None, error="stopped", stopped=True)
            except CancelledError:
                return Finished(None, error="the cluster dropped it: is its scheduler still there? Run it again")
            except Exception as error:  # the cluster's own: what a notebook does comes back as a result
                return Finished(None, error=_lost(error))


@contextmanager
def cluster(address: str, home: Home, timeout: float | None) -> Iterator[Cluster]:
    """The cluster whose scheduler has this address.

    Raises:
        ClusterError: if distributed is not installed, or nobody answers.
    """
    try:
        from distributed import Client
    except ImportError:
        raise ClusterError("--executor dask needs distributed: pip install 'featlib[cluster]'") from None
    try:
        client = Client(address, set_as_default=False)
    except (OSError, ValueError, TypeError) as error:
        said = str(error) or type(error).__name__
        raise ClusterError(f"no Dask scheduler answers at {address} ({said}): is it running?") from None
    try:
        found = Cluster(client, home, timeout)
        yield found
    finally:
        client.close(timeout=5)


def work_there(job: Job, notebook: str, card: str, timeout: float | None) -> Finished:
    """What a worker does with a job: look whether it may, then run the notebook in a checkout made for it alone."""
    if problem := _unfit(job):
        return Finished(None, error=f"worker {platform.node()}: {problem}")
    places.sweep()
    with tempfile.TemporaryDirectory(prefix="featlib-job-") as name:
        folder = Path(name) / "notebooks"
        folder.mkdir()
        (folder.parent / "_toc.yml").write_text("format: jb-book\nroot: home\n")
        (folder / f"{job.chapter}.ipynb").write_text(notebook, "utf-8")
        (folder / f"{job.chapter}.yml").write_text(card, "utf-8")
        with _while_wanted() as stop:
            finished = work_here(job, _read(notebook), stop, folder, _threads(), timeout)
    text = nbformat.writes(finished.notebook)  # type: ignore[no-untyped-call]
    return replace(finished, notebook=text)


def _unfit(job: Job) -> str:
    """Why a job that was planned elsewhere would not come out the same here; empty if it would."""
    if library_digest(library_root()) != job.code_digest:
        return "its featlib is another than the press's; give it the same checkout"
    own = versions()
    wrong = [
        f"{name} {own.get(name, 'none')}, not {want}" for name, want in job.versions.items() if own.get(name) != want
    ]
    if wrong:
        return f"it has {', '.join(wrong)}"
    missing = [name for name in job.data_digests if sources.present(name) is not sources.State.PRESENT]
    try:
        sources.fetch(missing) if missing else None
    except sources.DataError as error:
        return f"its data is missing: {error}"
    return ""


@contextmanager
def _while_wanted() -> Iterator[threading.Event]:
    """An event that is set when the scheduler no longer wants the task that runs in this thread."""
    stop, done = threading.Event(), threading.Event()
    watcher = threading.Thread(target=_watch, args=(_is_wanted(), stop, done), daemon=True)
    watcher.start()
    try:
        yield stop
    finally:
        done.set()
        watcher.join()


def _watch(wanted: Any, stop: threading.Event, done: threading.Event) -> None:
    while not done.wait(0.5):
        if not wanted():
            stop.set()


def _is_wanted() -> Any:
    """Asks whether the task of this thread is still wanted; a press that left wants nothing any more."""
    from distributed import get_worker
    from distributed.worker import thread_state

    return partial(_wanted, get_worker(), thread_state.key)


def _wanted(worker: Any, key: str) -> bool:
    task = worker.state.tasks.get(key)
    return task is not None and task.state not in {"cancelled", "released", "forgotten"}


def _threads() -> int:
    """Threads of a kernel: as Dask has set them for its workers, or the cores shared out."""
    from distributed import get_worker

    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdecimal() and int(asked) else max(1, cores() // get_worker().state.nthreads)


def _lost(error: Exception) -> str:
    """Why the cluster has no answer, in one line."""
    if type(error).__name__ == "KilledWorker":
        return f"{DEATHS + 1} workers died under it: out of memory? Choose a smaller preset or larger workers"
    return f"the cluster failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _read(text: str) -> Any:
    """A notebook from its text."""
    return nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]
