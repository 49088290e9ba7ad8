r"""Classifiers on top of a frozen representation, for many seeds or targets at once.

A probe asks whether a feature *can be read out* :cite:p:`alain2016probes`; each has its own idea of the best direction,
and the answer depends on it. All are linear, :math:`z = W^\top \phi + b`: for two classes one column, positive for the
larger of both labels; for more a column each, of which the largest decides. Weights are computed in float64. Leading
axes of the representation and of the target are broadcast, so that one representation serves any number of targets.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from featlib.measures.checks import check_finite, check_representation, check_whole
from featlib.measures.least_squares import fit_linear
from featlib.measures.newton import fit_logistic

__all__ = ["Logistic", "NearestMean", "Probe", "Ridge"]

Phi = Float[Tensor, "*#seeds n d"]
Target = Int[Tensor, "*#seeds n"] | Bool[Tensor, "*#seeds n"]
AProbe = TypeVar("AProbe", bound="Probe")  # typing.Self is beyond what the shape checker of the tests understands


class Reading(NamedTuple):
    """What a fitted probe knows.

    Attributes:
        classes: labels in rising order.
        weights: :math:`W`; one column for two classes.
        intercept: :math:`b`.
    """

    classes: Int[Tensor, " classes"]
    weights: Float[Tensor, "*seeds d k"]
    intercept: Float[Tensor, "*seeds k"]


@dataclass
class Probe(ABC):
    """A classifier that is fitted to each seed apart.

    Attributes:
        name: what it is called in tables.
        version: raised whenever the same data would give other predictions.
        fitted: its classes, weights and intercept.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    _reading: Reading | None = field(default=None, init=False, repr=False, compare=False)

    @abstractmethod
    def _solve(
        self, phi: Float[Tensor, "*#seeds n d"], truth: Float[Tensor, "*#seeds n k"]
    ) -> tuple[Float[Tensor, "*seeds d k"], Float[Tensor, "*seeds k"]]:
        """Weights and intercept for float64 examples; ``truth`` is 1 where an example is of the column's class."""

    def fit(self: AProbe, phi: Phi, target: Target) -> AProbe:
        """Fit one classifier for each seed or target.

        Args:
            phi: representations; leading axes are seeds.
            target: the class of each example; without leading axes it is the same for all seeds.

        Returns:
            The probe itself.

        Raises:
            ValueError: if shapes do not fit, a number is not finite, or a seed does not show every class.
            TypeError: if the target is not whole numbers or ``phi`` not floating point.
        """  # raised by what it calls
        check_representation(phi)
        _check_target(phi, target)
        check_finite(phi, "phi")
        classes = torch.unique(target.long())
        truth = (target.long()[..., None] == classes).double()
        there = truth.any(-2).all(-1)
        if len(classes) < 2 or not bool(there.all()):
            where = "" if there.ndim == 0 else f" of seed(s) {(~there).flatten().nonzero().flatten().tolist()[:5]}"
            raise ValueError(
                f"the target{where} must show two classes or more, and every class of {classes.tolist()[:5]}: "
                "give more examples or leave the class out"
            )
        weights, intercept = self._solve(phi.detach().double(), truth[..., 1:] if len(classes) == 2 else truth)
        self._reading = Reading(classes, weights, intercept)
        return self

    @property
    def fitted(self) -> Reading:
        """Classes, weights and intercept.

        Raises:
            RuntimeError: before :meth:`fit`.
        """
        if self._reading is None:
            raise RuntimeError(f"{self!r} is not fitted: call fit(phi, target) first")
        return self._reading

    def decision(self, phi: Phi) -> Float[Tensor, "*seeds n k"]:
        """The logits :math:`z`, in float64.

        Raises:
            ValueError: if ``phi`` has other units or seeds than what was fitted.
            RuntimeError: before :meth:`fit`.
        """
        _, weights, intercept = self.fitted
        seeds, units = weights.shape[:-2], weights.shape[-2]
        if phi.ndim < 2 or phi.shape[-1] != units or not _broadcast(phi.shape[:-2], seeds):
            raise ValueError(
                f"phi {tuple(phi.shape)} does not fit a probe of {units} units and seeds {tuple(seeds)}: give examples "
                "of the same representation"
            )
        check_finite(phi, "phi")
        return phi.detach().double() @ weights + intercept[..., None, :]

    def predict(self, phi: Phi) -> Int[Tensor, "*seeds n"]:
        """The class of each example; of equal logits the first counts. See :meth:`decision` for errors."""
        logits = self.decision(phi)
        place = (logits[..., 0] > 0).long() if logits.shape[-1] == 1 else logits.argmax(-1)
        return self.fitted.classes[place]

    def score(self, phi: Phi, target: Target) -> Float[Tensor, "*seeds"]:
        """Accuracy: the share of examples whose class is predicted, in float64.

        Raises:
            ValueError: if shapes do not fit, or there is no example.
            TypeError: if the target is not whole numbers.
            RuntimeError: before :meth:`fit`.
        """  # raised by what it calls
        _check_target(phi, target)
        if phi.shape[-2] == 0:
            raise ValueError("there is no example to score on")
        return (self.predict(phi) == target).double().mean(-1)


