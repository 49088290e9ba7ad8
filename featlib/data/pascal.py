"""Boxes around objects as PASCAL VOC :cite:p:`everingham2010pascal` writes them: one XML file for each picture."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import torch
from jaxtyping import Int
from torch import Tensor

__all__ = ["Annotation", "read"]

LONGEST = 1_000_000
"""Bytes that are read at most; an annotation has a few thousand."""


@dataclass(frozen=True)
class Annotation:
    """What a file says.

    Attributes:
        size: height and width of the picture that was annotated.
        names: of the objects.
        boxes: first row, first column, last row, last column of each object, counted from 1.
    """

    size: tuple[int, int]
    names: tuple[str, ...]
    boxes: tuple[tuple[int, ...], ...]

    def scaled(self, height: int, width: int) -> Int[Tensor, "objects 4"]:
        """The boxes in pixels of a copy of the picture: top, left, bottom, right, counted from 0, ends excluded.

        What sticks out of the picture is cut off; a pixel of each box is always left.

        Raises:
            ValueError: if a picture of these sides is no copy of the one that was annotated.
        """
        rows, columns = self.size
        if abs(height * columns - width * rows) > max(rows, columns):  # more than a copy's sides are rounded by
            sizes = f"it is {width} by {height} pixels, and its annotation of {columns} by {rows}"
            raise ValueError(f"{sizes}: it was cropped, turned or stretched")
        sides = torch.tensor([height, width])
        scale = sides / torch.tensor(self.size, dtype=torch.float64)
        ends = torch.tensor(self.boxes) - torch.tensor([1, 1, 0, 0])
        nearest = (ends * scale.repeat(2)).round().long()
        first = nearest[:, :2].clamp(min=0).minimum(sides - 1)
        return torch.cat([first, nearest[:, 2:].minimum(sides).maximum(first + 1)], 1)


def read(file: Path) -> Annotation:
    """What an annotation says. Nothing in it is expanded, and it can refer to no other file.

    Raises:
        ValueError: if it is not XML, declares a document type, has no object, lacks a number, or a box has no pixel in
            the picture.
        OSError: if it cannot be read.
    """
    with file.open("rb") as stream:
        text = stream.read(LONGEST).decode()
    if re.search(r"<!(DOCTYPE|ENTITY)", text):  # as text, so that no encoding can hide it
        raise ValueError("it declares a document type, as no annotation does: do not trust it")
    try:
        tree = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise ValueError(f"it is not XML ({error})") from error
    objects = tree.findall("object")
    if not objects:
        raise ValueError("it has no object")
    height, width = _numbers(tree, ("size/height", "size/width"))
    boxes = [_numbers(entry, ("bndbox/ymin", "bndbox/xmin", "bndbox/ymax", "bndbox/xmax")) for entry in objects]
    for top, left, bottom, right in boxes:
        if not (1 <= bottom >= top <= height and 1 <= right >= left <= width):
            raise ValueError(f"the box from ({left}, {top}) to ({right}, {bottom}) has no pixel in {width} by {height}")
    return Annotation((height, width), tuple(entry.findtext("name", "").strip() for entry in objects), tuple(boxes))


def _numbers(tree: ElementTree.Element, paths: Iterable[str]) -> tuple[int, ...]:
    """The whole numbers at these places."""
    texts = {path: tree.findtext(path, "").strip() for path in paths}
    for path, text in texts.items():
        if not re.fullmatch(r"-?[0-9]{1,6}", text):
            raise ValueError(f"{path} is {text[:20]!r}, no whole number" if text else f"{path} is missing")
    return tuple(map(int, texts.values()))
