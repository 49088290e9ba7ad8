r"""The equations that need nothing but feature maps :math:`A`, gradient :math:`G` and classifier weights."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from featlib.explain.observe import LayerError, Observation
from featlib.kernels import top_component

__all__ = [
    "Raw", "cam", "eigen_cam", "eigen_cam_centred", "eigen_grad_cam", "grad_cam", "grad_cam_plus_plus", "hires_cam",
    "layer_cam", "mean_activation", "weighted", "xgrad_cam",
]  # fmt: skip

Raw = Float[Tensor, "batch rows columns"]


def weighted(weights: Float[Tensor, "batch channels"], seen: Observation) -> Raw:
    r""":math:`\sum_c \alpha_c A_c`."""
    return torch.einsum("bc,bcij->bij", weights, seen.activation)


def cam(seen: Observation) -> Raw:
    r""":math:`\sum_c w^t_c A_c`, with :math:`w^t` the classifier's weights for the target :cite:p:`zhou2016cam`.

    Raises:
        LayerError: if no linear classifier reads the layer's channels.
    """
    if seen.head is None:
        raise LayerError(
            "CAM needs a linear classifier that reads the pooled channels of this layer: "
            "choose the last convolutional layer, or Grad-CAM"
        )
    return weighted(seen.head[seen.targets], seen)


def grad_cam(seen: Observation) -> Raw:
    r""":math:`\sum_c \alpha_c A_c`, :math:`\alpha_c = \mathrm{mean}_{ij}\, G_c` :cite:p:`selvaraju2017gradcam`."""
    return weighted(_gradient(seen).mean((2, 3)), seen)


def grad_cam_plus_plus(seen: Observation) -> Raw:
    r"""Grad-CAM++ :cite:p:`chattopadhay2018gradcampp`: gradients weighted place by place.

    .. math:: \alpha_c = \sum_{ij} a\, \mathrm{ReLU}(G_c), \quad
              a = \frac{G_c^2}{2 G_c^2 + (\sum_{ij} A_c)\, G_c^3 + 10^{-6}}, \quad a = 0 \text{ where } G_c = 0 .

    The paper derives :math:`a` for :math:`\exp(y)` as the score; the exponential cancels, and :math:`G` here is the
    gradient of the raw logit.
    """
    grad = _gradient(seen)
    total = seen.activation.sum((2, 3), keepdim=True)
    below = 2 * grad**2 + total * grad**3 + 1e-6
    share = torch.where(grad != 0, grad**2 / torch.where(below != 0, below, 1.0), 0.0)
    return weighted((share * grad.relu()).sum((2, 3)), seen)


def xgrad_cam(seen: Observation) -> Raw:
    r"""XGrad-CAM :cite:p:`fu2020xgradcam`: :math:`\alpha_c = \sum_{ij} G_c A_c / (\sum_{ij} A_c + 10^{-7})`."""
    total = seen.activation.sum((2, 3))
    return weighted((_gradient(seen) * seen.activation).sum((2, 3)) / (total + 1e-7), seen)


def hires_cam(seen: Observation) -> Raw:
    r""":math:`\sum_c G_c \odot A_c` :cite:p:`draelos2020hirescam`."""
    return (_gradient(seen) * seen.activation).sum(1)


def layer_cam(seen: Observation) -> Raw:
    r""":math:`\sum_c \mathrm{ReLU}(G_c) \odot A_c` :cite:p:`jiang2021layercam`."""
    return (_gradient(seen).relu() * seen.activation).sum(1)


def eigen_cam(seen: Observation) -> Raw:
    r""":math:`O v_1`, the first component of positions by channels, not centred :cite:p:`muhammad2020eigencam`."""
    return top_component(seen.activation)[0]


def eigen_cam_centred(seen: Observation) -> Raw:
    """Eigen-CAM after subtracting each channel's mean: the form of the ``grad-cam`` package, with our sign rule."""
    return top_component(seen.activation, centre=True)[0]


def eigen_grad_cam(seen: Observation) -> Raw:
    r"""Eigen-CAM of :math:`G \odot A`, not centred: the component has a class now."""
    return top_component(_gradient(seen) * seen.activation)[0]


def mean_activation(seen: Observation) -> Raw:
    r""":math:`\mathrm{mean}_c\, A_c`: no class, no gradient, no decomposition. The trivial rival of the family."""
    return seen.activation.mean(1)


def _gradient(seen: Observation) -> Tensor:
    """The gradient, which the caller must have asked for."""
    if seen.gradient is None:
        raise ValueError("this method needs the gradient: observe(..., gradient=True)")
    return seen.gradient
