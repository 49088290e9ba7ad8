r"""Does a map lie on the object? Boxes, masks and the pointing game, against exact object masks.

All functions take maps in [0, 1] and boolean masks of the same size, and return one number per image, so that
a chapter can pair methods image by image. Where a threshold is needed it is *one* threshold for the whole set, the best
one (as MaxBoxAcc does :cite:p:`choe2020evaluating`); a threshold of its own for each image would reward a map for being
ambiguous.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy import ndimage
from torch import Tensor

__all__ = ["THRESHOLDS", "box_accuracy", "box_iou", "filled", "largest_box", "mask_iou", "pointing_game"]

THRESHOLDS = tuple(step / 20 for step in range(1, 20))
"""Thresholds tried, as fractions of the map's maximum."""

Maps = Float[Tensor, "batch height width"]
Masks = Bool[Tensor, "batch height width"]
PerImage = Float[Tensor, " batch"]
Counts = Int[Tensor, "thresholds batch"]
Box = tuple[int, int, int, int]
Boxes = Int[Tensor, "_ 4"]


def mask_iou(maps: Maps, masks: Masks, thresholds: tuple[float, ...] = THRESHOLDS) -> PerImage:
    r"""Overlap of the thresholded map with the mask, at the threshold that is best for the whole set.

    .. math:: \mathrm{IoU}_b = \frac{|\{L_b > t\} \cap M_b|}{|\{L_b > t\} \cup M_b|}, \quad
              t = \arg\max_t \mathrm{mean}_b\, \mathrm{IoU}_b

    with :math:`L_b` the map and :math:`M_b` the mask of image :math:`b`.

    Raises:
        ValueError: if shapes differ, a map leaves [0, 1] or a mask is empty.
    """
    _check(maps, masks)
    over, shared = _counts(maps, masks, thresholds)
    return _best_for_the_set(list(shared / (over + masks.sum((1, 2)) - shared)))


def box_accuracy(
    maps: Maps,
    masks: Masks,
    iou: float = 0.5,
    thresholds: tuple[float, ...] = THRESHOLDS,
    boxes: Sequence[Boxes] | None = None,
) -> PerImage:
    r"""Whether the box around the map's largest region matches the object's box; its mean is MaxBoxAcc.

    At the threshold best for the whole set, 1 where the tight box of the largest connected region of
    :math:`\{L > t\}` overlaps the object's box with an IoU over ``iou``, else 0. :cite:p:`choe2020evaluating`

    Args:
        maps: one for each image.
        masks: the objects. The object's box is the tight one around the mask's largest part.
        iou: overlap that must be exceeded.
        thresholds: those that are tried.
        boxes: for each image, the boxes of its objects (top, left, bottom, right; ends excluded), instead of the one
            around the mask; the best match among them counts. Give them where there are several: in a mask, objects
            that touch are one part. ``masks`` are then only checked.

    Raises:
        ValueError: if shapes differ, a map leaves [0, 1], a mask is empty, or an image has no box, or one beyond it.
    """
    _check(maps, masks)
    truth: Sequence[Sequence[Box | None]]
    truth = [[largest_box(mask)] for mask in masks] if boxes is None else _own_boxes(boxes, masks)
    per_threshold = []
    for threshold in thresholds:
        found = [largest_box(inside) for inside in maps > threshold]
        best = [max(box_iou(ours, theirs) for theirs in own) for ours, own in zip(found, truth, strict=True)]
        per_threshold.append(torch.tensor([float(overlap > iou) for overlap in best], device=maps.device))
    return _best_for_the_set(per_threshold)


def pointing_game(maps: Maps, masks: Masks) -> PerImage:
    """1 where the map's maximum lies on the object, else 0; a tie counts by the share of its points on the object.

    Raises:
        ValueError: if shapes differ, a map leaves [0, 1] or a mask is empty.
    """
    _check(maps, masks)
    top = maps == maps.amax((1, 2), keepdim=True)
    return (top & masks).sum((1, 2)) / top.sum((1, 2))


