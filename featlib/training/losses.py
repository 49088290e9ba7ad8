r"""Losses in textbook form, as the equations are written: what faster forms are measured against.

They hold the whole matrix of similarities. :func:`featlib.kernels.info_nce` and :func:`featlib.kernels.supcon` give the
same numbers without it. Any axes in front, such as one for seeds, stay: the loss of each is its own.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["cross_entropy", "info_nce", "spectral", "supcon"]

Views = Float[Tensor, "*many batch d"]
Losses = Float[Tensor, "*many"]


def cross_entropy(logits: Float[Tensor, "*many batch classes"], labels: Int[Tensor, "*many batch"]) -> Losses:
    r"""Mean of :math:`-\log \mathrm{softmax}(\mathrm{logits})_{y}` over the batch."""
    return -logits.log_softmax(-1).gather(-1, labels[..., None])[..., 0].mean(-1)


def info_nce(z_a: Views, z_b: Views, temperature: float = 0.5) -> Losses:
    r"""InfoNCE of two views (:cite:p:`oord2018cpc`, in the form of :cite:p:`chen2020simclr`).

    .. math::
        \ell = -\frac{1}{2B} \sum_{i=1}^{2B} \log
        \frac{e^{z_i^\top z_{i'} / \tau}}{\sum_{a \neq i} e^{z_i^\top z_a / \tau}}

    over both views together, :math:`i'` the other view of row :math:`i`. Rows are taken as they are: give unit vectors.

    Raises:
        ValueError: if the views differ in shape, or the temperature is not positive.
    """
    if z_a.shape != z_b.shape:
        raise ValueError(f"the views must have one shape, got {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    batch = z_a.shape[-2]
    log_share = _log_share(torch.cat([z_a, z_b], -2), temperature)
    other = torch.arange(2 * batch, device=z_a.device).roll(batch)
    return -log_share[..., torch.arange(2 * batch, device=z_a.device), other].mean(-1)


def supcon(z: Views, labels: Int[Tensor, "*many batch"], temperature: float = 0.5) -> Losses:
    r"""Supervised contrastive loss (:cite:p:`khosla2020supcon`, the sum outside the logarithm).

    .. math::
        \ell = \frac{1}{|A|} \sum_{i \in A} \frac{-1}{|P(i)|} \sum_{p \in P(i)} \log
        \frac{e^{z_i^\top z_p / \tau}}{\sum_{a \neq i} e^{z_i^\top z_a / \tau}}

    with :math:`P(i)` the other rows of the same label and :math:`A` the rows that have any; zero if there are none.
    Rows are taken as they are: give unit vectors.

    Raises:
        ValueError: if the temperature is not positive.
    """
    same = labels[..., :, None] == labels[..., None, :]
    same = same & ~torch.eye(labels.shape[-1], dtype=torch.bool, device=z.device)
    log_share = torch.where(same, _log_share(z, temperature), 0)
    positives = same.sum(-1)
    each = -log_share.sum(-1) / positives.clamp_min(1)
    return each.sum(-1) / (positives > 0).sum(-1).clamp_min(1)


def spectral(z_a: Views, z_b: Views) -> Losses:
    r"""Spectral contrastive loss (:cite:p:`haochen2021spectral`).

    .. math:: \ell = -2\, \mathbb{E}\, z^\top z^+ + \mathbb{E}\, (z^\top z^-)^2

    The first mean is over the pairs of views; the second over pairs of *different* examples, one from each view, which
    are independent: an example and its own view would add what the population's second term does not hold.

    Raises:
        ValueError: if the views differ in shape, or there are fewer than two examples.
    """
    if z_a.shape != z_b.shape:
        raise ValueError(f"the views must have one shape, got {tuple(z_a.shape)} and {tuple(z_b.shape)}")
    batch = z_a.shape[-2]
    if batch < 2:
        raise ValueError("the second term compares different examples: give a batch of two or more")
    products = z_a @ z_b.mT
    own = products.diagonal(dim1=-2, dim2=-1)
    apart = (products.square().sum((-2, -1)) - own.square().sum(-1)) / (batch * (batch - 1))
    return apart - 2 * own.mean(-1)


def _log_share(z: Views, temperature: float) -> Float[Tensor, "*many batch batch"]:
    """Log-softmax of each row's similarities with all rows but itself; the diagonal is minus infinity.

    Raises:
        ValueError: if the temperature is not positive.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    itself = torch.eye(z.shape[-2], dtype=torch.bool, device=z.device)
    similar = (z @ z.mT / temperature).masked_fill(itself, -torch.inf)
    return functional.log_softmax(similar, -1)
