"""One denoising step of feature synthesis at equal objective: the next picture of an ascent, moved a little."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from functools import cache, partial
from typing import NamedTuple

import numpy as np
import torch
from skimage import data, restoration, transform
from torch import Tensor

from featlib.kernels import tv_dual, tv_prox
from featlib.kernels.tv_prox.reference import objective

from .runner import Case

TESTS = "tests/kernels/test_tv_prox.py"
WEIGHT = 1 / (255 * 0.4)
"""That of the first octave of the authors' code."""
MOVED = 2 / 255
"""What one step of ascent changes."""


class Moment(NamedTuple):
    """Pictures in the middle of an ascent, and where the denoiser stood one step before."""

    images: Tensor
    dual: Tensor


@cache
def photograph(side: int) -> Tensor:
    """A photograph that comes with scikit-image."""
    picture = transform.resize(data.astronaut() / 255, (side, side), anti_aliasing=True)  # type: ignore[no-untyped-call]
    return torch.from_numpy(picture).permute(2, 0, 1).float()


def inputs(side: int, seed: int, batch: int) -> Moment:
    """A fresh step for each picture; the dual is that of the picture before the step."""
    generator = torch.Generator().manual_seed(seed)
    noisy = photograph(side) + 0.02 * torch.randn(batch, 3, side, side, generator=generator)
    before = noisy.clamp(0, 1)
    dual = tv_dual(before)
    smooth = tv_prox(before, WEIGHT, 50, dual=dual)
    step = torch.randn(smooth.shape, generator=generator)
    return Moment((smooth + MOVED * step / step.abs().mean()).clamp(0, 1), dual)


def ours(moment: Moment, iterations: int, warm: bool) -> Tensor:
    """The kernel, all pictures at once, from where it stood or from nothing."""
    return tv_prox(moment.images, WEIGHT, iterations, dual=moment.dual.clone() if warm else None)


def per_image(moment: Moment, denoise: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    """One picture after the other in float64."""
    pictures = moment.images.permute(0, 2, 3, 1).double().numpy()
    return torch.from_numpy(np.stack([denoise(picture) for picture in pictures])).permute(0, 3, 1, 2)


def bregman(picture: np.ndarray) -> np.ndarray:
    """As the authors call it, on grey levels from 0 to 255."""
    weight = 1 / (255 * WEIGHT)
    smooth: np.ndarray = restoration.denoise_tv_bregman(
        255 * picture, weight, max_num_iter=100, eps=1e-3, channel_axis=-1
    )
    return smooth / 255


def chambolle(picture: np.ndarray) -> np.ndarray:
    """With the tolerance that it has by default."""
    smooth: np.ndarray = restoration.denoise_tv_chambolle(picture, weight=WEIGHT, channel_axis=-1)  # type: ignore[no-untyped-call]
    return smooth


def error(side: int, mine: Tensor, theirs: Tensor) -> float:
    """By how much, relatively, our worst picture's objective lies above the peer's; below is no error."""
    y = inputs(side, 0, len(mine)).images  # those that the two sides are compared on
    return float((objective(mine, y, WEIGHT) / objective(theirs, y, WEIGHT) - 1).max().clamp(min=0))


def case(side: int, batch: int, peer: str, denoise: Callable[[np.ndarray], np.ndarray], steps: int, warm: bool) -> Case:
    """One size against one peer."""
    return Case(
        op=f"tv_prox, {'warm' if warm else 'cold'} start, {steps} steps",
        size=f"{batch}x3x{side}x{side}",
        peer=f"scikit-image {peer}, per image",
        peer_version=importlib.metadata.version("scikit-image"),
        inputs=partial(inputs, side),
        ours=partial(ours, iterations=steps, warm=warm),
        theirs=partial(per_image, denoise=denoise),
        error=partial(error, side),
        batch=batch,
        tolerance=1e-4,
    )


CASES = [
    case(224, 4, "denoise_tv_bregman (at most 100 sweeps)", bregman, 6, True),
    case(224, 4, "denoise_tv_bregman (at most 100 sweeps)", bregman, 12, False),
    case(224, 4, "denoise_tv_chambolle (default tolerance)", chambolle, 10, True),
    case(224, 4, "denoise_tv_chambolle (default tolerance)", chambolle, 12, False),
    case(28, 10, "denoise_tv_chambolle (default tolerance)", chambolle, 8, True),
]
