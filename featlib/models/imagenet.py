"""What all ImageNet classifiers share: how a picture is prepared, and what the thousand classes are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from featlib.data import sources

__all__ = ["LABELS", "Classifier", "Preparation"]

Pictures = Float[Tensor, "batch 3 height width"]
Prepared = Float[Tensor, "batch 3 side side"]


@dataclass(frozen=True)
class Preparation:
    """How a network wants its pictures.

    Attributes:
        side: height and width at which the network was trained.
        keep: share of the shorter side that the central square covers.
        resize: interpolation; always with antialiasing.
        mean: subtracted from each colour, in units of [0, 1].
        std: then divided by.
    """

    side: int = 224
    keep: float = 224 / 256
    resize: Literal["bilinear", "bicubic"] = "bilinear"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)

    def square(self, height: int, width: int) -> tuple[int, int, int]:
        """What is kept of a picture of this size: a central square, by its top, its left and its side."""
        if height == width == self.side:
            return 0, 0, self.side
        side = max(1, round(self.keep * min(height, width)))
        return (height - side) // 2, (width - side) // 2, side


class Classifier(nn.Module):
    """A network that maps prepared pictures to logits, and knows how to prepare them."""

    preparation = Preparation()

    def preprocess(self, images: Pictures) -> Prepared:
        """From pictures in [0, 1] of any size to what ``forward`` wants: ``normalise(crop(images))``."""
        return self.normalise(self.crop(images))

    def crop(self, images: Pictures) -> Prepared:
        """The central square at the side the network was trained on, still in [0, 1].

        Pictures that have this size already are returned as they are, so that masks made with them still fit.
        """
        want = self.preparation
        height, width = images.shape[-2:]
        if height == width == want.side:
            return images
        top, left, square = want.square(height, width)
        inner = images[..., top : top + square, left : left + square]
        size = (want.side, want.side)
        return functional.interpolate(inner, size, mode=want.resize, antialias=True, align_corners=False).clamp(0, 1)

    def crop_boxes(self, boxes: Int[Tensor, "objects 4"], height: int, width: int) -> Int[Tensor, "seen 4"]:
        """Where boxes in a picture of this size come to lie in ``crop`` of it.

        A box gets the pixels of which it covers half or more, and at least one. Boxes are cut at the borders of the
        crop; those that lie outside of it are left out, which may leave none.

        Args:
            boxes: top, left, bottom, right of each, in pixels of the picture; the last two excluded.
            height: of the picture, before it was cropped.
            width: of it.
        """
        top, left, square = self.preparation.square(height, width)
        side = self.preparation.side
        inside = (boxes - boxes.new_tensor([top, left, top, left])).clamp(0, square)
        inside = inside[(inside[:, 2:] > inside[:, :2]).all(1)]
        nearest = (2 * inside * side + square) // (2 * square)
        first = nearest[:, :2].clamp(max=side - 1)
        return torch.cat([first, nearest[:, 2:].maximum(first + 1)], 1)

    def normalise(self, images: Pictures) -> Pictures:
        """Shift and scale the colours of pictures in [0, 1], at any size."""
        mean, std = (
            torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]
            for values in (self.preparation.mean, self.preparation.std)
        )
        return (images - mean) / std


class _Labels(Sequence[str]):
    """Names of the 1000 classes in the order of the logits, read when first asked for."""

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...
    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        return _names()[index]

    def __len__(self) -> int:
        return 1000


LABELS: Sequence[str] = _Labels()
"""Short English name of each class; two pairs share theirs (134 and 517 are cranes, 638 and 639 maillots).

Needs the source ``imagenet-labels``; a DataError says so if it is not here.
"""


@cache
def _names() -> tuple[str, ...]:
    """The first thousand lines are the challenge's classes; their order in the logits is that of the WordNet ids."""
    where = sources.folder("imagenet-labels")
    ids, names = (
        (where / f"imagenet.{part}.list").read_text("utf-8").splitlines()[:1000] for part in ("labels", "shortnames")
    )
    return tuple(name for _, name in sorted(zip(ids, names, strict=True)))
