"""Times one operation against its peer, fairly, and writes down what came out.

The rules: the same function first (an error is printed beside every ratio, and a red test or a large error means no
ratio at all); interleaved repeats on fresh inputs; medians; one thread; no figure is stored from a busy machine.
"""

from __future__ import annotations

import csv
import datetime
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from functools import cache
from itertools import accumulate
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from threadpoolctl import threadpool_limits

ROOT = Path(__file__).resolve().parents[2]
CSV = ROOT / "book" / "performance.csv"
REPEATS = 7
BUSY = 1.5


@dataclass(frozen=True)
class Axis:
    """Where a break-even is looked for: ``values`` from the one that is hardest for us to the easiest."""

    values: tuple[float, ...]
    inputs: Callable[[int, float], Any]
    wins: str
    never: str


@dataclass(frozen=True)
class Case:
    """One operation at one size against one peer. ``inputs(seed, batch)`` makes fresh data of ``batch`` items.

    The break-even is looked for along the batch unless the case has an ``axis`` of its own. With ``memory`` the peak of
    both sides is measured too. ``most`` bounds the repeats, for a size that takes long.
    """

    op: str
    size: str
    peer: str
    peer_version: str
    inputs: Callable[[int, int], Any]
    ours: Callable[[Any], Any]
    theirs: Callable[[Any], Any]
    error: Callable[[Any, Any], float]
    batch: int
    tolerance: float
    dtype: str = "float32"
    axis: Axis | None = None
    memory: bool = False
    most: int = REPEATS


@dataclass(frozen=True)
class Row:
    """One line of the performance page."""

    op: str
    size: str
    dtype: str
    threads: int
    device: str
    peer: str
    peer_version: str
    peer_ms: float
    ours_ms: float
    ratio: float
    error: float
    break_even: str
    load: float
    date: str
    commit: str
    peer_mb: str = ""
    ours_mb: str = ""


class BenchError(RuntimeError):
    """No ratio is printed; the message says why."""


def require_green(tests: str) -> None:
    """Run an operation's tests.

    Raises:
        BenchError: if one of them is red.
    """
    done = subprocess.run([sys.executable, "-m", "pytest", "-q", "-x", tests], cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"{tests} is red, so no ratio is measured:\n{done.stdout[-800:]}")


def load() -> float:
    """Load of the machine over the last minute."""
    return os.getloadavg()[0]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep both sides to one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # numpy's own pool, which torch does not know
            yield
    finally:
        torch.set_num_threads(before)


def milliseconds(function: Callable[[Any], Any], data: Any) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    function(data)
    return 1e3 * (time.perf_counter() - start)


def pair(case: Case, inputs: Callable[[int, Any], Any], value: float, repeats: int) -> tuple[float, float]:
    """Median milliseconds of both sides over interleaved repeats, a fresh input for each."""
    ours, theirs = [], []
    for seed in range(-1, repeats):
        data = inputs(seed + 1, value)
        times = milliseconds(case.theirs, data), milliseconds(case.ours, data)
        if seed >= 0:  # the first round warms up
            theirs.append(times[0])
            ours.append(times[1])
    return statistics.median(ours), statistics.median(theirs)


def measure(case: Case, repeats: int = REPEATS) -> Row:
    """Compare, then time.

    Raises:
        BenchError: if the two sides do not compute the same.
    """
    with one_thread():
        data = case.inputs(0, case.batch)
        error = case.error(case.ours(data), case.theirs(data))
        if not error <= case.tolerance:
            raise BenchError(f"{case.op} {case.size}: differs from {case.peer} by {error:.1e}, so no ratio is measured")
        ours, theirs = pair(case, case.inputs, case.batch, min(repeats, case.most))
        break_even = first_win(case, max(2, repeats // 2))
        peaks = (f"{megabytes(side, data):.1f}" if case.memory else "" for side in (case.theirs, case.ours))
    return Row(
        case.op, case.size, case.dtype, 1, "cpu", case.peer, case.peer_version,
        round(theirs, 3), round(ours, 3), round(theirs / ours, 2), float(f"{error:.1e}"), break_even,
        round(load(), 2), datetime.datetime.now(datetime.UTC).date().isoformat(), commit(), *peaks,
    )  # fmt: skip


def megabytes(function: Callable[[Any], Any], data: Any) -> float:
    """Most memory that torch's allocator held at one time during a call, beyond what it held before."""
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        function(data)
    steps = [
        (event.start_ns(), event.nbytes()) for event in profile.kineto_results.events() if event.name() == "[memory]"
    ]
    return max(accumulate((change for _, change in sorted(steps, key=itemgetter(0))), initial=0)) / 2**20


def first_win(case: Case, repeats: int) -> str:
    """First value of the case's axis from which ours stays the faster side; without one, of the batches 1, 2, 4, ..."""
    batches = tuple(2**power for power in range(10) if 2**power <= case.batch)
    axis = case.axis or Axis(batches, case.inputs, "batch {}", "not up to batch {}")
    wins = [(times := pair(case, axis.inputs, value, repeats))[0] < times[1] for value in axis.values]
    for place, value in enumerate(axis.values):
        if all(wins[place:]):
            return axis.wins.format(value)
    return axis.never.format(axis.values[-1])


@cache
def commit() -> str:
    """Commit of the code that was timed, marked when it has changes: asked once, before a stored row is one."""
    command = ["git", "describe", "--always", "--dirty"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() or "unknown"


def store(row: Row, path: Path = CSV) -> None:
    """Add to the table of the performance page; a newer figure for the same row takes the older one's place.

    Raises:
        BenchError: if the machine was busy, for then the figure means little.
    """
    if row.load > BUSY:
        raise BenchError(
            f"{row.op} {row.size}: not stored, for the load was {row.load}, above {BUSY}; try again on a quiet machine"
        )
    names = [field.name for field in fields(Row)]
    old = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    table = {(line["op"], line["size"], line["peer"], line["device"]): line for line in old}
    table[row.op, row.size, row.peer, row.device] = {key: str(value) for key, value in asdict(row).items()}
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table.values())