@dataclass
class Ridge(Probe):
    r"""Least squares on the labels :math:`\pm 1`, with a penalty on the weights.

    .. math:: \min_{W, b} \sum_i \lVert W^\top \phi_i + b - y_i \rVert^2 + \alpha \lVert W \rVert_F^2

    with :math:`y_{ic} = 1` where example :math:`i` is of class :math:`c` and :math:`-1` elsewhere; :math:`b` is not
    penalised. The objective of scikit-learn's ``RidgeClassifier``; with :math:`\alpha = 0` the shortest weights among
    those of least squares.

    Attributes:
        alpha: :math:`\alpha`, 0 or more.

    Raises:
        ValueError: for a negative alpha.
    """

    name = "ridge"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < float("inf"):
            raise ValueError(f"alpha must be 0 or more, got {self.alpha}")

    def _solve(self, phi: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        return fit_linear(phi, 2 * truth - 1, self.alpha)


@dataclass
class Logistic(Probe):
    r"""Logistic regression with a penalty on the weights, solved to its minimum by :mod:`featlib.measures.newton`.

    .. math:: \min_{W, b} -\sum_i \log p(y_i \mid W^\top \phi_i + b) + \frac{\alpha}{2} \lVert W \rVert_F^2

    with the logistic function for two classes and softmax for more; :math:`b` is not penalised. The objective of
    scikit-learn's ``LogisticRegression`` with :math:`C = 1 / \alpha`.

    Attributes:
        alpha: :math:`\alpha`, above 0: classes that can be separated have no finite weights without it.

    Raises:
        ValueError: for an alpha that is not positive.
    """

    name = "logistic"
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < float("inf"):
            raise ValueError(f"alpha must be positive, got {self.alpha}: classes that separate have no other solution")

    def _solve(self, phi: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        return fit_logistic(phi, truth, self.alpha)


@dataclass
class NearestMean(Probe):
    r"""The class whose mean :math:`\mu_c` of the fitting set is nearest, written as a linear classifier.

    .. math:: \arg\min_c \lVert \phi - \mu_c \rVert^2
              = \arg\max_c\, (\mu_c - \bar\mu)^\top (\phi - \bar\mu) - \tfrac12 \lVert \mu_c - \bar\mu \rVert^2

    It knows no covariance: a direction of large variance counts as much as its means differ.
    """

    name = "nearest mean"

    def _solve(self, phi: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
        both = torch.cat([1 - truth, truth], -1) if truth.shape[-1] == 1 else truth
        means = phi.mT @ (both / both.sum(-2, keepdim=True))
        middle = means.mean(-1, keepdim=True)
        weights = means - middle
        intercept = -(weights * (middle + weights / 2)).sum(-2)
        if truth.shape[-1] == 1:
            return weights[..., 1:] - weights[..., :1], intercept[..., 1:] - intercept[..., :1]
        return weights, intercept


def _check_target(phi: Tensor, target: Tensor) -> None:
    """Require one class for each example.

    Raises:
        ValueError: for shapes that do not fit.
    """
    check_whole(target, "target")
    fits = target.shape[-1:] == phi.shape[-2:-1] and _broadcast(target.shape[:-1], phi.shape[:-2])
    if not fits:
        raise ValueError(
            f"a target of shape {tuple(target.shape)} does not fit phi {tuple(phi.shape)}: give one class an example, "
            "for all seeds or for each"
        )


def _broadcast(first: torch.Size, second: torch.Size) -> bool:
    """Whether leading axes fit each other."""
    try:
        np.broadcast_shapes(first, second)
    except ValueError:
        return False
    return True
