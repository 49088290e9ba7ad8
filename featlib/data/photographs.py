"""Photographs as float tensors in [0, 1]: twenty with ImageNet labels, and a few that come with our dependencies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.nn import functional

from featlib.data import sources

__all__ = ["BACKGROUNDS", "Photograph", "centre_square", "crops", "imagenet_samples", "natural"]

Picture = Float[Tensor, "3 height width"]

NATURAL = {
    "astronaut": "scikit-image", "brick": "scikit-image", "chelsea": "scikit-image", "coffee": "scikit-image",
    "grass": "scikit-image", "gravel": "scikit-image", "motorcycle_left": "scikit-image", "rocket": "scikit-image",
    "china": "scikit-learn", "flower": "scikit-learn",
}  # fmt: skip
"""Where each picture of :func:`natural` comes from."""

BACKGROUNDS = ("grass", "gravel", "brick", "coffee", "rocket", "motorcycle_left", "china", "flower")
"""Those without a face or an animal, fit to paste objects on."""


@dataclass(frozen=True)
class Photograph:
    """One picture at its own size; ``label`` is the index of its ImageNet class, if it has one."""

    name: str
    image: Picture
    label: int | None = None


def imagenet_samples() -> list[Photograph]:
    """Twenty labelled photographs of the validation set, as the foolbox package carries them.

    They differ in size: prepare them one by one, ``model.preprocess(photo.image[None])``.
    """
    paths = sorted(sources.folder("imagenet-samples").glob("imagenet_*.jpg"))
    return [Photograph(path.stem, read(path), int(path.stem.split("_")[-1])) for path in paths]


def natural(names: Iterable[str] = BACKGROUNDS) -> list[Photograph]:
    """Photographs of scikit-image and scikit-learn by name (see ``NATURAL``); grey ones get three equal channels.

    Raises:
        ValueError: for a name that is not in ``NATURAL``.
    """
    found = []
    for name in names:
        if name not in NATURAL:
            raise ValueError(f"no photograph {name!r}; there are {', '.join(NATURAL)}")
        (path,) = sources.folder(NATURAL[name]).glob(f"{name}.*g")
        found.append(Photograph(name, read(path)))
    return found


def centre_square(image: Picture, size: int) -> Float[Tensor, "3 size size"]:
    """The largest central square, resized with antialiasing."""
    height, width = image.shape[1:]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return _resize(image[:, top : top + side, left : left + side], size)


def crops(image: Picture, n: int, size: int, seed: int = 0) -> Float[Tensor, "n 3 size size"]:
    """Random squares, from ``size`` pixels up to the shorter side wide, each resized to ``size``."""
    random = np.random.default_rng(seed)
    return torch.stack([random_square(image, size, random) for _ in range(n)])


def random_square(image: Picture, size: int, random: np.random.Generator) -> Float[Tensor, "3 size size"]:
    """One square at random scale and place, resized to ``size``; a picture smaller than that is enlarged."""
    height, width = image.shape[1:]
    largest = min(height, width)
    side = int(random.integers(min(size, largest), largest + 1))
    top, left = int(random.integers(height - side + 1)), int(random.integers(width - side + 1))
    return _resize(image[:, top : top + side, left : left + side], size)


def _resize(image: Picture, size: int) -> Float[Tensor, "3 size size"]:
    """Bilinear with antialiasing."""
    return functional.interpolate(image[None], (size, size), mode="bilinear", antialias=True)[0].clamp(0, 1)


def read(path: Path) -> Picture:
    """Decode a file to three channels in [0, 1]."""
    with Image.open(path) as picture:
        pixels = np.array(picture.convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
