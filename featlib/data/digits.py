"""Garments with a handwritten digit pasted over a corner: two features in one picture, one of them easy to disturb.

The digits are scikit-learn's, 8 by 8, enlarged to 14 by 14; those of training and test are different ones. A view is
the composite under an augmentation that moves it, changes its brightness, adds noise, and sometimes drops the digit.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from featlib.data import sources
from featlib.data.fashion import Garments

__all__ = ["SIDE", "DigitOnGarment", "digits", "paste_digits"]

SIDE = 14
"""Side of a pasted digit: a quadrant of the garment."""
N_TRAIN = 1300
"""Digits to learn from; the other 497 are for tests."""
SHIFT, BRIGHTNESS, NOISE = 2, 0.4, 0.1
"""How far a view moves, the largest change of its brightness, the deviation of its noise."""


def digits(split: Literal["train", "test"] = "train") -> tuple[Float[Tensor, "n 8 8"], Int[Tensor, " n"]]:
    """Handwritten digits in [0, 1] and what they are.

    Raises:
        ValueError: for an unknown split.
    """
    if split not in {"train", "test"}:
        raise ValueError(f"split must be 'train' or 'test', got {split!r}")
    text = gzip.decompress((sources.folder("digits") / "digits.csv.gz").read_bytes()).decode()
    table = np.array([line.split(",") for line in text.split()], dtype=np.float32)
    part = slice(N_TRAIN) if split == "train" else slice(N_TRAIN, None)
    pixels = torch.from_numpy(table[part, :-1]).reshape(-1, 8, 8) / 16
    return pixels, torch.from_numpy(table[part, -1].astype(np.int64))


@dataclass(frozen=True)
class DigitOnGarment:
    """Pictures of two features.

    Attributes:
        bare: garments without a digit.
        marked: the same with a digit over the top left quadrant.
        garment: class of each garment.
        digit: what each digit is; independent of the garment.
    """

    bare: Float[Tensor, "n 28 28"]
    marked: Float[Tensor, "n 28 28"]
    garment: Int[Tensor, " n"]
    digit: Int[Tensor, " n"]

    def __len__(self) -> int:
        """How many there are."""
        return len(self.garment)

    def to(self, device: str | torch.device) -> DigitOnGarment:
        """The same on another device."""
        return DigitOnGarment(*(t.to(device) for t in (self.bare, self.marked, self.garment, self.digit)))

    def views(
        self, rows: Int[Tensor, " batch"], drop: float, generator: torch.Generator
    ) -> Float[Tensor, "2 batch 784"]:
        """Two independent augmentations of some pictures, flattened.

        Each moves by up to two pixels both ways, is multiplied by 0.6 to 1.4, gets normal noise, and loses its digit
        with probability ``drop``. Every picture has its own.

        Raises:
            ValueError: if ``drop`` is no probability.
        """
        return self.views_at(rows, [drop], generator)[0]

    def views_at(
        self, rows: Int[Tensor, " batch"], drops: Sequence[float], generator: torch.Generator
    ) -> Float[Tensor, "rates 2 batch 784"]:
        """:meth:`views` at several rates from the same draws: they differ in the digits that are lost, and only there.

        Raises:
            ValueError: if a rate is no probability.
        """
        if not all(0 <= drop <= 1 for drop in drops):
            raise ValueError(f"drop must lie in [0, 1], got {list(drops)}")
        many, device = (2, len(rows)), self.bare.device
        random = torch.rand(*many, 2, generator=generator).to(device)
        shift = torch.randint(2 * SHIFT + 1, (*many, 2), generator=generator).to(device)
        noise = torch.randn(*many, 784, generator=generator).mul_(NOISE).to(device)
        side = torch.arange(28, device=device)
        wide = 28 + 2 * SHIFT
        within = (side[:, None] * wide + side).flatten()
        place = within + (shift[..., :1] * wide + shift[..., 1:])
        bright = 1 - BRIGHTNESS + 2 * BRIGHTNESS * random[..., 1:]

        def seen(pictures: Tensor) -> Tensor:
            padded = functional.pad(pictures[rows], (SHIFT,) * 4).flatten(1)
            return padded.expand(2, -1, -1).gather(2, place).mul_(bright).add_(noise)

        gone = random[..., :1] < torch.tensor(drops, device=device)[:, None, None, None]
        return torch.where(gone, seen(self.bare), seen(self.marked))


def paste_digits(garments: Garments, split: Literal["train", "test"] = "train", seed: int = 0) -> DigitOnGarment:
    """Give each garment a random digit of a split, over its top left quadrant.

    Raises:
        ValueError: for an unknown split.
    """
    pixels, kinds = digits(split)
    large = functional.interpolate(pixels[:, None], (SIDE, SIDE), mode="bilinear", align_corners=False)[:, 0]
    chosen = torch.randint(len(kinds), (len(garments),), generator=torch.Generator().manual_seed(seed))
    marked = garments.images.clone()
    marked[:, :SIDE, :SIDE] = large[chosen]
    return DigitOnGarment(garments.images, marked, garments.labels, kinds[chosen])
