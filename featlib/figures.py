"""One look for every plot, and no picture without a description made from the data that drew it."""

from __future__ import annotations

import base64
import html
import io
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from jaxtyping import Bool, Float
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image as PillowImage
from scipy import ndimage

__all__ = [
    "INK",
    "OURS",
    "PAPER",
    "RIVAL",
    "SERIES",
    "Picture",
    "curves",
    "image_grid",
    "overlay",
    "picture",
    "show",
    "strips",
    "style",
]

OURS, RIVAL, PAPER, INK = "#0072b2", "#d55e00", "#009e73", "#4d4d4d"
"""The colours that carry meaning, from the colour-blind safe set of Okabe and Ito."""

SERIES = (OURS, RIVAL, PAPER, "#aa4499", "#b8860b", "#3a8fc1", INK)
"""Lines in the order they are drawn; each has a contrast of 3:1 or more on white."""

Image = Float[np.ndarray, "height width 3"]
Heat = Float[np.ndarray, "height width"]


def style() -> None:
    """Set the book's look for all plots that follow. White paper on purpose: it stays readable on a dark page."""
    mpl.rcParams.update(
        {
            "figure.dpi": 110,
            "figure.constrained_layout.use": True,
            "font.size": 9.5,
            "axes.titlesize": 9.5,
            "axes.titlelocation": "left",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "axes.prop_cycle": cycler(color=SERIES),
            "image.cmap": "magma",
            "legend.frameon": False,
        }
    )


LIGHT = 55_000
"""Bytes of one picture: what is heavier at full fineness is drawn again, coarser. Lines never are, many photographs."""
FINENESS = ((2.0, 80), (1.5, 75), (1.5, 60), (1.2, 50))
"""Pixels for each point of a screen, and the quality of the compression."""
COLOURS, SAME = 64, 0.5
"""Colours that are enough for line art, and the mean difference (of 255) up to which that is the same picture."""


@dataclass(frozen=True)
class Picture:
    """A finished picture with its description; as the last value of a cell it shows itself."""

    webp: bytes
    describe: str
    width: int

    @property
    def data(self) -> str:
        """The picture's bytes as text."""
        return base64.b64encode(self.webp).decode()

    def html(self) -> str:
        """The picture as HTML, complete in itself."""
        described = html.escape(self.describe, quote=True)
        source = f"data:image/webp;base64,{self.data}"
        width, height = PillowImage.open(io.BytesIO(self.webp)).size
        shape = (
            f'width="{self.width}" height="{round(height * self.width / width)}"'  # its place is kept until it comes
        )
        return f'<img class="featlib-figure" src="{source}" alt="{described}" {shape}>'

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "image/webp": self.data, "text/plain": self.describe}


def show(figure: Figure, describe: str) -> Picture:
    """Finish a figure: draw it, close it, and hand it back with its description.

    Args:
        figure: a matplotlib figure.
        describe: a sentence that says what the picture *shows*, built from the numbers that drew it.

    Raises:
        ValueError: if the description is missing, or is a file name or a word or two.
    """
    _check_description(describe)
    finest = _raster(figure, FINENESS[0][0])
    webp = _line_art(finest) or _photographs(figure, finest)
    width = round(figure.get_figwidth() * figure.dpi)
    plt.close(figure)
    return Picture(webp, describe, width)


def _raster(figure: Figure, scale: float) -> PillowImage.Image:
    """A figure as pixels, at some multiple of its resolution: the dear part of showing it."""
    canvas, dpi = FigureCanvasAgg(figure), figure.dpi
    figure.set_dpi(scale * dpi)
    canvas.draw()  # type: ignore[no-untyped-call]
    figure.set_dpi(dpi)
    pixels = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    return PillowImage.fromarray(pixels).convert("RGB")


