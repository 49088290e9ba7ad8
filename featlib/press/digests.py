"""What a result depends on, as digests: the notebook's code, the library, the versions of what it stands on."""

from __future__ import annotations

import hashlib
import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import featlib
from featlib.press.notebooks import code_cells, tags

PACKAGES = ("torch", "numpy", "scipy", "scikit-learn", "scikit-image", "captum", "matplotlib", "pandas")
"""Packages whose version may change a number or a figure."""


def digest(value: Any) -> str:
    """Digest of anything that JSON can carry; the order of keys does not matter."""
    text = json.dumps(value, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def notebook_digest(notebook: Any) -> str:
    """Digest of the code cells and their tags. Prose and outputs are left out: a rewritten sentence re-runs nothing."""
    return digest([[cell.source, sorted(tags(cell))] for cell in code_cells(notebook)])


def library_root() -> Path:
    """The featlib that the kernels import: the very one that this process has imported."""
    return Path(featlib.__file__).parent


def library_digest(root: Path) -> str:
    """Digest of every file of the library that may change a result: all but its documentation and Python's caches."""
    listing = [
        [path.relative_to(root).as_posix(), hashlib.sha256(path.read_bytes()).hexdigest()]
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.suffix not in {".md", ".pyc"} and not _hidden(path.relative_to(root))
    ]
    return digest(listing)


def versions() -> dict[str, str]:
    """The versions that a result depends on; a package that is not installed is left out."""
    found = {"python": ".".join(platform.python_version_tuple()[:2])}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _hidden(path: Path) -> bool:
    """Whether an editor or a tool put this file there rather than a person."""
    return any(part.startswith(".") for part in path.parts)
