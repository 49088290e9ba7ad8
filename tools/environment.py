"""Write ``environment.yml`` (conda, Binder) from ``pyproject.toml`` and ``constraints.txt``; a test compares them."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# Written by `python tools/environment.py` from pyproject.toml and constraints.txt; do not edit by hand.
# torch comes from conda-forge because its build there is for the CPU; everything else is what `make env` installs.
name: featlib
channels: [conda-forge, nodefaults]
dependencies:
  - python=3.11
  - pip
  - pytorch-cpu={torch}
  - pip:
"""


def plain(name: str) -> str:
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """Tested version of every package."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return {plain(name): version for name, version in (line.split("==") for line in lines)}


def wanted() -> list[str]:
    """Packages that reading, running and printing the book needs."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements = project["dependencies"] + project["optional-dependencies"]["book"]
    return [plain(re.match(r"[A-Za-z0-9_.-]+", line)[0]) for line in requirements]  # type: ignore[index]


def text() -> str:
    """The whole file."""
    version = pins()
    packages = [name for name in wanted() if name != "torch"]
    lines = [f"      - {name}=={version[name]}" for name in packages] + ["      - -e ."]
    return HEAD.format(torch=version["torch"]) + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(text())
