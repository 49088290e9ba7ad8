"""Which of two features does a classifier follow, once they disagree? The downstream conflict test."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from jaxtyping import Bool, Float, Int
from torch import Tensor

from featlib.measures.probes import Logistic, NearestMean, Probe, Ridge

__all__ = ["PROBES", "follows"]

PROBES: dict[str, Callable[[], Probe]] = {
    "logistic": Logistic,
    "ridge": Ridge,
    "least squares": partial(Ridge, alpha=0.0),
    "nearest mean": NearestMean,
}
"""Classifiers by name, with penalties as scikit-learn sets them unless told otherwise; calling one makes it."""

Codes = Int[Tensor, "*#seeds n"] | Bool[Tensor, "*#seeds n"]
CodesTest = Int[Tensor, "*#seeds m"] | Bool[Tensor, "*#seeds m"]


def follows(
    phi: Float[Tensor, "*#seeds n d"],
    feature: Codes,
    phi_test: Float[Tensor, "*#seeds m d"],
    feature_test: CodesTest,
    probe: str = "logistic",
) -> Float[Tensor, "*seeds"]:
    r"""Share :cite:p:`lampinen2024learned` of conflicts in which a classifier sides with a feature.

    .. math:: \frac{1}{|T|} \sum_{i \in T} \big[\, \hat y(\phi_i) = f(i) \,\big]

    with :math:`\hat y` fitted on examples where two features agree, so that either would do as the label, and :math:`T`
    examples where they disagree. For two features with two values, 1 means that it reads :math:`f` alone, 0 the other
    feature alone, and 1/2 that it is undecided. What comes out says as much about the classifier as about the
    representation: run several, and the raw input beside them.

    Example:
        >>> import torch
        >>> agree = torch.tensor([0, 0, 1, 1])
        >>> large = torch.tensor([0.0, 0.1, 3.0, 3.1])
        >>> small = torch.tensor([0.0, 0.2, 1.0, 1.2])
        >>> conflict = torch.tensor([[0.0, 1.0], [3.0, 0.0]])
        >>> follows(torch.stack([large, small], -1), agree, conflict, torch.tensor([0, 1]))
        tensor(1., dtype=torch.float64)

    Args:
        phi: representations of examples where the features agree; leading axes are seeds.
        feature: their common value.
        phi_test: representations of examples where they disagree.
        feature_test: the value there of the feature that is asked about.
        probe: a key of ``PROBES``.

    Returns:
        One number a seed, in float64.

    Raises:
        ValueError: for an unknown probe, shapes that do not fit, numbers that are not finite, a fitting set with one
            class only, or an empty test set.
        TypeError: if a feature is not whole numbers or a representation not floating point.
    """  # raised by what it calls
    if probe not in PROBES:
        raise ValueError(f"probe must be one of {', '.join(PROBES)}; got {probe!r}")
    return PROBES[probe]().fit(phi, feature).score(phi_test, feature_test)
