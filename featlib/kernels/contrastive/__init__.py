r"""InfoNCE and SupCon without the matrix of similarities: memory in proportion to the batch, not to its square."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from featlib.kernels.contrastive.partition import METHODS, log_partition, without_autocast

__all__ = ["info_nce", "supcon"]

Method = Literal["auto", "torch", "triton"]


def info_nce(
    z_a: Float[Tensor, "batch d"],
    z_b: Float[Tensor, "batch d"],
    temperature: float = 0.5,
    method: Method = "auto",
) -> Float[Tensor, ""]:
    r"""InfoNCE of two views of a batch (:cite:p:`chen2020simclr`): each row is to find its other view among all rows.

    .. math::
        \ell = -\frac{1}{2B} \sum_{i=1}^{2B} \log
        \frac{e^{z_i^\top z_{i'} / \tau}}{\sum_{a \neq i} e^{z_i^\top z_a / \tau}}

    with :math:`z` both views one above the other and :math:`i'` the other view of row :math:`i`. It is :func:`supcon`
    with a label for each pair.

    Example:
        >>> z = torch.nn.functional.normalize(torch.eye(4), dim=1)
        >>> round(float(info_nce(z, z, temperature=0.5)), 3)
        0.594

    Args:
        z_a: first views. **Rows are taken as they are**: give unit vectors for cosine similarity.
        z_b: second views, in the same order.
        temperature: :math:`\tau`.
        method: see :func:`supcon`.

    Returns:
        The mean over both views.

    Raises:
        ValueError: if the views differ in shape or device, or there is no row; further as :func:`supcon`.
        TypeError: if the views differ in dtype.
        RuntimeError: as :func:`supcon`.
    """
    if z_a.shape != z_b.shape or z_a.device != z_b.device:
        raise ValueError(
            f"the views must agree in shape and device, got {tuple(z_a.shape)} on {z_a.device} and "
            f"{tuple(z_b.shape)} on {z_b.device}"
        )
    if z_a.dtype != z_b.dtype:
        raise TypeError(f"the views must agree in dtype, got {z_a.dtype} and {z_b.dtype}: convert one of them")
    if not len(z_a):
        raise ValueError("no rows given: InfoNCE needs at least one pair of views")
    pair = torch.arange(len(z_a), device=z_a.device)
    return supcon(torch.cat([z_a, z_b]), pair.repeat(2), temperature, method)


def supcon(
    z: Float[Tensor, "batch d"],
    labels: Int[Tensor, " batch"],
    temperature: float = 0.5,
    method: Method = "auto",
) -> Float[Tensor, ""]:
    r"""Supervised contrastive loss (:cite:p:`khosla2020supcon`, the form with the sum outside the logarithm).

    .. math::
        \ell = \frac{1}{|A|} \sum_{i \in A} \frac{-1}{|P(i)|} \sum_{p \in P(i)} \log
        \frac{e^{z_i^\top z_p / \tau}}{\sum_{a \neq i} e^{z_i^\top z_a / \tau}}

    with :math:`P(i)` the other rows of label :math:`y_i` and :math:`A` the rows that have any. The numerators need only
    the sum :math:`c_y` of each label's rows, :math:`\sum_{p \in P(i)} z_i^\top z_p = z_i^\top (c_{y_i} - z_i)`; the
    denominators come from :func:`~featlib.kernels.contrastive.partition.log_partition`, tile by tile, and so does the
    gradient, recomputed from :math:`z`. Memory is :math:`O(B d)`.

    Example:
        >>> z = torch.nn.functional.normalize(torch.eye(4), dim=1)
        >>> round(float(supcon(z, torch.tensor([0, 0, 1, 1]))), 3)
        1.099

    Args:
        z: one row for each example. **Rows are taken as they are**: give unit vectors for cosine similarity.
        labels: their classes, any integers.
        temperature: :math:`\tau`.
        method: ``torch`` goes through tiles with torch's products; ``triton`` is one pass on a GPU, up to 256
            columns; ``auto`` takes that where it can.

    Returns:
        The mean over rows that have a positive; zero if there is none.

    Raises:
        ValueError: if shapes disagree, ``temperature`` is not positive or ``method`` is unknown.
        TypeError: if ``z`` is not floating point or the labels are no integers.
        RuntimeError: if ``triton`` is asked for and not installed, has no GPU, or cannot hold a row.
    """
    _check(z, labels, temperature, method)
    if len(z) < 2:
        return z.sum() * 0
    wide = z.to(torch.promote_types(z.dtype, torch.float32))
    _, label, count = torch.unique(labels, return_inverse=True, return_counts=True)
    with without_autocast(z):
        sums = wide.new_zeros(len(count), z.shape[1]).index_add(0, label, wide)
        others = count[label] - 1
        positive = (wide * (sums[label] - wide)).sum(1) / others.clamp_min(1) / temperature
        each = log_partition(wide, temperature, method) - positive
        anchors = others > 0
        loss: Tensor = torch.where(anchors, each, 0).sum() / anchors.sum().clamp_min(1)
    return loss.to(z.dtype)


def _check(z: Tensor, labels: Tensor, temperature: float, method: str) -> None:
    """Refuse what gives no loss.

    Raises:
        ValueError: for shapes, temperature or method.
        TypeError: for dtypes.
    """
    if z.ndim != 2 or labels.shape != z.shape[:1]:
        raise ValueError(f"z must be (batch, d) and labels (batch,), got {tuple(z.shape)} and {tuple(labels.shape)}")
    if not z.is_floating_point():
        raise TypeError(f"z must be floating point, got {z.dtype}: convert with z.float()")
    if labels.is_floating_point() or labels.is_complex():
        raise TypeError(f"labels must be integers, got {labels.dtype}: convert with labels.long()")
    if z.device != labels.device:
        raise ValueError(f"z is on {z.device} and labels on {labels.device}: move one with .to(...)")
    if not temperature > 0:
        raise ValueError(f"temperature must be positive, got {temperature}")
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}; got {method!r}")
