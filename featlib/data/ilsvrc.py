"""Photographs with boxes around their objects: a reader's own copy of ImageNet's validation set (ILSVRC-2012).

Nothing of it comes with the book, and nothing here downloads it: ImageNet :cite:p:`russakovsky2015imagenet` gives it to
whoever accepts its terms of access, at image-net.org, in two archives. Unpack both below one folder:
``ILSVRC2012_img_val.tar`` (the pictures) and ``ILSVRC2012_bbox_val_v3.tgz`` (the boxes). Kaggle's copy, with folders
``ILSVRC/Data`` and ``ILSVRC/Annotations``, does as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from featlib.data import pascal, photographs, sources
from featlib.data.sources import DataError

__all__ = ["Localised", "localised"]

NAME = re.compile(r"(ILSVRC2012_val_\d{8})\.(jpe?g|xml)", re.IGNORECASE)
PASSED_OVER = {"train", "test"}
"""Folders of the other parts, with more than a million files in them."""
PICTURES, BOXES = "ILSVRC2012_img_val.tar", "ILSVRC2012_bbox_val_v3.tgz"


@dataclass(frozen=True)
class Localised:
    """One picture at its own size, its class, and the boxes around the objects of that class.

    Attributes:
        name: of the file, without ending.
        image: in [0, 1].
        label: index of its class, as in the logits of all our ImageNet networks.
        boxes: top, left, bottom, right of each object, in pixels of ``image``; the last two excluded.
    """

    name: str
    image: Float[Tensor, "3 height width"]
    label: int
    boxes: Int[Tensor, "objects 4"]


class _Pictures(Sequence[Localised]):
    """Annotations are in memory, pictures are decoded when asked for: all of them would fill 100 GB."""

    def __init__(self, entries: Sequence[tuple[Path, int, pascal.Annotation]]) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Localised: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Localised]: ...
    def __getitem__(self, index: int | slice) -> Localised | Sequence[Localised]:
        if isinstance(index, slice):
            return _Pictures(self._entries[index])
        file, label, annotation = self._entries[index]
        try:
            image = photographs.read(file)
            boxes = annotation.scaled(image.shape[1], image.shape[2])
        except (OSError, SyntaxError, ValueError) as error:  # the first two are Pillow's
            raise DataError(f"{file} cannot be used: {error}; unpack {PICTURES} again") from error
        return Localised(file.stem, image, label, boxes)


def localised(root: str | Path, count: int | None = None, seed: int = 0) -> Sequence[Localised]:
    """Pictures of a reader's copy of ILSVRC-2012's validation set, with their boxes.

    Pictures ``ILSVRC2012_val_00000001.JPEG`` and annotations ``ILSVRC2012_val_00000001.xml`` are found by name, in any
    folder below ``root``; folders called ``train`` or ``test`` are not looked into. A part of the set will do, if each
    picture in it has its annotation. The challenge leaves 1,762 pictures with poor boxes out of its own score; here
    they are not left out.

    A file gives a box by its first and last pixel, counted from 1, in the picture that was annotated. Where the picture
    here is a smaller or larger copy of that one, boxes are scaled with it. What sticks out of the picture is cut off.

    Args:
        root: the folder, which is only read.
        count: how many, in a random order: fewer are the first of more. None for all, by name.
        seed: of that order.

    Returns:
        The pictures, each decoded whenever it is asked for. Their annotations have been read.

    Raises:
        DataError: if there is no such folder, no picture of the set below it, one lacks its annotation or lies there
            twice, an annotation is not as expected, or the source ``imagenet-labels``, by which classes get their
            numbers, is not here. A picture that is damaged, or not the annotated one, raises when it is asked for.
        ValueError: if ``count`` is not positive, or there are fewer.
    """
    pictures, annotations = _find(Path(root).expanduser())
    names = sorted(pictures)
    if missing := [name for name in names if name not in annotations]:
        lack = f"{len(missing)} of {len(names)} pictures below {root} have no annotation, {missing[0]} first"
        raise DataError(f"{lack}: unpack {BOXES} there, or take those pictures away")
    if count is not None:
        if not 1 <= count <= len(names):
            raise ValueError(f"count must lie in 1..{len(names)}, the pictures below {root}; got {count}")
        names = [names[turn] for turn in np.random.default_rng(seed).permutation(len(names))[:count]]
    classes = _classes()
    return _Pictures([(pictures[name], *_annotated(annotations[name], classes)) for name in names])


def _find(root: Path) -> tuple[dict[str, Path], dict[str, Path]]:
    """Pictures and annotations by the name of the picture."""
    if not root.is_dir():
        raise DataError(f"there is no folder {root}: give the one in which {PICTURES} was unpacked")
    pictures: dict[str, Path] = {}
    annotations: dict[str, Path] = {}
    seen: set[str] = set()
    for folder, inner, files in os.walk(root, followlinks=True):  # sets are often kept on another disk, behind a link
        inner[:] = sorted(set(inner) - PASSED_OVER)
        if (real := os.path.realpath(folder)) in seen:
            inner.clear()
            continue
        seen.add(real)
        for match in filter(None, map(NAME.fullmatch, sorted(files))):
            kind, path = annotations if match[2].lower() == "xml" else pictures, Path(folder, match[0])
            if match[1] in kind:
                raise DataError(f"{kind[match[1]]} and {path} have one name: give the folder of one set alone")
            kind[match[1]] = path
    if not pictures:
        what = "holds no picture called like ILSVRC2012_val_00000001.JPEG" if any(root.iterdir()) else "is empty"
        raise DataError(f"{root} {what}: unpack {PICTURES} and {BOXES} there")
    return pictures, annotations


def _classes() -> dict[str, int]:
    """Number of each of the thousand classes by WordNet id: the logits come in the order of the ids."""
    file = sources.folder("imagenet-labels") / "imagenet.labels.list"
    return {name: index for index, name in enumerate(sorted(file.read_text("utf-8").splitlines()[:1000]))}


def _annotated(file: Path, classes: Mapping[str, int]) -> tuple[int, pascal.Annotation]:
    """Class and boxes."""
    try:
        annotation = pascal.read(file)
        names = set(annotation.names)
        if len(names) > 1 or not names <= classes.keys():
            what = f"it is about {', '.join(sorted(names))}, not about one of the thousand classes"
            raise ValueError(f"{what}, and may belong to the detection task")
    except (OSError, ValueError) as error:
        fix = f"unpack {BOXES} again, or take it and its picture away"
        raise DataError(f"{file} cannot be used: {error}; {fix}") from error
    return classes[names.pop()], annotation
