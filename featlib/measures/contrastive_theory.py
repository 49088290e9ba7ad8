r"""How strongly each layer of a linear network keeps each feature under the spectral contrastive loss: closed form.

Features :math:`v_i` are orthonormal and :math:`x = \sum_i \phi_i \mu_i v_i` with independent :math:`\mu_i` of mean 0
and variance 1; an augmentation adds independent noise of variance :math:`\sigma_i^2` to feature :math:`i`. For
:math:`f(x) = A x` and :math:`M = A^\top A` the population's loss :cite:p:`haochen2021spectral` is

.. math:: \ell = -2\,\mathbb{E} f(x)^\top f(x^+) + \mathbb{E} \bigl(f(x)^\top f(x^-)\bigr)^2
          = -2 \operatorname{tr}(M \Sigma_+) + \operatorname{tr}(M \Sigma M \Sigma)

with :math:`\Sigma = \mathrm{diag}(\phi_i^2 + \sigma_i^2)` and :math:`\Sigma_+ = \mathrm{diag}(\phi_i^2)`.
Completing the square, its minimum is at :math:`M = \Sigma^{-1} \Sigma_+ \Sigma^{-1}`: feature :math:`i` leaves the
network with the gain :math:`s_i = \phi_i / (\phi_i^2 + \sigma_i^2)`. With balanced layers all :math:`L` share the
singular values, so that after layer :math:`l` the gain is :math:`s_i^{l/L}`: features grow more unequal with depth. The
setting is that of :cite:p:`xue2024projection`, the derivation ours.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["layer_gains", "loss", "optimal_gains", "signal_share", "spread"]

PerFeature = Float[Tensor, "*#starts d"]
"""One number for each feature, for all networks or for each."""


def optimal_gains(phi: PerFeature, sigma: PerFeature, outputs: int | None = None) -> Float[Tensor, "*starts d"]:
    r"""End-to-end gains :math:`s_i = \phi_i / (\phi_i^2 + \sigma_i^2)`.

    With fewer ``outputs`` than features only those of the largest :math:`\phi_i^2 / (\phi_i^2 + \sigma_i^2)`, the
    eigenvalues of the whitened matrix, have one; the others are zero.

    Example:
        >>> optimal_gains(torch.tensor([2.0, 1.0, 0.5]), torch.tensor([1.0, 1.0, 1.0]))
        tensor([0.4000, 0.5000, 0.4000])

    Raises:
        ValueError: if the shapes differ, a :math:`\phi_i` is not positive, a :math:`\sigma_i` is negative, or there is
            no output.
    """
    _check(phi, sigma)
    if outputs is not None and outputs < 1:
        raise ValueError(f"outputs must be positive, got {outputs}")
    gains = phi / (phi.square() + sigma.square())
    if outputs is None or outputs >= phi.shape[-1]:
        return gains
    kept = (phi.square() / (phi.square() + sigma.square())).topk(outputs, -1).indices
    return torch.zeros_like(gains).scatter(-1, kept, gains.gather(-1, kept))


def layer_gains(phi: PerFeature, sigma: PerFeature, layers: int) -> Float[Tensor, "*starts layers d"]:
    r"""Gains :math:`s_i^{l/L}` after each layer :math:`l = 1, \dots, L` of a balanced network at the minimum.

    Raises:
        ValueError: for no layer, or as :func:`optimal_gains`.
    """
    if layers < 1:
        raise ValueError(f"layers must be positive, got {layers}")
    share = torch.arange(1, layers + 1, dtype=phi.dtype) / layers
    return optimal_gains(phi, sigma)[..., None, :] ** share[:, None]


def loss(network: Float[Tensor, "*starts out d"], phi: PerFeature, sigma: PerFeature) -> Float[Tensor, "*starts"]:
    r"""The population's loss of the linear map :math:`A`, without a single sample.

    Raises:
        ValueError: as :func:`optimal_gains`.
    """
    _check(phi, sigma)
    m = network.mT @ network
    second = phi.square() + sigma.square()
    first = (m.diagonal(dim1=-2, dim2=-1) * phi.square()).sum(-1)
    whitened = m * second[..., None, :]
    return (whitened * whitened.mT).sum((-2, -1)) - 2 * first


def spread(gains: Float[Tensor, "*any d"]) -> Float[Tensor, "*any"]:
    r"""How unequal features are: the standard deviation of their :math:`\log` gains."""
    return gains.log().std(-1)


def signal_share(
    gains: Float[Tensor, "*any d"], phi: PerFeature, sigma: PerFeature, noise: float
) -> Float[Tensor, "*any d"]:
    r"""Share of the representation's scale that a feature's signal has, once a readout adds noise of its own.

    .. math:: q_i = \frac{g_i^2 \phi_i^2}{g_i^2 (\phi_i^2 + \sigma_i^2) + \nu^2 \sum_j g_j^2 (\phi_j^2 + \sigma_j^2)}

    Without that noise a linear probe undoes any gain. With it, :math:`\nu^2` times the representation's whole variance
    in each direction, a feature is read the better the larger its share, as with few labels or a strong penalty.

    Raises:
        ValueError: for negative noise, or as :func:`optimal_gains`.
    """
    _check(phi, sigma)
    if noise < 0:
        raise ValueError(f"noise must not be negative, got {noise}")
    power = gains.square() * (phi.square() + sigma.square())
    return gains.square() * phi.square() / (power + noise**2 * power.sum(-1, keepdim=True))


def _check(phi: PerFeature, sigma: PerFeature) -> None:
    """Refuse what describes no features.

    Raises:
        ValueError: for shapes or values.
    """
    if phi.shape != sigma.shape:
        raise ValueError(
            f"phi and sigma must have one entry a feature, got {tuple(phi.shape)} and {tuple(sigma.shape)}"
        )
    if not bool((phi > 0).all()) or not bool((sigma >= 0).all()):
        raise ValueError("every phi must be positive and no sigma negative: leave out features without a signal")
