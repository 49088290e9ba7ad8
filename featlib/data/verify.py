"""Is a source here, and is it the right one? Pins are compared with content; a stamp spares doing so on each look."""

from __future__ import annotations

import gzip
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import sys
import tempfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from pathlib import Path

from featlib.data.carriers import wanted
from featlib.data.catalogue import Source

__all__ = ["Check", "State", "data_dir", "fault", "inspect", "listing", "pins", "place"]

Listing = dict[str, tuple[int, int]]
"""Size and time of modification by path."""


class State(StrEnum):
    """What was found where a source should lie. Only ``PRESENT`` is true."""

    PRESENT = "present"
    MISSING = "missing"
    CORRUPT = "corrupt"
    WRONG_VERSION = "wrong version"
    UNREADABLE = "unreadable"

    def __bool__(self) -> bool:
        return self is State.PRESENT


@dataclass(frozen=True)
class Check:
    """A state, and unless all is well one line that says what is wrong and what to do."""

    state: State
    reason: str = ""


def data_dir() -> Path:
    """Folder of everything fetched: ``$FEATLIB_DATA``, or ``featlib`` in the user's cache folder."""
    if chosen := os.environ.get("FEATLIB_DATA"):
        return Path(chosen).expanduser().resolve()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().resolve() / "featlib"


def place(source: Source) -> Path:
    """Where the files of a source lie, or would lie."""
    if source.carrier == "installed":
        module, *rest = source.inside.split("/")
        found = importlib.util.find_spec(module)  # a top-level name: found without importing it
        for root in (found and found.submodule_search_locations) or ():
            return Path(root, *rest)
    return data_dir() / source.name / source.version


def pins(source: Source) -> str:
    """Digest of the content that the source is pinned to; changes exactly when other bytes would be read."""
    return hashlib.sha256(json.dumps(sorted(source.files.items())).encode()).hexdigest()


def inspect(source: Source) -> Check:
    """Compare what is on this machine with the pins."""
    where = place(source)
    try:
        files = listing(source, where)
        if not files:
            return _absent(source)
        seal = json.dumps([pins(source), str(where), files])
        if _stamp(source).is_file() and _stamp(source).read_text() == seal:
            return Check(State.PRESENT)
        if wrong := fault(source, where, files):
            return _mismatch(source, wrong)
    except OSError as error:
        reason = f"{source.name}: cannot read {error.filename or where} ({error.strerror or error}); {_remedy(source)}"
        return Check(State.UNREADABLE, reason)
    _remember(source, seal)
    return Check(State.PRESENT)


def listing(source: Source, where: Path) -> Listing:
    """The pinned files that are there."""
    if any("*" in key for key in source.files):
        paths = [Path(root) / name for root, _, names in os.walk(where) for name in names]
    else:
        paths = [where / key for key in source.files if (where / key).exists()]
    stats = {path.relative_to(where).as_posix(): path.stat() for path in paths}
    return {path: (stats[path].st_size, stats[path].st_mtime_ns) for path in sorted(stats) if wanted(source, path)}


def fault(source: Source, where: Path, paths: Iterable[str]) -> str:
    """What is wrong with the content of these files, in a few words; empty when nothing is."""
    hashes = {path: _content(where / path) for path in sorted(paths)}
    for key, pin in source.files.items():
        if "*" in key:
            lines = [f"{found}  {path}\n" for path, found in hashes.items() if fnmatchcase(path, key)]
            if hashlib.sha256("".join(lines).encode()).hexdigest() != pin:
                return f"the {len(lines)} files {key} are not the pinned ones"
        elif key not in hashes:
            return f"{key} is missing"
        elif hashes[key] != pin:
            return f"{key} is not the pinned file (sha256 {hashes[key][:12]}, not {pin[:12]})"
    return ""


def _content(path: Path) -> str:
    """sha256 of a file, of a ``.gz`` file unpacked; of a broken one a word that equals no digest."""
    with path.open("rb") as raw:
        try:
            if path.suffix != ".gz":
                return hashlib.file_digest(raw, "sha256").hexdigest()
            with gzip.open(raw) as unpacked:
                return hashlib.file_digest(unpacked, "sha256").hexdigest()
        except (gzip.BadGzipFile, EOFError, zlib.error):
            return "broken gzip"


def _absent(source: Source) -> Check:
    """Nothing is there: missing altogether, or there in another version."""
    shelf = data_dir() / source.name
    others = sorted(path.name for path in shelf.iterdir() if path.name[0] != ".") if shelf.is_dir() else []
    if others and others != [source.version]:
        found = f"version {', '.join(others)} is here, {source.version} is needed"
        return Check(State.WRONG_VERSION, f"{source.name}: {found}; {_remedy(source)}")
    return Check(State.MISSING, f"{source.name}: not on this machine; {_remedy(source)}")


def _mismatch(source: Source, wrong: str) -> Check:
    """The content is not the pinned one: damaged, or of another version of an installed package."""
    if source.carrier == "installed":
        version = importlib.metadata.version(source.package)
        if version != source.version:
            reason = f"{source.name}: version {version} is installed, and {wrong}; {_remedy(source)}"
            return Check(State.WRONG_VERSION, reason)
    return Check(State.CORRUPT, f"{source.name}: damaged, {wrong}; {_remedy(source)}")


def _remedy(source: Source) -> str:
    """The one command that puts a source right."""
    if source.carrier == "installed":
        return f"run: pip install --force-reinstall --no-deps {source.package}=={source.version}"
    return f"run: featlib fetch {source.name}"


def _stamp(source: Source) -> Path:
    """File that remembers the last verification."""
    return data_dir() / "verified" / f"{source.name}.json"


def _remember(source: Source, seal: str) -> None:
    """Keep what a verification was about, where possible; without it the next look only takes longer."""
    stamp = _stamp(source)
    try:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=stamp.parent, delete=False) as file:
            file.write(seal)
        Path(file.name).replace(stamp)
    except OSError:
        return
