"""Looks after a running kernel: what it costs, how long it may take, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import psutil

TICK = 0.2
Ended: TypeAlias = Literal["", "timeout", "stop"]


class Watch:
    """Looks after one kernel from a thread of its own: measures it and, when it must end, ends it."""

    def __init__(self, limit: float | None, stop: threading.Event, spill: IO[bytes]) -> None:
        self.spill = spill
        """Where the kernel's own messages go; what its notebook prints does not come this way."""
        self.place: Path | None = None
        """The folder in which kernel and press meet."""
        self.notebook: Any = None
        self.client: Any = None
        self.seconds = self.cpu_seconds = self.peak_mb = 0.0
        self.device = "cpu"
        self.ended: Ended = ""
        self.exit_code: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._limit = limit
        self._stop = stop
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> Watch:
        self._start = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seconds = time.monotonic() - self._start
        self._done.set()
        self._thread.join()
        if self._process is not None:
            self.exit_code = self._process.poll()
            _kill_group(self._process.pid)  # also what the notebook itself has started and left running

    def measure(self) -> None:
        """Note processor time and peak memory so far; both only grow, so a kernel that has gone keeps its last."""
        process = getattr(getattr(getattr(self.client, "km", None), "provisioner", None), "process", None)
        self._process = process or self._process
        if self._process is None:
            return
        try:
            times = psutil.Process(self._process.pid).cpu_times()
            spent = times.user + times.system + times.children_user + times.children_system
            self.cpu_seconds = max(self.cpu_seconds, spent)
            self.peak_mb = max(self.peak_mb, _peak_mb(self._process.pid))
        except (psutil.Error, OSError):
            return

    def _look(self) -> None:
        while not self._done.wait(TICK):
            self.measure()
            if self._stop.is_set():
                self._end("stop")
            elif self._limit is not None and time.monotonic() - self._start > self._limit:
                self._end("timeout")

    def _end(self, why: Ended) -> None:
        """Kill the kernel; while it is still being started there is none yet, and the next look will find it."""
        self.ended = self.ended or why
        if self._process is not None and self._process.poll() is None:
            _kill_group(self._process.pid)


def _kill_group(pid: int) -> None:
    """Kill a kernel and whatever it has started: a kernel leads a process group of its own."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return


def _peak_mb(pid: int) -> float:
    """Largest resident memory of a process so far; the present one where the system does not keep the largest."""
    status = Path(f"/proc/{pid}/status")
    if status.exists():
        for line in status.read_text("ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return psutil.Process(pid).memory_info().rss / 2**20
