"""Has training arrived? What a verdict presupposes, seed by seed."""

from __future__ import annotations

from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["learned", "plateaued"]


def learned(accuracy: Float[Tensor, "*networks outputs"], at_least: float = 0.99) -> Bool[Tensor, "*networks"]:
    """Which networks have learned *every* output to this accuracy.

    Raises:
        ValueError: if an accuracy leaves [0, 1], which also happens to percentages.
    """
    if accuracy.numel() and not (0 <= float(accuracy.min()) and float(accuracy.max()) <= 1):
        raise ValueError("accuracies must lie in [0, 1] and hold no NaN")
    return (accuracy >= at_least).all(-1)


def plateaued(
    loss: Float[Tensor, "records *networks outputs"], window: int = 5, tolerance: float = 0.01
) -> Bool[Tensor, "*networks"]:
    r"""Which networks no longer improve: the mean loss of the last records is hardly below that of those before them.

    .. math:: |\bar\ell_{\mathrm{before}} - \bar\ell_{\mathrm{last}}| < \tau\, \ell_{\max}

    for every output, with means over ``window`` records each, :math:`\ell_{\max}` the largest recorded loss of any
    output of the network (one that is learned before the first record says little about the scale) and :math:`\tau`
    the ``tolerance``. A loss that rises again has not arrived either: the difference counts by its size.

    Raises:
        ValueError: if there are fewer than twice ``window`` records.
    """
    if len(loss) < 2 * window:
        raise ValueError(f"{len(loss)} records are too few for two windows of {window}: record more often")
    last, before = loss[-window:].mean(0), loss[-2 * window : -window].mean(0)
    largest = loss.amax(0).amax(-1, keepdim=True)
    return ((before - last).abs() < tolerance * largest).all(-1)
