"""Heat maps to touch without a kernel: the run gives the maps at their own few pixels, the page draws them.

A layer's map has 49 or 784 values, its picture at the size of a screen a thousand times as many bytes. So the page
gets the values, and scales, colours, thresholds and measures them itself: every combination of picture, layer, method
and class, at any threshold, for the weight of a few photographs.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from jaxtyping import Bool, Float

from featlib.widgets.still import Shown, fieldset, figure

__all__ = ["LEVELS", "Heatmaps", "Scene", "heatmaps"]

LEVELS = tuple(step / 20 for step in range(1, 20))
"""Thresholds offered, as fractions of a map's maximum."""
BLENDS = tuple(step / 4 for step in range(5))
"""Shares of the heat in the picture offered."""
AXES = "picture", "layer", "method", "class", "threshold", "heat"
"""What the sliders choose, in their order."""

Maps = Float[np.ndarray, "classes rows columns"]

_STYLE = """
[data-kind=heatmaps][data-live] [data-state][data-on]{display:flex;flex-wrap:wrap;gap:.6em;width:100%}
[data-kind=heatmaps] [data-over]{position:relative;flex:1 1 14em;max-width:20em;line-height:0}
[data-kind=heatmaps] [data-over] img{width:100%;min-width:0;margin:0}
[data-kind=heatmaps] canvas{position:absolute;inset:0;width:100%;height:100%}
[data-kind=heatmaps] figcaption,[data-kind=heatmaps] [data-reading]{flex-basis:100%;margin:.2em 0}
@media print{[data-kind=heatmaps] [data-over]+[data-over],[data-kind=heatmaps] canvas,
[data-kind=heatmaps] [data-reading]{display:none}}
"""

_SCRIPT = (Path(__file__).parent / "heat.js").read_text("utf8")


@dataclass(frozen=True)
class Scene:
    """One picture and every map over it.

    Attributes:
        name: as the slider says it.
        picture: its HTML is one ``<img>`` with a description.
        classes: what the maps of a method explain, one after the other; as many in every scene.
        maps: by layer, then by method: one map in [0, 1] for each class, or a single one that serves all.
        caption: what stands below; without script it is all that is said of the maps.
        mask: the object that the region over the threshold is compared with, if it is known.
    """

    name: str
    picture: Shown
    classes: Sequence[str]
    maps: Mapping[str, Mapping[str, Maps]]
    caption: str
    mask: Bool[np.ndarray, "height width"] | None = None


@dataclass(frozen=True)
class Heatmaps:
    """Scenes under six sliders; as the last value of a cell it shows itself."""

    scenes: tuple[Scene, ...]
    size: tuple[int, int]
    describe: str

    def html(self) -> str:
        """All of it, complete in itself."""
        first = self.scenes[0]
        steps = (
            [scene.name for scene in self.scenes], list(first.maps), list(next(iter(first.maps.values()))),
            list(first.classes), [f"{level:.2f}" for level in LEVELS], [f"{share:.0%}" for share in BLENDS],
        )  # fmt: skip
        data = {
            "size": self.size,
            "levels": LEVELS,
            "blends": BLENDS,
            "colours": _text((255 * mpl.colormaps["magma"](np.arange(256))[:, :3]).round().astype(np.uint8)),
            "scenes": [_packed(scene) for scene in self.scenes],
        }
        written = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
        return f"<style data-once>{_STYLE}</style><script data-once>{_SCRIPT}</script>" + fieldset(
            self.describe,
            dict(zip(AXES, steps, strict=True)),
            [figure(scene.picture.html(), scene.caption) for scene in self.scenes],
            starts={"threshold": LEVELS.index(0.4), "heat": len(BLENDS) - 1},
            choosing=1,
            inside='<p data-reading aria-live="polite"></p>'
            f'<script type="application/json" data-maps>{written}</script>',
            kind="heatmaps",
            before="featlibHeatmaps();",
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.describe}


def heatmaps(scenes: Sequence[Scene], size: tuple[int, int], describe: str) -> Heatmaps:
    """Let the reader choose picture, layer, method, class, threshold and how much heat lies over the picture.

    The page enlarges the chosen map bilinearly (corners not aligned), shows it over the picture, cuts it at the
    threshold, draws the box around the largest 4-connected part of that region, and says how both meet the mask:
    the figures of :func:`featlib.measures.localisation.mask_iou` and :func:`~featlib.measures.localisation.box_iou`
    at this one threshold, up to the 256 steps to which maps are rounded.

    Args:
        scenes: pictures with their maps.
        size: height and width of the pictures and masks.
        describe: what can be compared here, in a sentence.

    Raises:
        ValueError: if scenes differ in layers, methods or the number of classes, a map leaves [0, 1] or is none, a mask
            has another size, or nothing is described.
    """
    if not scenes:
        raise ValueError("no scenes: give at least one")
    if len(describe.split()) < 4:
        raise ValueError(f"describe={describe!r} does not say what can be compared: write a sentence")
    wanted = _axes(scenes[0])
    for scene in scenes:
        if _axes(scene) != wanted:
            raise ValueError(f"{scene.name!r} has layers, methods and classes {_axes(scene)}, the first scene {wanted}")
        if scene.mask is not None and scene.mask.shape != tuple(size):
            raise ValueError(f"{scene.name!r}: the mask is {scene.mask.shape}, the pictures are {tuple(size)}")
        for layer, methods in scene.maps.items():
            for method, maps in methods.items():
                _check(f"{scene.name!r}, {method} at {layer}", maps, len(scene.classes))
    return Heatmaps(tuple(scenes), (int(size[0]), int(size[1])), describe)


def _axes(scene: Scene) -> tuple[dict[str, list[str]], int]:
    """Methods by layer, and how many classes."""
    return {layer: list(methods) for layer, methods in scene.maps.items()}, len(scene.classes)


def _check(where: str, maps: Maps, classes: int) -> None:
    """Refuse what is not a map for each class, or one for all."""
    if maps.ndim != 3 or len(maps) not in (1, classes) or not maps.size:
        raise ValueError(f"{where}: maps are {maps.shape}, not ({classes} classes or 1, rows, columns)")
    if not (maps.min() >= 0 and maps.max() <= 1):
        raise ValueError(f"{where}: maps must lie in [0, 1] and hold no NaN: rescale them")


def _packed(scene: Scene) -> dict[str, Any]:
    """A scene as the script reads it: all maps as bytes in a row, and where each method's begin."""
    parts, layers, start = [], [], 0
    for methods in scene.maps.values():
        row = []
        for maps in methods.values():
            row.append([start, *maps.shape])
            parts.append((255 * maps).round().astype(np.uint8).ravel())
            start += maps.size
        layers.append(row)
    mask = None if scene.mask is None else _text(np.packbits(scene.mask))
    return {"classes": list(scene.classes), "layers": layers, "maps": _text(np.concatenate(parts)), "mask": mask}


def _text(values: np.ndarray) -> str:
    """Bytes as letters."""
    return base64.b64encode(values.tobytes()).decode()
