r"""Is a network as often right as it says? Reliability curve and expected calibration error of the top class.

Bins have equal width and hold their upper edge, :math:`(m/M, (m+1)/M]`; a confidence of exactly 0 goes into the first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["Reliability", "expected_calibration_error", "reliability"]

Probabilities = Float[Tensor, "*seeds n classes"]
Labels = Int[Tensor, "*#seeds n"]

TOLERANCE = {torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far from one the probabilities of an example may sum up; 1e-3 for other types."""


@dataclass(frozen=True)
class Reliability:
    """Accuracy against confidence.

    Attributes:
        edges: of the bins, from 0 to 1.
        count: examples in each bin.
        confidence: their mean confidence; NaN in an empty bin.
        accuracy: share of them whose top class is right; NaN in an empty bin.
    """

    edges: Float[Tensor, " edges"]
    count: Int[Tensor, "*seeds bins"]
    confidence: Float[Tensor, "*seeds bins"]
    accuracy: Float[Tensor, "*seeds bins"]

    @property
    def error(self) -> Float[Tensor, "*seeds"]:
        """Expected calibration error."""
        weight = self.count.double() / self.count.sum(-1, keepdim=True)
        return (weight * (self.accuracy - self.confidence).abs().nan_to_num()).sum(-1)


def expected_calibration_error(probabilities: Probabilities, labels: Labels, bins: int = 15) -> Float[Tensor, "*seeds"]:
    r"""Mean distance :cite:p:`guo2017calibration` of confidence and accuracy over bins of equal confidence.

    .. math:: \mathrm{ECE} = \sum_{m=1}^{M} \frac{|B_m|}{n}\, \big| \mathrm{acc}(B_m) - \mathrm{conf}(B_m) \big|

    with :math:`B_m` the examples whose confidence, the largest of their probabilities, lies in bin :math:`m` of
    :math:`M`; conf its mean over them and acc the share of them whose top class is their label. In [0, 1]; 0 for a
    network that is right as often as it says *in each bin*. With few examples it is above 0 even then, the more so the
    more bins: compare networks on equally many examples.

    Example:
        >>> probabilities = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.2, 0.8]])
        >>> expected_calibration_error(probabilities, torch.tensor([0, 1, 1]))
        tensor(0.3333, dtype=torch.float64)

    Args:
        probabilities: of each class; leading axes are seeds. The first of equal tops counts.
        labels: the right class of each example, the same for all seeds or each seed's own.
        bins: :math:`M`.

    Raises:
        ValueError: if rows are no probabilities, shapes or labels do not fit, or there is no example or no bin.
    """
    return reliability(probabilities, labels, bins).error


def reliability(probabilities: Probabilities, labels: Labels, bins: int = 15) -> Reliability:
    """The curve behind :func:`expected_calibration_error`; arguments and errors are the same."""
    _check(probabilities, labels, bins)
    confidence, top = probabilities.detach().double().max(-1)
    right = (top == labels).double()
    edges = torch.arange(bins + 1, dtype=torch.float64, device=confidence.device) / bins
    place = torch.bucketize(confidence.clamp(max=1), edges[1:-1])  # an edge belongs to the bin below it
    zeros = torch.zeros(*place.shape[:-1], bins, dtype=torch.float64, device=place.device)
    count, said, was = (
        zeros.scatter_add(-1, place, values) for values in (torch.ones_like(confidence), confidence, right)
    )
    return Reliability(edges, count.long(), said / count, was / count)


def _check(probabilities: Tensor, labels: Tensor, bins: int) -> None:
    """Refuse what are no probabilities, or labels that are not theirs."""
    if bins < 1:
        raise ValueError(f"bins must be positive, got {bins}")
    if probabilities.ndim < 2 or 0 in probabilities.shape[-2:]:
        raise ValueError(f"probabilities must be (seeds..., examples, classes), got {tuple(probabilities.shape)}")
    examples, classes = probabilities.shape[-2:]
    if labels.shape[-1:] != (examples,) or labels.shape[:-1] not in {(), probabilities.shape[:-2]}:
        raise ValueError(f"{tuple(labels.shape)} labels do not fit probabilities {tuple(probabilities.shape)}")
    if not bool(((labels >= 0) & (labels < classes)).all()):
        raise ValueError(f"labels must lie in 0..{classes - 1}, the classes that have probabilities")
    off = (probabilities.double().sum(-1) - 1).abs()
    if not bool((probabilities >= 0).all()) or not bool((off <= TOLERANCE.get(probabilities.dtype, 1e-3)).all()):
        raise ValueError("each row must hold probabilities that sum to one: give logits through softmax(-1) first")