def _line_art(drawn: PillowImage.Image) -> bytes | None:
    """A picture of few colours as webp without loss: half the bytes and a third of the time. None for any other."""
    none = PillowImage.Dither.NONE
    part = drawn.resize((max(1, drawn.width // 2), max(1, drawn.height // 2)), PillowImage.Resampling.NEAREST)
    few = drawn.quantize(palette=part.quantize(COLOURS, dither=none), dither=none).convert("RGB")
    if SAME < _difference(few, drawn) < 4 * SAME:  # the colours of a quarter of the pixels nearly did
        few = drawn.quantize(COLOURS, dither=none).convert("RGB")
    if _difference(few, drawn) > SAME:
        return None
    encoded = io.BytesIO()
    few.save(encoded, "webp", lossless=True, quality=60, method=4)
    return encoded.getvalue()


def _difference(one: PillowImage.Image, other: PillowImage.Image) -> float:
    """Mean difference of two pictures, in steps of 255."""
    return float(np.abs(np.asarray(one, np.int16) - np.asarray(other, np.int16)).mean())


def _photographs(figure: Figure, finest: PillowImage.Image) -> bytes:
    """The finest picture with loss that is light enough, or else the coarsest; drawn once for each resolution."""
    figure.set_layout_engine("none")  # where everything lies is found already, and the same at any resolution
    rasters = {FINENESS[0][0]: finest}
    webp = b""
    for scale, quality in FINENESS:
        if scale not in rasters:
            rasters[scale] = _raster(figure, scale)
        webp = _lossy(rasters[scale], quality)
        if len(webp) <= LIGHT:
            break
    return webp


def _lossy(drawn: PillowImage.Image, quality: int) -> bytes:
    """Pixels as webp with loss."""
    encoded = io.BytesIO()
    drawn.save(encoded, "webp", quality=quality, method=6)
    return encoded.getvalue()


def overlay(image: Image, heat: Heat, strength: float = 0.6) -> Image:
    """The picture with a heat map over it: what the map leaves out fades to grey and dark, what it marks glows."""
    colours = mpl.colormaps["magma"](heat)[..., :3]
    grey = image.mean(-1, keepdims=True).repeat(3, -1)
    weight = strength * heat[..., None] + 0.25
    blended: np.ndarray = (1 - weight) * grey + weight * colours
    return blended.clip(0, 1)


def image_grid(
    rows: Sequence[Sequence[Image]], columns: Sequence[str], labels: Sequence[str] = (), size: float = 1.25
) -> Figure:
    """Pictures in rows and columns, a caption over each column and a label beside each row.

    Labels take their place from the pictures, not from the page: with them it is ``size`` inches for each column wide.
    """
    count = len(rows[0])
    beside = 0.085 * max((len(line) for label in labels for line in label.split("\n")), default=0)  # inches, about
    side = max(0.4 * size, size - beside / count)
    tall = side * np.shape(rows[0][0])[0] / np.shape(rows[0][0])[1]
    figure, axes = plt.subplots(len(rows), count, figsize=(size * count, tall * len(rows) + 0.25), squeeze=False)
    for number, (line, row) in enumerate(zip(axes, rows, strict=True)):
        for axis, image in zip(line, row, strict=True):
            axis.imshow(image, interpolation="nearest")
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
        if labels:
            line[0].set_ylabel(labels[number], rotation=0, ha="right", va="center")
    for axis, caption in zip(axes[0], columns, strict=True):
        axis.set_title(caption, loc="center", fontsize=8)
    return figure


def strips(
    axis: Axes, groups: Mapping[str, Sequence[float]], mark: float | None = None, mark_label: str = "paper"
) -> None:
    """Every seed a dot, a line of dots for each group, a bar at the mean; the paper's figure or the rule as a line."""
    for height, (_, values) in enumerate(groups.items()):
        axis.plot(values, [height] * len(values), "o", color=OURS, alpha=0.55, markersize=5, markeredgewidth=0)
        axis.plot([np.mean(values)] * 2, [height - 0.28, height + 0.28], color=INK, linewidth=1.5)
    if mark is not None:
        axis.axvline(mark, color=PAPER, linestyle="--", linewidth=1.2)
        axis.annotate(
            mark_label,
            (mark, -0.6),
            color=PAPER,
            fontsize=8,
            ha="left",
            va="center",
            xytext=(3, 0),
            textcoords="offset points",
            annotation_clip=False,
        )
    axis.set_yticks(range(len(groups)), list(groups))
    axis.set_ylim(len(groups) - 0.5, -0.75)


def curves(axis: Axes, steps: Sequence[float | int], runs: Mapping[str, Float[np.ndarray, "seeds steps"]]) -> None:
    """A line at the mean over seeds for each group, named at its end, in a band from the lowest to the highest seed."""
    for colour, (name, values) in zip(itertools.cycle(SERIES), runs.items(), strict=False):
        mean = values.mean(0)
        axis.plot(steps, mean, color=colour, label=name)
        axis.fill_between(steps, values.min(0), values.max(0), color=colour, alpha=0.18, linewidth=0)
        axis.annotate(name, (steps[-1], mean[-1]), color=colour, xytext=(4, 0), textcoords="offset points", va="center")


def picture(image: Image, describe: str) -> Picture:
    """One image as it is, pixel for pixel, with its description; light enough for a slider with many states.

    Raises:
        ValueError: if the description is missing, or is a file name or a word or two.
    """
    _check_description(describe)
    buffer = io.BytesIO()
    pixels = (255 * image.clip(0, 1)).round().astype(np.uint8)
    PillowImage.fromarray(pixels).save(buffer, "webp", quality=75, method=6)
    return Picture(buffer.getvalue(), describe, image.shape[1])


def _check_description(describe: str) -> None:
    """Refuse what says nothing about the data."""
    if len(describe.split()) < 4:
        raise ValueError(f"describe={describe!r} does not say what the figure shows: build a sentence from its data")


def outlined(image: Image, mask: Bool[np.ndarray, "height width"], width: int = 2) -> Image:
    """The picture with the outline of a region in white."""
    edge = mask & ~ndimage.binary_erosion(mask, iterations=width)
    return np.where(edge[..., None], 1.0, image)


def boxed(image: Image, box: tuple[int, int, int, int], width: int = 2) -> Image:
    """The picture with a box (top, left, bottom, right; ends excluded) in light blue."""
    top, left, bottom, right = box
    mask = np.zeros(image.shape[:2], dtype=bool)
    mask[top:bottom, left:right] = True
    mask[top + width : bottom - width, left + width : right - width] = False
    return np.where(mask[..., None], np.array(mpl.colors.to_rgb("#56b4e9")), image)
