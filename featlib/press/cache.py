"""Finished runs on disk, one folder per digest.

An entry is whole or absent: it is moved into place in one step, and each time it is read its files are compared with
the checksums beside them.
"""

from __future__ import annotations

import errno
import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock, Timeout
from pydantic import ValidationError

from featlib.press.files import sweep_files
from featlib.press.notebooks import read_notebook
from featlib.press.record import RunRecord

NOTEBOOK, RECORD, SUMS = "notebook.ipynb", "record.json", "SHA256SUMS"
log = logging.getLogger(__name__)


class CacheError(RuntimeError):
    """The cache cannot be written; one line that says what to do."""


class StoppedError(RuntimeError):
    """The press is being stopped."""


@dataclass(frozen=True)
class CachedRun:
    """One finished run: what is known about it and the executed notebook."""

    record: RunRecord
    path: Path

    def notebook(self) -> Any:
        """The executed notebook, read from disk."""
        return read_notebook(self.path)


class _DamagedError(RuntimeError):
    """An entry that is not as it was written."""


class Cache:
    """The cache in one folder. Several presses may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self) -> None:
        """Make sure that the cache can be written, before any time is spent on a run.

        Raises:
            CacheError: if it cannot.
        """
        probe = self.root / "tmp" / f"probe.{os.getpid()}-"
        with writing(self.root):
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"room for a line")
            probe.unlink()
            sweep_files(probe.parent, "probe.*")

    def has(self, digest: str) -> bool:
        """Whether there is an entry at all; good for an estimate, since whether it is sound is not looked at."""
        return (self.root / digest).is_dir()

    def get(self, digest: str) -> CachedRun | None:
        """The run with this digest, or ``None``. A damaged entry is reported and removed, never served.

        Call it while holding :meth:`lock`: another press may be replacing the entry.
        """
        try:
            return self._read(digest)
        except _DamagedError as fault:
            log.warning("cache entry %s is damaged (%s): it is removed and run again", digest[:12], fault)
            shutil.rmtree(self.root / digest, ignore_errors=True)
            return None

    def put(self, record: RunRecord, notebook: Any) -> CachedRun:
        """Store a run in one step, in place of an older one. Call it while holding :meth:`lock`.

        Raises:
            CacheError: if there is no room or no permission; nothing half-written stays.
        """
        final, work = self.root / record.digest, self.root / "tmp" / record.digest
        texts = {NOTEBOOK: nbformat.writes(notebook), RECORD: record.model_dump_json(indent=1)}  # type: ignore[no-untyped-call]
        texts[SUMS] = _sums({name: text.encode() for name, text in texts.items()})
        with writing(self.root):
            # Only a press that was killed leaves a folder here, and the lock says that it is gone.
            shutil.rmtree(work, ignore_errors=True)
            try:
                work.mkdir(parents=True)
                for name, text in texts.items():
                    (work / name).write_text(text, encoding="utf-8")
                shutil.rmtree(final, ignore_errors=True)
                work.replace(final)
            finally:
                shutil.rmtree(work, ignore_errors=True)
        return CachedRun(record, final / NOTEBOOK)

    @contextmanager
    def lock(self, digest: str, stop: threading.Event | None = None) -> Iterator[None]:
        """Hold the right to make this entry; wait for whoever has it. The system frees it when a process dies.

        Raises:
            StoppedError: if ``stop`` is set before the right was got.
            CacheError: if the cache cannot be written.
        """
        path = self.root / "locks" / f"{digest}.lock"
        with writing(self.root):
            path.parent.mkdir(parents=True, exist_ok=True)
            lock = FileLock(path)
            while True:
                if stop is not None and stop.is_set():
                    raise StoppedError
                try:
                    lock.acquire(timeout=0.5, poll_interval=0.1)
                    break
                except Timeout:
                    continue
        try:
            yield
        finally:
            lock.release()

    def entries(self) -> Iterator[CachedRun]:
        """All sound entries; damaged ones are reported, and left for the press that needs them."""
        for folder in sorted(self.root.glob("*/")):
            if folder.name in {"tmp", "locks"}:
                continue
            try:
                if run := self._read(folder.name):
                    yield run
            except _DamagedError as fault:
                log.warning("cache entry %s is damaged (%s): it is left out", folder.name[:12], fault)

    def records(self) -> Iterator[RunRecord]:
        """What is known of the runs, without a look at their notebooks: quick, and good for an estimate."""
        for file in sorted(self.root.glob(f"*/{RECORD}")):
            try:
                content = file.read_bytes()
                if _sums({RECORD: content}) in (file.parent / SUMS).read_text("utf-8"):
                    yield RunRecord.model_validate_json(content)
            except (OSError, ValueError):
                continue

    def _read(self, digest: str) -> CachedRun | None:
        """The entry as it was written.

        Raises:
            _DamagedError: if a file is missing or other than when it was written.
        """
        folder = self.root / digest
        if not folder.is_dir():
            return None
        try:
            content = {name: (folder / name).read_bytes() for name in (NOTEBOOK, RECORD)}
            if (folder / SUMS).read_bytes() != _sums(content).encode():
                raise _DamagedError("it is not as it was written")
            record = RunRecord.model_validate_json(content[RECORD])
        except (OSError, ValueError) as error:
            why = "another version wrote it" if isinstance(error, ValidationError) else type(error).__name__
            raise _DamagedError(f"it cannot be read: {why}") from None
        if record.digest != digest:
            raise _DamagedError("it belongs to another run")
        return CachedRun(record, folder / NOTEBOOK)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into one line that says what to do.

    Raises:
        CacheError: in place of an ``OSError``.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise CacheError(f"{folder} is full: free some space, or set FEATLIB_BUILD to a roomier folder") from error
        why = error.strerror or type(error).__name__
        raise CacheError(
            f"cannot write to {folder} ({why}): make it writable, or set FEATLIB_BUILD to another folder"
        ) from error


def _sums(content: Mapping[str, bytes]) -> str:
    """Checksums of files, as sha256sum writes them."""
    return "".join(f"{hashlib.sha256(data).hexdigest()}  {name}\n" for name, data in content.items())
