"""Runs jobs: from the cache if it has them, otherwise in kernels, several at a time. A job that fails fails alone."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import nbformat

from featlib.press import places
from featlib.press.cache import Cache, CacheError, StoppedError, writing
from featlib.press.digests import library_digest, library_root, notebook_digest
from featlib.press.files import sweep_files
from featlib.press.home import Home
from featlib.press.judge import fault
from featlib.press.kernel import execute
from featlib.press.notebooks import read_notebook
from featlib.press.plan import Job
from featlib.press.record import RunRecord

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """What came of a job."""

    job: Job
    ok: bool
    cached: bool = False
    error: str = ""
    """One line; empty if it succeeded."""
    path: Path | None = None
    """The executed notebook; of a job that failed, the notebook as far as it got."""
    record: RunRecord | None = None


@dataclass(frozen=True)
class Event:
    """A job has started (no outcome yet) or ended."""

    job: Job
    done: int
    total: int
    outcome: Outcome | None = None


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Finished:
    """What came of a notebook, in plain values that can travel from another machine."""

    notebook: Any
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    device: str = "cpu"
    error: str = ""
    stopped: bool = False


Work: TypeAlias = Callable[[Job, Any, threading.Event], Finished]
"""Runs the notebook of a job, until the event is set; never raises for what the notebook does."""


def run_jobs(
    jobs: Sequence[Job],
    home: Home,
    cache: Cache,
    workers: int = 2,
    timeout: float | None = None,
    force: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
    work: Work | None = None,
) -> list[Outcome]:
    """Run the jobs, ``workers`` at a time, and say what came of each, in the order in which they were given.

    Each job has a thread of this process, which looks into the cache, waits for the work to be done and stores what
    came of it. So whatever happens to a worker elsewhere, a run is stored once, by the press.

    Args:
        jobs: what to run.
        home: the checkout.
        cache: where finished runs are found and put.
        workers: how many kernels at once; the cores are shared out among them.
        timeout: seconds of wall time that a job may take.
        force: run also what the cache has.
        on_event: told of each start and end, in the calling thread.
        work: what runs a notebook; by default a kernel of this machine, which is a process of its own.

    Raises:
        CacheError: if the cache cannot be written at all; nothing is started then.
    """
    cache.prepare()
    places.sweep()
    sweep_files(home.failed, "*.tmp")
    stop = threading.Event()
    here = partial(work_here, folder=home.notebooks, threads=max(1, cores() // workers), timeout=timeout)
    one = partial(perform, home=home, cache=cache, work=work or here, force=force, stop=stop)
    with ThreadPoolExecutor(workers, thread_name_prefix="press") as pool:
        try:
            return _drive(jobs, one, pool, workers, on_event)
        finally:
            stop.set()  # on Ctrl-C: leaving the pool waits for its threads, which wait for their kernels


def perform(job: Job, home: Home, cache: Cache, work: Work, force: bool, stop: threading.Event) -> Outcome:
    """One job, from the cache or by work; meanwhile no other press does the same. It never raises."""
    try:
        with cache.lock(job.digest, stop):
            if not force and (hit := cache.get(job.digest)):
                return Outcome(job, True, cached=True, path=hit.path, record=hit.record)
            return _run(job, home, cache, work, stop)
    except StoppedError:
        return Outcome(job, False, error="stopped before it started")
    except CacheError as error:
        return Outcome(job, False, error=str(error))
    except Exception as error:  # one job's surprise must not take the others down
        log.debug("%s", job.name, exc_info=True)
        return Outcome(job, False, error=f"{type(error).__name__}: {' '.join(str(error).split())}")


def _drive(
    jobs: Sequence[Job],
    work: Callable[[Job], Outcome],
    executor: Executor,
    workers: int,
    on_event: Callable[[Event], None],
) -> list[Outcome]:
    """Keep the executor busy with as many jobs as it has workers: what is not handed over needs no cancelling."""
    waiting, running = deque(enumerate(jobs)), dict[Future[Outcome], int]()
    outcomes: dict[int, Outcome] = {}
    while waiting or running:
        while waiting and len(running) < workers:
            place, job = waiting.popleft()
            on_event(Event(job, len(outcomes), len(jobs)))
            running[executor.submit(work, job)] = place
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            place = running.pop(future)
            outcomes[place] = future.result()
            on_event(Event(jobs[place], len(outcomes), len(jobs), outcomes[place]))
    return [outcomes[place] for place in range(len(jobs))]


def work_here(
    job: Job, notebook: Any, stop: threading.Event, folder: Path, threads: int = 1, timeout: float | None = None
) -> Finished:
    """Run the notebook of a job in a kernel of this machine."""
    execution = execute(notebook, job.parameters, folder, threads, timeout, stop)
    error = fault(execution, timeout)
    if not error and library_digest(library_root()) != job.code_digest:
        error = "featlib was changed while this ran, so nobody knows which code it ran: run it again"
    return Finished(
        notebook=execution.notebook,
        seconds=execution.seconds,
        cpu_seconds=execution.cpu_seconds,
        peak_memory_mb=execution.peak_memory_mb,
        device=execution.device,
        error=error,
        stopped=execution.ended == "stop",
    )


def _run(job: Job, home: Home, cache: Cache, work: Work, stop: threading.Event) -> Outcome:
    """Run the notebook and store what came of it: in the cache if it succeeded, else among the failed."""
    notebook = read_notebook(home.notebooks / f"{job.chapter}.ipynb")
    if notebook_digest(notebook) != job.notebook_digest:
        return Outcome(job, False, error=f"{job.chapter}.ipynb was changed after this run was planned: run it again")
    finished = work(job, notebook, stop)
    kept = home.failed / job.file
    if finished.error:
        nothing = finished.stopped or finished.notebook is None
        return Outcome(job, False, error=finished.error, path=None if nothing else _keep(finished.notebook, kept))
    run = cache.put(_record(job, finished), _clean(finished.notebook))
    kept.unlink(missing_ok=True)
    return Outcome(job, True, path=run.path, record=run.record)


def _record(job: Job, execution: Finished) -> RunRecord:
    """What is known about a run that succeeded."""
    return RunRecord(
        chapter=job.chapter,
        preset=job.preset,
        seed=job.seed,
        overrides=job.overrides,
        parameters=job.parameters,
        digest=job.digest,
        notebook_digest=job.notebook_digest,
        code_digest=job.code_digest,
        data_digests=job.data_digests,
        versions=job.versions,
        device=execution.device,
        seconds=round(execution.seconds, 3),
        cpu_seconds=round(execution.cpu_seconds, 3),
        peak_memory_mb=round(execution.peak_memory_mb, 1),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _clean(notebook: Any) -> Any:
    """The notebook without papermill's notes, which hold paths of this machine and times that the record has."""
    notebook.metadata.pop("papermill", None)
    for cell in notebook.cells:
        cell.metadata.pop("papermill", None)
    return notebook


def _keep(notebook: Any, path: Path) -> Path | None:
    """Write the notebook of a failed run where people can read it, if there is room."""
    work = path.with_suffix(f".{os.getpid()}-.tmp")
    try:
        with writing(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                nbformat.write(_clean(notebook), work)  # type: ignore[no-untyped-call]
                work.replace(path)
            finally:
                work.unlink(missing_ok=True)
    except CacheError as error:
        log.warning("the notebook of the failed run could not be kept: %s", error)
        return None
    return path
