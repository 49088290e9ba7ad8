"""Scenes of two objects, each with its own exact mask: a map without a class cannot tell which one was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from featlib.data.photographs import Photograph
from featlib.data.scenes import _blend, _boxes, _ground, _resized
from featlib.data.stamps import Stamp

__all__ = ["Pairs", "compose_pairs"]


@dataclass(frozen=True)
class Pairs:
    """A batch of scenes with two objects.

    Attributes:
        images: in [0, 1].
        masks: true where the first and where the second object is; they do not meet.
        names: the two stamps in each scene.
        index: their positions among the stamps that were given.
        boxes: top, left, bottom, right of each object; the last two exclusive.
    """

    images: Float[Tensor, "n 3 size size"]
    masks: Bool[Tensor, "n 2 size size"]
    names: tuple[tuple[str, str], ...]
    index: Int[Tensor, "n 2"]
    boxes: Int[Tensor, "n 2 4"]


def compose_pairs(
    stamps: Sequence[Stamp],
    labels: Sequence[int],
    backgrounds: Sequence[Photograph],
    n: int,
    size: int = 224,
    seed: int = 0,
    object_size: tuple[int, int] = (70, 110),
    background: Literal["plain", "natural"] = "plain",
) -> Pairs:
    """Paste two stamps of different labels into each of ``n`` scenes, one in each half, at random size and place.

    The halves lie beside or above each other, and either object may be in either. The same seed gives the same scenes,
    and fewer scenes are the first of more. Which of the two comes first is random.

    Args:
        stamps: objects to choose from.
        labels: of each stamp; the two objects of a scene differ in theirs.
        backgrounds: photographs for ``natural``; not read for ``plain``.
        n: number of scenes.
        size: height and width of a scene.
        seed: of everything random.
        object_size: smallest and largest length of an object's longer side, in pixels, at most half of ``size``.
        background: as in :func:`featlib.data.scenes.compose`.

    Returns:
        The scenes.

    Raises:
        ValueError: if there are no two labels, or nothing to paste on, or an object would not fit or not be seen.
    """
    _check(stamps, labels, backgrounds, n, size, object_size, background)
    made = []
    for scene in range(n):
        random = np.random.default_rng([seed, 2, scene])  # its own stream: scene k does not depend on n
        first = int(random.integers(len(stamps)))
        others = [other for other, label in enumerate(labels) if label != labels[first]]
        pair = (first, others[int(random.integers(len(others)))])
        ground = _ground(backgrounds if background == "natural" else (), size, random)
        made.append((ground, _paste_both([stamps[one] for one in pair], ground, object_size, random), pair))
    images = torch.stack([image for image, _, _ in made]) if made else torch.empty(0, 3, size, size)
    masks = torch.stack([both for _, both, _ in made]) if made else torch.empty(0, 2, size, size, dtype=torch.bool)
    index = torch.tensor([pair for _, _, pair in made], dtype=torch.long).reshape(-1, 2)
    names = tuple((stamps[first].name, stamps[second].name) for first, second in index.tolist())
    return Pairs(images, masks, names, index, _boxes(masks.flatten(0, 1)).reshape(-1, 2, 4))


def _paste_both(
    stamps: Sequence[Stamp], ground: Float[Tensor, "3 size size"], sizes: tuple[int, int], random: np.random.Generator
) -> Bool[Tensor, "2 size size"]:
    """Paste two stamps into the halves of a picture, in place; their masks."""
    size = ground.shape[-1]
    half = size // 2
    beside, swap = bool(random.integers(2)), int(random.integers(2))
    masks = torch.zeros(2, size, size, dtype=torch.bool)
    for place, stamp in enumerate(stamps):
        side = int(random.integers(sizes[0], sizes[1] + 1))
        cut = _resized(stamp.rgba, side)
        if not bool((cut[3] > 0.5).any()):
            raise ValueError(f"{stamp.name} vanishes at {side} pixels: leave it out or enlarge object_size")
        height, width = cut.shape[1:]
        offset = half * (place ^ swap)
        along, across = (width, height) if beside else (height, width)
        start = offset + int(random.integers(half - along + 1))
        other = int(random.integers(size - across + 1))
        top, left = (other, start) if beside else (start, other)
        _blend(cut, ground, top, left)
        masks[place, top : top + height, left : left + width] = cut[3] > 0.5
    return masks


def _check(
    stamps: Sequence[Stamp],
    labels: Sequence[int],
    backgrounds: Sequence[Photograph],
    n: int,
    size: int,
    object_size: tuple[int, int],
    background: str,
) -> None:
    """Refuse what cannot be composed."""
    smallest, largest = object_size
    if not 1 <= smallest <= largest <= size // 2:
        raise ValueError(f"object_size must be two lengths in 1..{size // 2}, the smaller first; got {object_size}")
    if background not in {"plain", "natural"}:
        raise ValueError(f"background must be 'plain' or 'natural', got {background!r}")
    if len(labels) != len(stamps):
        raise ValueError(f"{len(stamps)} stamps need {len(stamps)} labels, got {len(labels)}")
    if n and len(set(labels)) < 2:
        raise ValueError("two objects need stamps of at least two labels")
    if n and background == "natural" and not backgrounds:
        raise ValueError("background='natural' needs photographs: pass featlib.data.photographs.natural()")
