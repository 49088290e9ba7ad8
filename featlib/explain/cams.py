r"""Class activation maps: one family, one forward and one backward for all of it, batched over images.

Most methods are functions of what one layer did with an image: its feature maps :math:`A`, the gradient :math:`G` of
the target logit there, and the weights of the classifier (:mod:`featlib.explain.formulas`). Score-CAM and Ablation-CAM
run the network again (:mod:`featlib.explain.forwards`). The maps are then made comparable: negative parts cut off,
scaled to [0, 1], resized to the picture.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from featlib.explain import formulas
from featlib.explain.formulas import Raw
from featlib.explain.forwards import ScoreCam, ablation_cam, score_cam
from featlib.explain.observe import Observation, Reshape, observe_layers

__all__ = ["METHODS", "Method", "Observation", "ScoreCam", "compute", "draw", "finish", "merge", "raw", "score_cam"]

Maps = Float[Tensor, "batch height width"]


@dataclass(frozen=True)
class Method:
    """One way to turn a layer's activity into a map.

    Attributes:
        title: as figures show it.
        formula: from what was observed to the raw map.
        uses_gradient: whether the observation needs the backward pass.
        uses_class: whether another target changes the map.
        uses_network: whether the network is run again, once for each channel or nearly so.
    """

    title: str
    formula: Callable[[Observation], Raw]
    uses_gradient: bool = False
    uses_class: bool = False
    uses_network: bool = False


METHODS: dict[str, Method] = {
    "cam": Method("CAM", formulas.cam, uses_class=True),
    "grad-cam": Method("Grad-CAM", formulas.grad_cam, uses_gradient=True, uses_class=True),
    "grad-cam++": Method("Grad-CAM++", formulas.grad_cam_plus_plus, uses_gradient=True, uses_class=True),
    "xgrad-cam": Method("XGrad-CAM", formulas.xgrad_cam, uses_gradient=True, uses_class=True),
    "hires-cam": Method("HiResCAM", formulas.hires_cam, uses_gradient=True, uses_class=True),
    "layer-cam": Method("Layer-CAM", formulas.layer_cam, uses_gradient=True, uses_class=True),
    "score-cam": Method("Score-CAM", lambda seen: score_cam(seen).maps, uses_class=True, uses_network=True),
    "ablation-cam": Method("Ablation-CAM", ablation_cam, uses_class=True, uses_network=True),
    "eigen-cam": Method("Eigen-CAM", formulas.eigen_cam),
    "eigen-cam-centred": Method("Eigen-CAM, centred", formulas.eigen_cam_centred),
    "eigen-grad-cam": Method("Eigen-Grad-CAM", formulas.eigen_grad_cam, uses_gradient=True, uses_class=True),
    "mean-activation": Method("mean activation", formulas.mean_activation),
}
"""Every method by name. Names are matched without regard to case, spaces, hyphens and underscores."""


def compute(
    model: nn.Module,
    images: Float[Tensor, "batch colours height width"],
    layer: str | Sequence[str],
    methods: Sequence[str] = ("eigen-cam", "grad-cam"),
    targets: Int[Tensor, " batch"] | Sequence[int] | int | None = None,
    chunk: int = 4,
    reshape: Reshape | None = None,
) -> dict[str, Maps]:
    """Maps of several methods from one forward pass and, if any of them needs it, one backward pass.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5))
        >>> maps = compute(model, torch.rand(2, 3, 32, 32), layer="1", methods=["eigen-cam", "cam"], targets=3)
        >>> tuple(maps["cam"].shape)
        (2, 32, 32)

    Args:
        model: any network that maps images to logits.
        images: a batch, prepared as the model wants it.
        layer: name of the module whose feature maps are read, as in ``model.named_modules()``. With several names each
            map is the mean over these layers, scaled again.
        methods: names out of ``METHODS``.
        targets: class to explain in each image, one for all, or None for the class the network predicts.
        chunk: images that go through the network together: few are fastest on a CPU, many on a GPU.
        reshape: turns the layer's output into feature maps, such as ``featlib.explain.observe.tokens(14, 14)``.

    Returns:
        For each method, under the name it was asked for, maps in [0, 1] at the size of the images.

    Raises:
        ValueError: for an unknown method (the nearest name is given), or images or targets that do not fit.
        LayerError: if the layer does not exist or gives no feature maps.
    """  # raised by what it calls
    gradient = any(_method(name).uses_gradient for name in methods)
    layers = [layer] if isinstance(layer, str) else list(layer)
    seen = observe_layers(model, images, layers, targets, gradient, chunk, reshape)
    return merge([draw(one, methods, size=images.shape[-2:]) for one in seen.values()])


def merge(drawn: Sequence[Mapping[str, Maps]]) -> dict[str, Maps]:
    """Maps of several layers as one for each method: their mean, scaled to [0, 1] again."""
    if len(drawn) == 1:
        return dict(drawn[0])
    return {name: _scaled(torch.stack([maps[name] for maps in drawn]).mean(0)) for name in drawn[0]}


def draw(seen: Observation, methods: Sequence[str], size: Sequence[int]) -> dict[str, Maps]:
    """Maps of several methods from what was already observed, in [0, 1], at ``size`` (height, width)."""
    return {name: finish(raw(seen, name), size) for name in methods}


def raw(seen: Observation, method: str) -> Raw:
    """One method's map as its equation gives it: signed, unscaled, at the layer's own resolution."""
    return _method(method).formula(seen)


def finish(maps: Raw, size: Sequence[int]) -> Maps:
    r"""Make raw maps comparable: :math:`\mathrm{ReLU}`, then min-max scaling image by image, then bilinear resizing.

    A map with no positive part comes out as zeros.
    """
    maps = _scaled(maps.relu())
    resized = functional.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=False)
    return resized[:, 0].clamp(0, 1)


def _scaled(maps: Tensor) -> Tensor:
    """From 0 to 1 in each image; a constant map becomes zeros."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    top = maps.amax((1, 2), keepdim=True)
    return torch.where(top > 0, maps / top.clamp_min(torch.finfo(maps.dtype).tiny), 0.0)


def _method(name: str) -> Method:
    """Look a method up by name, forgivingly."""
    known = {_plain(key): key for key in METHODS}
    if _plain(name) not in known:
        near = difflib.get_close_matches(_plain(name), known, n=1, cutoff=0.0)
        raise ValueError(f"unknown method {name!r}; did you mean {known[near[0]]!r}? Known: {', '.join(METHODS)}")
    return METHODS[known[_plain(name)]]


def _plain(name: str) -> str:
    """A method's name without case and separators."""
    return name.lower().translate(str.maketrans("", "", "-_ "))
