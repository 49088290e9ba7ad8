"""``--log json``: what the press does as one JSON object a line, for programs that watch it."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from io import TextIOBase
from types import TracebackType
from typing import Any

from featlib.press.plan import Job
from featlib.press.report import Estimate
from featlib.press.run import Event, Outcome


class JsonLog:
    """Takes the place of :class:`~featlib.press.report.Reporter`; every line has ``event`` and ``time``.

    The events are ``plan``, ``start`` and ``end`` of each job, ``note`` for a warning, and ``summary``.
    """

    def __init__(self, estimate: Estimate, total: int, file: TextIOBase | None = None) -> None:
        self._estimate = estimate
        self._total = total
        self._file = file
        self._began = time.monotonic()
        self._handler = _ToLines(self)

    def __enter__(self) -> JsonLog:
        logging.getLogger("featlib").addHandler(self._handler)
        left = self._estimate.seconds_left(time.monotonic())
        self.say("plan", jobs=self._total, cached=self._estimate.cached, seconds_left=round(left, 1))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        logging.getLogger("featlib").removeHandler(self._handler)

    def __call__(self, event: Event) -> None:
        """Tell of one event."""
        now = time.monotonic()
        about = {**_of(event.job), "done": event.done, "total": event.total}
        if event.outcome is None:
            self._estimate.start(event.job, now)
            self.say("start", **about)
        else:
            self._estimate.end(event.outcome)
            left = round(self._estimate.seconds_left(now), 1)
            self.say("end", **about, **_ended(event.outcome), seconds_left=left)

    def summary(self, outcomes: Sequence[Outcome]) -> None:
        """Tell how it all ended."""
        failed = [{"job": outcome.job.name, "error": outcome.error} for outcome in outcomes if not outcome.ok]
        self.say(
            "summary",
            jobs=len(outcomes),
            ok=len(outcomes) - len(failed),
            cached=sum(outcome.cached for outcome in outcomes),
            failed=failed,
            seconds=round(time.monotonic() - self._began, 1),
        )

    def say(self, event: str, **fields: Any) -> None:
        """Write one line, whole and at once."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"event": event, "time": at, **fields}, ensure_ascii=True, default=str)
        file = self._file or sys.stdout
        file.write(f"{line}\n")
        file.flush()


class _ToLines(logging.Handler):
    """Sends warnings the same way."""

    def __init__(self, lines: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Write one warning."""
        self._lines.say("note", text=record.getMessage())


def _of(job: Job) -> dict[str, Any]:
    """What names a job."""
    return {
        "job": job.name,
        "chapter": job.chapter,
        "preset": job.preset,
        "seed": job.seed,
        "overrides": job.overrides,
        "digest": job.digest,
    }


def _ended(outcome: Outcome) -> dict[str, Any]:
    """How a job ended."""
    record = outcome.record
    cost = {} if record is None else record.model_dump(include={"seconds", "cpu_seconds", "peak_memory_mb", "device"})
    told = {"ok": outcome.ok, "cached": outcome.cached, "error": outcome.error or None}
    return {**told, "notebook": outcome.path and str(outcome.path), **cost}
