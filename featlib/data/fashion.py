"""Fashion-MNIST :cite:p:`xiao2017fashion`: grey pictures of clothes, 28 by 28, in ten balanced classes."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from featlib.data import sources

__all__ = ["CLASSES", "COARSE", "FOOTWEAR", "Garments", "coarse", "garments"]

CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
FOOTWEAR = (5, 7, 9)
"""Classes of what is worn on feet."""
COARSE = {"tops": (0, 2, 4, 6), "trousers": (1,), "dresses": (3,), "shoes": FOOTWEAR, "bags": (8,)}
"""The ten classes in five groups of what is confused with each other."""

_PREFIX = {"train": "train", "test": "t10k"}
_HEADER = {"images": 16, "labels": 8}


@dataclass(frozen=True)
class Garments:
    """Pictures in [0, 1] and their classes."""

    images: Float[Tensor, "garments 28 28"]
    labels: Int[Tensor, " garments"]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.labels)

    def only(self, classes: Sequence[int]) -> Garments:
        """Those of some classes.

        Raises:
            ValueError: for a class that does not exist.
        """
        if not set(classes) <= set(range(len(CLASSES))):
            raise ValueError(f"classes are numbered from 0 to {len(CLASSES) - 1}, got {list(classes)}")
        chosen = torch.isin(self.labels, torch.tensor(list(classes)))
        return Garments(self.images[chosen], self.labels[chosen])


def garments(split: Literal["train", "test"] = "train", most: int | None = None, seed: int | None = None) -> Garments:
    """60,000 garments to learn from, or 10,000 to test on.

    Args:
        split: which.
        most: keep only so many.
        seed: shuffle them first, so that ``most`` is a random part.

    Raises:
        ValueError: for an unknown split or a ``most`` that is not positive.
        DataError: if the data is not on this machine; the message says how to fetch it.
    """
    if split not in _PREFIX:
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    if most is not None and most < 1:
        raise ValueError(f"most must be positive, got {most}")
    images, labels = (_read(split, kind) for kind in ("images", "labels"))
    order = np.arange(len(labels)) if seed is None else np.random.default_rng(seed).permutation(len(labels))
    order = order[:most]
    pixels = torch.from_numpy(images.reshape(-1, 28, 28)[order]).float() / 255
    return Garments(pixels, torch.from_numpy(labels[order].astype(np.int64)))


def coarse(labels: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    """The place in ``COARSE`` of each class.

    Example:
        >>> coarse(torch.tensor([0, 1, 2, 9])).tolist()
        [0, 1, 0, 3]

    Raises:
        ValueError: for a class that does not exist.
    """
    if labels.numel() and not (0 <= int(labels.min()) and int(labels.max()) < len(CLASSES)):
        raise ValueError(f"classes are numbered from 0 to {len(CLASSES) - 1}")
    group = torch.empty(len(CLASSES), dtype=torch.long)
    for place, classes in enumerate(COARSE.values()):
        group[list(classes)] = place
    return group.to(labels.device)[labels]


def _read(split: str, kind: str) -> np.ndarray:
    """The bytes of one file behind its header."""
    dimensions = 3 if kind == "images" else 1
    path = sources.folder("fashion-mnist") / f"{_PREFIX[split]}-{kind}-idx{dimensions}-ubyte.gz"
    return _unpacked(path, path.stat().st_mtime_ns, _HEADER[kind])


@lru_cache(maxsize=4)
def _unpacked(path: Path, _written: int, header: int) -> np.ndarray:
    """The same, unpacked once: chapters ask for a part for each of their seeds."""
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)