def largest_box(region: Bool[Tensor, "height width"]) -> Box | None:
    """Tight box (top, left, bottom, right; ends excluded) of the largest 4-connected part; None when empty."""
    inside = region.cpu().numpy()
    if not inside.any():
        return None
    top, left, bottom, right = _around(inside)
    labels, count = ndimage.label(inside[top:bottom, left:right])  # beyond its box a region has no parts
    if count == 1:
        return top, left, bottom, right
    up, west, down, east = _around(labels == np.bincount(labels.ravel())[1:].argmax() + 1)
    return top + up, left + west, top + down, left + east


def _around(region: Bool[np.ndarray, "height width"]) -> Box:
    """Tight box of all of a region that is not empty."""
    rows, columns = (np.flatnonzero(region.any(axis)) for axis in (1, 0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def box_iou(first: Box | None, second: Box | None) -> float:
    """Intersection over union of two boxes; 0 when one is missing."""
    if first is None or second is None:
        return 0.0
    height = min(first[2], second[2]) - max(first[0], second[0])
    width = min(first[3], second[3]) - max(first[1], second[1])
    shared = max(height, 0) * max(width, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return shared / (sum(areas) - shared)


def filled(boxes: Boxes, height: int, width: int) -> Bool[Tensor, "height width"]:
    """The mask of all pixels that lie in one or more boxes (top, left, bottom, right; ends excluded)."""
    mask = torch.zeros(height, width, dtype=torch.bool, device=boxes.device)
    for top, left, bottom, right in boxes.tolist():
        mask[top:bottom, left:right] = True
    return mask


def _own_boxes(boxes: Sequence[Boxes], masks: Masks) -> list[list[Box]]:
    """The boxes of each image, if they can be."""
    if len(boxes) != len(masks):
        raise ValueError(f"boxes of {len(boxes)} images for {len(masks)} maps: give one tensor for each image")
    height, width = masks.shape[1:]
    found: list[list[Box]] = [[(a, b, c, d) for a, b, c, d in own.tolist()] for own in boxes]
    for image, own in enumerate(found):
        if not own:
            raise ValueError(f"image {image} has no box: leave out images without an object")
        if not all(0 <= a < c <= height and 0 <= b < d <= width for a, b, c, d in own):
            raise ValueError(f"image {image} has a box that is empty or leaves its {height} x {width} pixels: {own}")
    return found


def _counts(maps: Maps, masks: Masks, thresholds: tuple[float, ...]) -> tuple[Counts, Counts]:
    """Pixels over each threshold, in all and on the object: one histogram of levels serves all thresholds."""
    levels = sorted(thresholds)
    bins = 2 * (len(levels) + 1)
    kind = torch.uint8 if bins <= 256 else torch.int32  # bytes are several times as fast
    level = torch.zeros(maps.shape, dtype=kind, device=maps.device)  # how many thresholds a pixel lies over
    for threshold in levels:
        level += (maps > threshold).to(kind)
    level += (len(levels) + 1) * masks.to(kind)
    found = torch.zeros(len(maps), bins, dtype=torch.long, device=maps.device)
    for image, one in enumerate(level.flatten(1)):
        found[image] = torch.bincount(one, minlength=bins)
    found = found.view(len(maps), 2, bins // 2)
    over = found.sum(2, keepdim=True) - found.cumsum(2)
    chosen = over[..., [levels.index(threshold) for threshold in thresholds]]
    return chosen.sum(1).T, chosen[:, 1].T


def _best_for_the_set(per_threshold: list[Tensor]) -> PerImage:
    """Of one row per threshold, the row with the highest mean."""
    table = torch.stack(per_threshold).float()
    return table[table.mean(1).argmax()] if table.shape[1] else table[0]


def _check(maps: Tensor, masks: Tensor) -> None:
    """Refuse maps and masks that cannot be compared."""
    if maps.ndim != 3 or maps.shape != masks.shape:
        raise ValueError(
            f"maps {tuple(maps.shape)} and masks {tuple(masks.shape)} must both be "
            "(batch, height, width): resize the maps"
        )
    if maps.numel() and not (0 <= float(maps.min()) and float(maps.max()) <= 1):
        raise ValueError("maps must lie in [0, 1] and hold no NaN: rescale them before measuring")
    empty = (~masks.flatten(1).any(1)).nonzero().flatten().tolist()
    if empty:
        raise ValueError(f"mask(s) {empty[:5]} are empty: leave out images without an object")
