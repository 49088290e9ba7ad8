r"""Class activation maps: one family, one forward and one backward for all of it, batched over images.

Every method is a function of what one layer did with an image: its feature maps :math:`A`, the gradient :math:`G` of
the target logit there, and the weights of the classifier. The maps are then made comparable: negative parts cut
off, scaled to [0, 1], resized to the picture.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from featlib.explain.observe import LayerError, Observation, observe
from featlib.kernels import top_component

__all__ = ["METHODS", "Method", "compute", "draw", "finish", "raw"]

Raw = Float[Tensor, "batch rows columns"]
Maps = Float[Tensor, "batch height width"]


def _cam(seen: Observation) -> Raw:
    r""":math:`\sum_c w^t_c A_c`, with :math:`w^t` the classifier's weights for the target :cite:p:`zhou2016cam`."""
    if seen.head is None:
        raise LayerError(
            "CAM needs a linear classifier that reads the pooled channels of this layer: "
            "choose the last convolutional layer, or Grad-CAM"
        )
    return torch.einsum("bc,bcij->bij", seen.head[seen.targets], seen.activation)


def _grad_cam(seen: Observation) -> Raw:
    r""":math:`\sum_c \alpha_c A_c`, :math:`\alpha_c = \mathrm{mean}_{ij}\, G_c` :cite:p:`selvaraju2017gradcam`."""
    return torch.einsum("bc,bcij->bij", _gradient(seen).mean((2, 3)), seen.activation)


def _hires_cam(seen: Observation) -> Raw:
    r""":math:`\sum_c G_c \odot A_c` :cite:p:`draelos2020hirescam`."""
    return (_gradient(seen) * seen.activation).sum(1)


def _layer_cam(seen: Observation) -> Raw:
    r""":math:`\sum_c \mathrm{ReLU}(G_c) \odot A_c` :cite:p:`jiang2021layercam`."""
    return (_gradient(seen).relu() * seen.activation).sum(1)


def _eigen_cam(seen: Observation) -> Raw:
    r""":math:`O v_1`, the first component of positions by channels, not centred :cite:p:`muhammad2020eigencam`."""
    return top_component(seen.activation)[0]


def _eigen_cam_centred(seen: Observation) -> Raw:
    """Eigen-CAM after subtracting each channel's mean: the form of the ``grad-cam`` package, with our sign rule."""
    return top_component(seen.activation, centre=True)[0]


def _mean_activation(seen: Observation) -> Raw:
    r""":math:`\mathrm{mean}_c\, A_c`: no class, no gradient, no decomposition. The trivial rival of the family."""
    return seen.activation.mean(1)


@dataclass(frozen=True)
class Method:
    """One way to turn a layer's activity into a map; ``uses_class`` says whether another target changes it."""

    title: str
    formula: Callable[[Observation], Raw]
    uses_gradient: bool = False
    uses_class: bool = False


METHODS: dict[str, Method] = {
    "cam": Method("CAM", _cam, uses_class=True),
    "grad-cam": Method("Grad-CAM", _grad_cam, uses_gradient=True, uses_class=True),
    "hires-cam": Method("HiResCAM", _hires_cam, uses_gradient=True, uses_class=True),
    "layer-cam": Method("Layer-CAM", _layer_cam, uses_gradient=True, uses_class=True),
    "eigen-cam": Method("Eigen-CAM", _eigen_cam),
    "eigen-cam-centred": Method("Eigen-CAM, centred", _eigen_cam_centred),
    "mean-activation": Method("mean activation", _mean_activation),
}
"""Every method by name. Names are matched without regard to case, spaces, hyphens and underscores."""


def compute(
    model: nn.Module,
    images: Float[Tensor, "batch 3 height width"],
    layer: str,
    methods: Sequence[str] = ("eigen-cam", "grad-cam"),
    targets: Int[Tensor, " batch"] | Sequence[int] | int | None = None,
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
        layer: name of the module whose feature maps are read, as in ``model.named_modules()``.
        methods: names out of ``METHODS``.
        targets: class to explain in each image, one for all, or None for the class the network predicts.

    Returns:
        For each method, under the name it was asked for, maps in [0, 1] at the size of the images.

    Raises:
        ValueError: for an unknown method (the nearest name is given).
        LayerError: if the layer does not exist or gives no feature maps.
    """
    gradient = any(_method(name).uses_gradient for name in methods)
    return draw(observe(model, images, layer, targets, gradient), methods, size=images.shape[-2:])


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
    maps = maps.relu()
    maps = maps - maps.amin((1, 2), keepdim=True)
    top = maps.amax((1, 2), keepdim=True)
    maps = torch.where(top > 0, maps / top.clamp_min(torch.finfo(maps.dtype).tiny), 0.0)
    resized = functional.interpolate(maps[:, None], size=tuple(size), mode="bilinear", align_corners=False)
    return resized[:, 0].clamp(0, 1)


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


def _gradient(seen: Observation) -> Tensor:
    """The gradient, which the caller must have asked for."""
    if seen.gradient is None:
        raise ValueError("this method needs the gradient: observe(..., gradient=True)")
    return seen.gradient
