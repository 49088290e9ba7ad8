"""What is given to a network, before it is run: pictures in its own range, and a class for each of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["check_images", "one_each"]


def check_images(model: nn.Module, images: Tensor) -> None:
    """Refuse what is no batch of pictures in the network's own range.

    Raises:
        ValueError: for a wrong shape, type, number of colours or range, or values that are not finite.
    """
    if images.ndim != 4 or not images.is_floating_point():
        raise ValueError(
            f"images must be a float batch (batch, colours, height, width), got {images.dtype} {tuple(images.shape)}: "
            "for one picture use image[None]"
        )
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    if first is not None and images.shape[1] != first.in_channels:
        raise ValueError(
            f"the network reads {first.in_channels} colours, the images have {images.shape[1]}: "
            "use expand(-1, 3, -1, -1) on grey pictures, or move the colours to the second axis"
        )
    if not images.numel() or images.is_meta:
        return
    low, high = float(images.detach().min()), float(images.detach().max())
    if not (abs(low) < float("inf") and abs(high) < float("inf")):
        raise ValueError("images hold NaN or infinity")
    preparation = getattr(model, "preparation", None)
    if preparation is not None:
        ends = [
            [(end - mean) / std for mean, std in zip(preparation.mean, preparation.std, strict=True)] for end in (0, 1)
        ]
        least, most = min(ends[0]), max(ends[1])
        slack = 3 * (most - least)  # noise and attacks pass; pictures in 0..255 do not
        if low < least - slack or high > most + slack:
            raise ValueError(
                f"images lie in {low:.3g}..{high:.3g}, the network takes {least:.3g}..{most:.3g}: "
                "pass model.preprocess(pictures), with pictures in 0..1"
            )


def one_each(targets: Tensor | Sequence[int] | int, images: Tensor) -> Tensor:
    """Classes to explain, one for each image.

    Raises:
        ValueError: if there are more or fewer than images.
    """
    chosen = torch.as_tensor(targets, device=images.device, dtype=torch.long)
    chosen = chosen.expand(len(images)) if chosen.ndim == 0 else chosen
    if chosen.shape != (len(images),):
        raise ValueError(f"{len(images)} images need {len(images)} targets (or one for all), got {tuple(chosen.shape)}")
    return chosen
