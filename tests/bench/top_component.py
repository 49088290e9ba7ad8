"""First component of feature maps: against the step of the grad-cam package, and against thin decompositions."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor

from featlib.kernels import top_component

from .runner import Case

TESTS = "tests/kernels"
# channels, rows, columns: images. EfficientNet-Lite0 head and blocks, ResNet-50 layer4, VGG-16 conv5_3, two with
# large sides. Fewer images where the peer takes long.
SHAPES = {
    (1280, 7, 7): 20,
    (320, 7, 7): 20,
    (112, 14, 14): 20,
    (40, 28, 28): 20,
    (2048, 7, 7): 8,
    (512, 14, 14): 20,
    (320, 14, 14): 20,
    (512, 28, 28): 4,
}


def inputs(shape: tuple[int, int, int], seed: int, batch: int) -> Tensor:
    """Maps with the decaying spectrum of real ones: a few spatial patterns shared by many channels, and noise."""
    generator = torch.Generator().manual_seed(seed)
    channels, rows, columns = shape
    patterns = torch.rand(batch, 8, rows * columns, generator=generator) * 0.6 ** torch.arange(8)[:, None]
    weights = torch.rand(batch, channels, 8, generator=generator)
    noise = 0.1 * torch.rand(batch, channels, rows * columns, generator=generator)
    return (weights @ patterns + noise).reshape(batch, *shape)


def package_step(maps: Tensor) -> np.ndarray:
    """What the grad-cam package does for each image, restated: centre, full SVD, project on the first right vector."""
    return per_image(maps, full_matrices=True)


def per_image(maps: Tensor, full_matrices: bool) -> np.ndarray:
    """One image after the other in numpy."""
    results = []
    for image in maps.numpy():
        positions = image.reshape(image.shape[0], -1).T
        positions = positions - positions.mean(0)
        _, _, right = np.linalg.svd(positions, full_matrices=full_matrices)
        results.append(positions @ right[0])
    return np.stack(results)


def thin_batched(maps: Tensor) -> np.ndarray:
    """All images in one call of torch's thin SVD."""
    positions = maps.flatten(2).mT
    left, sigma, _ = torch.linalg.svd(positions - positions.mean(1, keepdim=True), full_matrices=False)
    return (left[..., 0] * sigma[:, :1]).numpy()


def ours(maps: Tensor) -> np.ndarray:
    """The kernel, in the same centred form."""
    return top_component(maps, centre=True)[0].flatten(1).numpy()


def error(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Largest relative difference over images, the free sign of the peer put right."""
    sign = np.sign((mine * theirs).sum(1, keepdims=True))
    return float((np.linalg.norm(mine - sign * theirs, axis=1) / np.linalg.norm(theirs, axis=1)).max())


PEERS = {
    "numpy full SVD per image (step of the grad-cam package)": (package_step, np.__version__),
    "numpy thin SVD per image": (partial(per_image, full_matrices=False), np.__version__),
    "torch thin SVD, batched": (thin_batched, torch.__version__),
}

CASES = [
    Case(
        op="top_component",
        size="x".join(map(str, shape)),
        peer=peer,
        peer_version=version,
        inputs=partial(inputs, shape),
        ours=ours,
        theirs=function,
        error=error,
        batch=batch,
        tolerance=1e-3,
    )
    for shape, batch in SHAPES.items()
    for peer, (function, version) in PEERS.items()
]
