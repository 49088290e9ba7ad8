"""Is this machine ready to run and print the book? Every finding that is not well names what puts it right."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata

from packaging.requirements import Requirement

from featlib.data import sources
from featlib.press import archive
from featlib.press.cache import Cache
from featlib.press.card import Card, CardError, load_cards
from featlib.press.costs import broken
from featlib.press.digests import PACKAGES, library_digest, library_root
from featlib.press.home import Home
from featlib.press.plan import PlanError, plan

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ASK_TORCH = (
    "import torch; print('cuda: ' + torch.cuda.get_device_name() if torch.cuda.is_available() "
    "else f'cpu, {torch.get_num_threads()} threads')"
)


class Health(StrEnum):
    """How a finding is."""

    WELL = "ok"
    LACKING = "missing"
    """Something that is fetched or done without."""
    OVER = "over"
    """A promise that is not kept; everything works."""
    FAULT = "FAULT"
    """Nothing runs, or nothing can be trusted, until it is put right."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    what: str
    health: Health
    said: str


def examine(home: Home) -> Iterator[Finding]:
    """Everything that a run or a print needs, one finding after another."""
    yield Finding("python", Health.WELL, f"{platform.python_version()} at {sys.executable}")
    yield packages()
    yield device()
    yield library(home)
    yield browser()
    yield room(home)
    cards: dict[str, Card] = {}
    try:
        cards = load_cards(home)
        plan(home, cards)
        yield Finding("chapters", Health.WELL, f"{len(cards)}: _toc.yml, notebooks and cards agree")
    except (CardError, PlanError) as error:
        yield from (Finding("chapters", Health.FAULT, line) for line in str(error).splitlines())
    yield from promises(home, cards)
    yield from evidence(home, cards)
    yield from data({name for card in cards.values() for name in card.data})


def promises(home: Home, cards: Mapping[str, Card]) -> Iterator[Finding]:
    """The chapters whose runs in the cache took far more than their cards promise."""
    records = list(Cache(home.cache).records())
    over = broken(cards, [record for record in records if record.code_digest == library_digest(library_root())])
    for slug, found in over.items():
        said = f"{'; '.join(map(str, found))}: make the chapter smaller, or its promise true"
        yield Finding(f"promise of {slug}", Health.OVER, said)


def evidence(home: Home, cards: Mapping[str, Card]) -> Iterator[Finding]:
    """Whether the archive can be read."""
    kept = archive.read(home.evidence, cards)
    yield from (Finding("archive", Health.FAULT, f"{fault}; restore the file from git") for fault in kept.faults)
    if not kept.faults:
        yield Finding("archive", Health.WELL, f"{len(kept.runs)} runs in {home.evidence.relative_to(home.root)}")


def packages() -> Finding:
    """Whether all that pyproject.toml asks for is installed, in a version that it asks for."""
    wrong = []
    for text in metadata.requires("featlib") or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": "book"}):
            try:
                found = metadata.version(requirement.name)
            except metadata.PackageNotFoundError:
                wrong.append(f"{requirement.name} is not installed")
                continue
            if not requirement.specifier.contains(found, prereleases=True):
                wrong.append(f"{requirement.name} is {found}, not {requirement.specifier}")
    if wrong:
        return Finding("packages", Health.FAULT, f"{'; '.join(wrong)}: run make env")
    shown = [name for name in (*PACKAGES, "papermill", "jupyter-book") if _installed(name)]
    return Finding("packages", Health.WELL, ", ".join(f"{name} {metadata.version(name)}" for name in shown))


def device() -> Finding:
    """What torch computes on here; asked in a process of its own, since the press itself never imports torch."""
    asked = subprocess.run([sys.executable, "-c", ASK_TORCH], capture_output=True, text=True, check=False)
    if asked.returncode:
        last = asked.stderr.strip().splitlines()[-1:] or ["no reason given"]
        return Finding("torch", Health.FAULT, f"{last[0]}: run make env")
    return Finding("torch", Health.WELL, asked.stdout.strip())


def library(home: Home) -> Finding:
    """Whether the featlib that runs is the one of this checkout; with two checkouts it easily is the other."""
    own = home.root / "featlib"
    if own.is_dir() and own.resolve() != library_root().resolve():
        said = f"{library_root()} runs, not the one of this checkout: run make env here"
        return Finding("featlib", Health.FAULT, said)
    return Finding("featlib", Health.WELL, f"{metadata.version('featlib')} at {library_root()}")


def browser() -> Finding:
    """Whether there is a browser for the tests of the printed site."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        said = "only the tests of the site need it: install your system's chromium"
        return Finding("chromium", Health.LACKING, said)
    return Finding("chromium", Health.WELL, found)


def room(home: Home) -> Finding:
    """Whether the build folder can be written, and what it holds."""
    folder = next(path for path in (home.build, *home.build.parents) if path.exists())
    if not (folder.is_dir() and os.access(folder, os.W_OK)):
        return Finding("build folder", Health.FAULT, f"{folder} cannot be written: set FEATLIB_BUILD to another folder")
    runs = list(home.cache.glob("*/SHA256SUMS"))
    held = sum(file.stat().st_size for run in runs for file in run.parent.iterdir()) / 2**20
    free = shutil.disk_usage(folder).free / 2**30
    said = f"{home.build}, {len(runs)} runs in {held:.0f} MB, {free:.1f} GB free (make clean empties it)"
    return Finding("build folder", Health.WELL, said)


def data(needed: set[str]) -> Iterator[Finding]:
    """What is here of the data and weights, and the one command that fetches the rest."""
    lacking = []
    for name, source in sources.SOURCES.items():
        found = sources.check(name)
        if found.state:
            yield Finding(f"data {name}", Health.WELL, "present")
            continue
        fetched = source.carrier != "installed"
        used = " (a chapter reads it)" if name in needed else ""
        yield Finding(f"data {name}", Health.LACKING, f"{found.state.value if fetched else found.reason}{used}")
        lacking += [name] * fetched
    if lacking:
        yield Finding("data", Health.LACKING, f"to fetch what is missing, run: featlib fetch {' '.join(lacking)}")


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True
