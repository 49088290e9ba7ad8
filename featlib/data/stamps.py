"""Tux Paint's stamps: photographs of single objects, cut out, with their exact outline in the alpha channel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from featlib.data import sources

__all__ = ["Stamp", "stamps"]

DRAWN = frozenset({"cartoon", "clothes", "flags", "naturalforces", "plastic", "roadsigns", "seasonal", "symbols"})
"""Folders of drawings, symbols and seasonal decoration, at any depth."""

DRAWN_TOO = frozenset({
    "animals/insects/bee", "animals/mammals/echidna", "animals/mammals/hedgehog", "food/pizza",
    "household/dishes/glass", "household/key", "medical/tooth", "people/body_parts/eye", "space/planets/0_sun",
    "town/monuments/inukshuk-outline", "vehicles/emergency/sedan_police",
})  # fmt: skip
"""Drawings, silhouettes and objects without an outline among the photographs, found by eye."""

TWICE = frozenset({"people/fireman240a"})
"""Pictures that also lie in another folder."""


@dataclass(frozen=True)
class Stamp:
    """One cut-out object, trimmed to what is visible.

    Attributes:
        name: path within the collection, without ending, such as ``animals/mammals/bears/bear``.
        caption: the collection's English caption, or empty.
        rgba: colours and alpha, 0 to 255; alpha above 127 is object.
    """

    name: str
    caption: str
    rgba: UInt8[np.ndarray, "height width 4"]

    @property
    def category(self) -> str:
        """Folder, such as ``animals/mammals/bears``."""
        return self.name.rpartition("/")[0]


def stamps(smallest: int = 40) -> list[Stamp]:
    """All photographic stamps whose longer side has at least ``smallest`` pixels, sorted by name.

    Left out: drawings (chosen by folder, and a few by eye), mirrored copies, and pictures without a transparent pixel.
    """
    root = sources.folder("tuxpaint-stamps")
    found = [_load(path, root) for path in sorted(root.rglob("*.png")) if _photographic(path.relative_to(root))]
    return [stamp for stamp in found if stamp is not None and max(stamp.rgba.shape[:2]) >= smallest]


def _photographic(path: Path) -> bool:
    """Whether the picture is a photograph, by where it lies and what it is called."""
    name = path.with_suffix("").as_posix()
    return DRAWN.isdisjoint(path.parts) and name not in DRAWN_TOO | TWICE and not name.endswith("_mirror")


def _load(path: Path, root: Path) -> Stamp | None:
    """Read and trim one picture; None if it has no outline."""
    with Image.open(path) as picture:
        rgba = np.array(picture.convert("RGBA"))
    solid = rgba[..., 3] > 127
    if solid.all() or not solid.any():
        return None
    rows, columns = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    trimmed = rgba[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].copy()
    return Stamp(path.relative_to(root).with_suffix("").as_posix(), _caption(path), trimmed)


def _caption(path: Path) -> str:
    """First line of the text beside the picture: the English one."""
    text = path.with_suffix(".txt")
    lines = text.read_text("utf-8").splitlines() if text.is_file() else []
    return lines[0].strip() if lines else ""
