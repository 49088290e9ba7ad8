"""Scenes of one real object on a background, with the exact mask of the object: the test set for localisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.nn import functional

from featlib.data.photographs import Photograph, random_square
from featlib.data.stamps import Stamp

__all__ = ["Scenes", "compose", "on_grey"]

Rgba = Float[Tensor, "4 rows columns"]


@dataclass(frozen=True)
class Scenes:
    """A batch of scenes.

    Attributes:
        images: in [0, 1].
        masks: true where the object is.
        names: the stamp in each scene.
        index: its position among the stamps that were given.
        boxes: top, left, bottom, right of the object; the last two exclusive.
    """

    images: Float[Tensor, "n 3 size size"]
    masks: Bool[Tensor, "n size size"]
    names: tuple[str, ...]
    index: Int[Tensor, " n"]
    boxes: Int[Tensor, "n 4"]


def compose(
    stamps: Sequence[Stamp],
    backgrounds: Sequence[Photograph],
    n: int,
    size: int = 224,
    seed: int = 0,
    object_size: tuple[int, int] = (110, 200),
    background: Literal["plain", "natural"] = "plain",
) -> Scenes:
    """Paste one stamp into each of ``n`` scenes, at a random size and place, wholly inside.

    Stamps come in a random order, all of them before any comes again. The same seed gives the same scenes, and fewer
    scenes are the first of more. A mask is the resized alpha channel above one half: exact to the pixel.

    Args:
        stamps: objects to choose from.
        backgrounds: photographs for ``natural``; not read for ``plain``.
        n: number of scenes.
        size: height and width of a scene.
        seed: of everything random.
        object_size: smallest and largest length of the object's longer side, in pixels.
        background: ``plain`` fills each scene with a random colour, ``natural`` with a random square of a photograph.

    Returns:
        The scenes.

    Raises:
        ValueError: if there is nothing to paste or to paste it on, or an object would not fit or not be seen.
    """
    smallest, largest = object_size
    if not 1 <= smallest <= largest <= size:
        raise ValueError(f"object_size must be two lengths in 1..{size}, the smaller first; got {object_size}")
    if background not in {"plain", "natural"}:
        raise ValueError(f"background must be 'plain' or 'natural', got {background!r}")
    if n and not stamps:
        raise ValueError("no stamps given: nothing to paste")
    if n and background == "natural" and not backgrounds:
        raise ValueError("background='natural' needs photographs: pass featlib.data.photographs.natural()")
    order = np.random.default_rng([seed, 0])
    turns = [turn for _ in range(0, n, max(1, len(stamps))) for turn in order.permutation(len(stamps)).tolist()][:n]
    made = []
    for scene, turn in enumerate(turns):
        random = np.random.default_rng([seed, 1, scene])  # its own stream: scene k does not depend on n
        ground = _ground(backgrounds if background == "natural" else (), size, random)
        side = int(random.integers(smallest, largest + 1))
        cut = _resized(stamps[turn].rgba, side)
        if not (cut[3] > 0.5).any():
            raise ValueError(f"{stamps[turn].name} vanishes at {side} pixels: leave it out or enlarge object_size")
        made.append(_paste(cut, ground, random))
    images = torch.stack([image for image, _ in made]) if made else torch.empty(0, 3, size, size)
    masks = torch.stack([mask for _, mask in made]) if made else torch.empty(0, size, size, dtype=torch.bool)
    names = tuple(stamps[turn].name for turn in turns)
    return Scenes(images, masks, names, torch.tensor(turns, dtype=torch.long), _boxes(masks))


def on_grey(stamps: Sequence[Stamp], size: int = 224, share: float = 0.8) -> Float[Tensor, "n 3 size size"]:
    """Each stamp alone in the middle of a grey picture, its longer side ``share`` of the picture's.

    What a network calls these is its own label for the object, whatever the caption says.

    Raises:
        ValueError: if ``share`` is not in (0, 1].
    """
    if not 0 < share <= 1:
        raise ValueError(f"share must lie in (0, 1], got {share}")
    pictures = torch.full((len(stamps), 3, size, size), 0.5)
    for picture, stamp in zip(pictures, stamps, strict=True):
        cut = _resized(stamp.rgba, max(1, round(share * size)))
        height, width = cut.shape[1:]
        _blend(cut, picture, (size - height) // 2, (size - width) // 2)
    return pictures


def _ground(photographs: Sequence[Photograph], size: int, random: np.random.Generator) -> Float[Tensor, "3 size size"]:
    """One background: a square of one of the photographs, or without any a colour."""
    if not photographs:
        colour = torch.from_numpy(random.random(3)).float()
        return colour[:, None, None].expand(3, size, size).clone()
    return random_square(photographs[int(random.integers(len(photographs)))].image, size, random)


def _resized(rgba: UInt8[np.ndarray, "height width 4"], side: int) -> Rgba:
    """Colours times alpha, and alpha, in [0, 1], with the longer side ``side``.

    Colours are multiplied before resizing, so that what is stored under transparent pixels does not bleed in.
    """
    pixels = torch.from_numpy(rgba).permute(2, 0, 1).contiguous().float().div_(255)
    pixels[:3] *= pixels[3:]
    height, width = pixels.shape[1:]
    scale = side / max(height, width)
    new = (max(1, round(height * scale)), max(1, round(width * scale)))
    return functional.interpolate(pixels[None], new, mode="bilinear", antialias=True)[0].clamp(0, 1)


def _paste(
    cut: Rgba, ground: Float[Tensor, "3 size size"], random: np.random.Generator
) -> tuple[Float[Tensor, "3 size size"], Bool[Tensor, "size size"]]:
    """Put the object at a random place; the scene and its mask."""
    size, (height, width) = ground.shape[-1], cut.shape[1:]
    top, left = int(random.integers(size - height + 1)), int(random.integers(size - width + 1))
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[top : top + height, left : left + width] = cut[3] > 0.5
    _blend(cut, ground, top, left)
    return ground, mask


def _blend(cut: Rgba, picture: Float[Tensor, "3 size size"], top: int, left: int) -> None:
    """Lay a cut-out over a picture, in place."""
    height, width = cut.shape[1:]
    window = picture[:, top : top + height, left : left + width]
    window.mul_(1 - cut[3]).add_(cut[:3])


def _boxes(masks: Bool[Tensor, "n size size"]) -> Int[Tensor, "n 4"]:
    """The tight box around each mask."""
    sides = []
    for mask in masks:
        rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
        sides.append([int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1])
    return torch.tensor(sides, dtype=torch.long).reshape(-1, 4)
