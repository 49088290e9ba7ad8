"""All methods of the CAM family on twenty photographs: one pass for all, against one pass for each method and image."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from skimage.transform import resize
from torch import Tensor, nn

from featlib.data import photographs, sources
from featlib.explain import cams
from featlib.models import build

from .runner import BenchError, Case

TESTS = "tests/explain"
NETWORK, LAYER = "efficientnet-lite0", "head"
# those that both sides compute from one forward and backward; the others run the network once for each channel
METHODS = (
    "grad-cam", "grad-cam++", "xgrad-cam", "hires-cam", "layer-cam", "eigen-cam-centred", "mean-activation",
)  # fmt: skip


@cache
def network() -> nn.Module:
    """The network of the chapter.

    Raises:
        BenchError: if its weights are not here.
    """
    try:
        return build(NETWORK, weights="imagenet")
    except sources.DataError as error:
        raise BenchError(str(error)) from error


@cache
def pictures() -> Tensor:
    """The twenty photographs, prepared."""
    model = network()
    return torch.cat([model.preprocess(photo.image[None]) for photo in photographs.imagenet_samples()])


def inputs(seed: int, batch: int) -> Tensor:
    """Some of the photographs, in another order each time, mirrored every other time."""
    order = torch.from_numpy(np.random.default_rng(seed).permutation(20)[:batch])
    chosen = pictures()[order]
    return chosen.flip(3) if seed % 2 else chosen


def ours(images: Tensor) -> np.ndarray:
    """Every method from one observation, methods by images."""
    return torch.stack(list(cams.compute(network(), images, LAYER, METHODS).values())).numpy()


def one_by_one(images: Tensor) -> np.ndarray:
    """The package's manner, restated: for each method and image a forward and a backward, the rest in numpy."""
    return np.stack([np.stack([_single(image, method) for image in images]) for method in METHODS])


def _single(image: Tensor, method: str) -> np.ndarray:
    """One method on one image, with hooks of its own."""
    model, kept = network(), []

    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        output.retain_grad()
        kept.append(output)

    handle = model.get_submodule(LAYER).register_forward_hook(keep)
    try:
        logits = model(image[None])
        model.zero_grad()
        logits[0, logits[0].argmax()].backward()
    finally:
        handle.remove()
    activation, gradient = kept[0].detach()[0].numpy(), kept[0].grad[0].numpy()
    raw = FORMULAS[method](activation, gradient)
    raw = np.maximum(raw, 0)
    raw = raw - raw.min()
    return resize(raw / (1e-7 + raw.max()), image.shape[1:], order=1, mode="edge", anti_aliasing=False)


def _weighted(weights: np.ndarray, activation: np.ndarray) -> np.ndarray:
    return (weights[:, None, None] * activation).sum(0)


def _plus_plus(a: np.ndarray, g: np.ndarray) -> np.ndarray:
    share = g**2 / (2 * g**2 + a.sum((1, 2), keepdims=True) * g**3 + 1e-6)
    return _weighted((np.where(g != 0, share, 0) * np.maximum(g, 0)).sum((1, 2)), a)


def _first_component(a: np.ndarray, _gradient: np.ndarray) -> np.ndarray:
    rows = a.reshape(len(a), -1).T
    rows = rows - rows.mean(0)
    scores = rows @ np.linalg.svd(rows, full_matrices=True)[2][0]
    # the package leaves the sign to chance; with chance there is nothing to compare
    return (scores * np.sign(scores @ a.reshape(len(a), -1).mean(0))).reshape(a.shape[1:])


FORMULAS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "grad-cam": lambda a, g: _weighted(g.mean((1, 2)), a),
    "grad-cam++": _plus_plus,
    "xgrad-cam": lambda a, g: _weighted((g * a).sum((1, 2)) / (a.sum((1, 2)) + 1e-7), a),
    "hires-cam": lambda a, g: (g * a).sum(0),
    "layer-cam": lambda a, g: (np.maximum(g, 0) * a).sum(0),
    "eigen-cam-centred": _first_component,
    "mean-activation": lambda a, g: a.mean(0),
}


def error(mine: np.ndarray, theirs: np.ndarray) -> float:
    """Largest difference of a map's values, which lie in [0, 1]."""
    return float(np.abs(mine - theirs).max())


CASES = [
    Case(
        op="cam_family",
        size=f"{len(METHODS)} methods, 20 photographs",
        peer="one forward and backward for each method and image (manner of the grad-cam package)",
        peer_version=f"torch {torch.__version__}, numpy {np.__version__}",
        inputs=inputs,
        ours=ours,
        theirs=one_by_one,
        error=error,
        batch=20,
        tolerance=5e-3,
    )
]
