r"""Why training silences neurons: at initialisation the loss pulls every active one down, whatever the labels say.

The last layer is :math:`f = Va` with activations :math:`a \in \mathbb{R}^d` and entries :math:`V_{ki}` that are
independent of each other, of :math:`a` and of the target :math:`y`, with mean 0. For the squared error
:math:`\ell = \tfrac12 \lVert Va - y \rVert^2`, with :math:`v_i` column :math:`i` of :math:`V`,

.. math:: \frac{\partial \ell}{\partial a_i} = v_i^\top (Va - y), \qquad
          \mathbb{E}_V \frac{\partial \ell}{\partial a_i} = a_i \sum_k \mathrm{Var}(V_{ki}),

for of :math:`v_i^\top Va = \sum_j a_j \sum_k V_{ki} V_{kj}` only :math:`j = i` is left in the mean, and
:math:`v_i^\top y` vanishes. It is positive wherever :math:`a_i > 0`: a gradient step makes the activation smaller. For
cross-entropy with a target on the simplex,

.. math:: \frac{\partial \ell}{\partial a_i} = v_i^\top (s - y), \quad s = \mathrm{softmax}(Va), \qquad
          \mathbb{E}_V \frac{\partial \ell}{\partial a_i} = \sum_k \mathrm{Cov}(V_{ki}, s_k) > 0,

as :math:`s_k` rises with :math:`V_{ki}` if :math:`a_i > 0`. With normal entries integration by parts (Stein's identity)
makes it :math:`a_i \sum_k \mathrm{Var}(V_{ki})\, \mathbb{E}[s_k (1 - s_k)]`, less than the squared error's.
The statement is that of :cite:p:`li2023lazy`, recalled and not read; the derivation is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["ExpectedGradient", "activation_gradients", "closed_form", "expected_gradient"]

Loss: TypeAlias = Literal["squared_error", "cross_entropy"]
Law: TypeAlias = Literal["normal", "uniform", "signs"]

CHUNK = 2**20
"""Weights drawn at a time."""


@dataclass(frozen=True)
class ExpectedGradient:
    """What a Monte Carlo over the last layer's weights found.

    Attributes:
        mean: over the draws, of each unit's gradient.
        error: standard error of ``mean``.
        closed: what theory says; None for cross-entropy with weights that are not normal.
        mean_active: mean over the draws, of the mean gradient of all units with :math:`a_i > 0`: one number, so that
            one test decides. NaN if there is none.
        error_active: its standard error.
        closed_active: what theory says of it.
        draws: how many.
    """

    mean: Float[Tensor, " units"]
    error: Float[Tensor, " units"]
    closed: Float[Tensor, " units"] | None
    mean_active: float
    error_active: float
    closed_active: float | None
    draws: int


def activation_gradients(
    V: Float[Tensor, "*draws outputs units"], a: Float[Tensor, " units"], y: Float[Tensor, " outputs"], loss: Loss
) -> Float[Tensor, "*draws units"]:
    r""":math:`\partial \ell / \partial a` for each draw of :math:`V`, by the equations above."""
    f = V @ a
    left = f - y if loss == "squared_error" else f.softmax(-1) - y
    return (left[..., None, :] @ V)[..., 0, :]


def closed_form(
    a: Float[Tensor, " units"],
    std: Float[Tensor, "outputs units"],
    loss: Loss = "squared_error",
    draws: int = 100_000,
    seed: int = 0,
) -> Float[Tensor, " units"]:
    r"""The expected gradient by theory; for cross-entropy only if the weights are normal.

    The squared error's is exact. In cross-entropy's :math:`\mathbb{E}[s_k (1 - s_k)]` is a mean over normal logits of
    standard deviation :math:`(\sum_i \mathrm{Var}(V_{ki}) a_i^2)^{1/2}`, taken from ``draws`` of them: a few outputs
    instead of all weights, and nothing that cancels, so that its error is far below that of :func:`expected_gradient`.

    Args:
        a: activations.
        std: of each weight.
        loss: which.
        draws: of the logits; not used for the squared error.
        seed: of the draws.
    """
    variance = std.double().square()
    a = a.double()
    weight = torch.ones(len(std), dtype=torch.float64)
    if loss == "cross_entropy":
        scale = (variance @ a.square()).sqrt()
        z = torch.randn(draws, len(std), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        s = (scale * z).softmax(-1)
        weight = (s * (1 - s)).mean(0)
    return a * (weight @ variance)


def expected_gradient(
    a: Float[Tensor, " units"],
    y: Float[Tensor, " outputs"],
    std: float | Float[Tensor, "outputs units"],
    loss: Loss = "squared_error",
    law: Law = "normal",
    draws: int = 10_000,
    seed: int = 0,
) -> ExpectedGradient:
    """The same by Monte Carlo: many last layers for one token, all at once, in float64.

    Example:
        >>> found = expected_gradient(torch.tensor([1.0, 0.0, 2.0]), torch.tensor([0.0, 1.0]), std=0.5)
        >>> found.closed
        tensor([0.5000, 0.0000, 1.0000], dtype=torch.float64)
        >>> bool(((found.mean - found.closed).abs() < 3 * found.error).all())
        True

    Args:
        a: activations of the token, of any sign.
        y: target; for cross-entropy not negative, with sum 1.
        std: standard deviation of the weights, one for all or one for each.
        loss: half the squared error, or cross-entropy.
        law: of the weights: normal, uniform, or one of two signs. Only the variance matters to the squared error.
        draws: of the weights.
        seed: of the draws.

    Raises:
        ValueError: for an unknown loss or law, fewer than two draws, deviations that are not positive or do not fit, or
            a target that is no distribution where one is needed.
    """
    _check(y, loss, law, draws)
    shape = (len(y), len(a))
    spread = std.double() if isinstance(std, Tensor) else torch.full(shape, std, dtype=torch.float64)
    if spread.shape != shape or not bool((spread > 0).all()):
        raise ValueError(f"std must be positive, one number or {shape} of them, got {std}")
    a, y = a.detach().double(), y.double()
    active = (a > 0).double()[:, None]
    generator = torch.Generator().manual_seed(seed)
    sums, squares = torch.zeros(2, len(a) + 1, dtype=torch.float64)
    at_once = max(1, CHUNK // spread.numel())
    for start in range(0, draws, at_once):
        V = spread * _draw(law, (min(at_once, draws - start), *spread.shape), generator)
        gradients = activation_gradients(V, a, y, loss)
        gradients = torch.cat([gradients, gradients @ active / active.sum()], -1)
        sums, squares = sums + gradients.sum(0), squares + gradients.square().sum(0)
    mean = sums / draws
    error = ((squares / draws - mean.square()).clamp_min(0) / (draws - 1)).sqrt()
    known = loss == "squared_error" or law == "normal"
    closed = closed_form(a, spread, loss, seed=seed + 1) if known else None
    return ExpectedGradient(
        mean[:-1],
        error[:-1],
        closed,
        float(mean[-1]),
        float(error[-1]),
        None if closed is None else float(closed @ active[:, 0] / active.sum()),
        draws,
    )


def _draw(law: Law, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Independent numbers of mean 0 and variance 1."""
    if law == "normal":
        return torch.randn(shape, generator=generator, dtype=torch.float64)
    if law == "uniform":
        return (2 * torch.rand(shape, generator=generator, dtype=torch.float64) - 1) * 3**0.5
    return 2.0 * torch.randint(2, shape, generator=generator) - 1


def _check(y: Tensor, loss: str, law: str, draws: int) -> None:
    """Refuse what has no expectation to be found."""
    if loss not in {"squared_error", "cross_entropy"}:
        raise ValueError(f"loss must be 'squared_error' or 'cross_entropy', got {loss!r}")
    if law not in {"normal", "uniform", "signs"}:
        raise ValueError(f"law must be 'normal', 'uniform' or 'signs', got {law!r}")
    if draws < 2:
        raise ValueError(f"a standard error needs two draws or more, got {draws}")
    if loss == "cross_entropy" and (bool((y < 0).any()) or abs(float(y.sum()) - 1) > 1e-4):
        raise ValueError("the target of cross-entropy must not be negative and sum to one: one_hot(label).float()")
