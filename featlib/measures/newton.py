r"""Penalised logistic regression for many problems at once, by Newton's method with backtracking.

With a penalty the objective is strictly convex in the weights and has its minimum at finite weights, also where the
classes can be separated. Newton's step for it is a least-squares problem reweighted by the present probabilities; it is
halved until the objective falls enough, so that no problem diverges. :cite:p:`boyd2004convex`
"""

from __future__ import annotations

from math import prod

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import softplus

from featlib.measures.conjugate import conjugate_step, product

__all__ = ["MAX_STEPS", "TOLERANCE", "fit_logistic"]

TOLERANCE = 1e-16
"""A problem is solved once the decrease that a full step promises is below this, for each example."""
MAX_STEPS = 100
"""Steps after which a problem counts as failed; ten are usual."""
HALVINGS = 40
ENOUGH = 1e-4
"""Share of the promised decrease that a step must bring."""
FLAT = 1e-12
"""Least curvature of the intercept: where all examples are certain the step stays finite. The minimum is the same."""
BLOCK = 2**22
"""Entries of the reweighted examples, or of the logits, that are held at once."""
DIRECT = 256
"""Most unknowns for which the Newton system is formed and solved."""


def fit_logistic(
    x: Float[Tensor, "*#problems n d"], truth: Float[Tensor, "*#problems n k"], alpha: float
) -> tuple[Float[Tensor, "*problems d k"], Float[Tensor, "*problems k"]]:
    r"""Weights and intercept that minimise the penalised negative log-likelihood, in float64.

    .. math:: \sum_{i=1}^{n} \Big( \log Z(z_i) - \sum_c t_{ic} z_{ic} \Big) + \frac{\alpha}{2} \lVert W \rVert_F^2,
              \qquad z_i = W^\top x_i + b

    with :math:`Z = 1 + e^{z}` for one column (two classes) and :math:`Z = \sum_c e^{z_c}` for more. The intercept
    :math:`b` is not penalised; with several columns it sums to zero, which the objective leaves open. It is the
    objective of scikit-learn's ``LogisticRegression`` with :math:`C = 1 / \alpha`.

    Small problems that each have their own examples are solved with the whole Newton system; large ones, and several
    over the same examples, by conjugate gradients, whose steps cost :math:`O(k n d)` a problem.

    Args:
        x: examples; without leading axes they are the same for all problems.
        truth: :math:`t`, 1 where an example is of the class and 0 elsewhere.
        alpha: :math:`\alpha`, above 0.

    Returns:
        :math:`W` and :math:`b`.

    Raises:
        RuntimeError: if a problem is not solved after ``MAX_STEPS`` steps.
    """
    mean = x.double().mean(-2, keepdim=True)
    rows = x.double() - mean  # the same minimum, and a Newton system in better condition
    shape = np.broadcast_shapes(rows.shape[:-2], truth.shape[:-2])
    labels = truth.double().expand(*shape, *truth.shape[-2:]).reshape(-1, *truth.shape[-2:])
    if prod(rows.shape[:-2]) > 1:
        rows = rows.expand(*shape, *rows.shape[-2:])
    rows = rows.reshape(-1, *rows.shape[-2:])
    shared, unknowns = len(rows) < len(labels), (rows.shape[-1] + 1) * labels.shape[-1]
    solve = _solve_turned if shared or unknowns > DIRECT else _solve
    blocks = torch.split(labels, max(1, BLOCK // (labels[0] if shared else rows[0]).numel()))
    examples = [rows] * len(blocks) if shared else torch.split(rows, len(blocks[0]))
    parts = [solve(*part, alpha) for part in zip(examples, blocks, strict=True)]
    solution = torch.cat(parts).reshape(*shape, -1, truth.shape[-1])
    weights, intercept = solution[..., :-1, :], solution[..., -1, :]
    return weights, intercept - (mean @ weights)[..., 0, :]


def _solve(rows: Tensor, truth: Tensor, alpha: float, spectrum: Tensor | None = None) -> Tensor:
    """Weights and, in the last row, intercepts of some problems side by side."""
    rows = torch.cat([rows, torch.ones_like(rows[..., :1])], -1)
    penalty = rows.new_full((rows.shape[-1], 1), alpha)
    penalty[-1] = 0
    return _newton(rows, truth, penalty, spectrum)


def _solve_turned(rows: Tensor, truth: Tensor, alpha: float) -> Tensor:
    """The same by conjugate gradients, in the basis of the principal axes of the examples."""
    spectrum, axes = torch.linalg.eigh(rows.mT @ rows)
    of_ones = torch.full_like(spectrum[..., :1], rows.shape[-2])
    spectrum = torch.cat([spectrum.clamp_min(0), of_ones], -1)[..., None]
    solution = _solve(rows @ axes, truth, alpha, spectrum)
    return torch.cat([product(axes, solution[..., :-1, :]), solution[..., -1:, :]], -2)


def _newton(rows: Tensor, truth: Tensor, penalty: Tensor, spectrum: Tensor | None) -> Tensor:
    """Solve some problems side by side, from zero; with a spectrum by conjugate gradients.

    Raises:
        RuntimeError: if there is a problem that is not solved after ``MAX_STEPS`` steps.
    """
    solution = rows.new_zeros(len(truth), rows.shape[-1], truth.shape[-1])
    logits = product(rows, solution)
    value = _objective(logits, truth, solution, penalty)
    solved = torch.zeros_like(value, dtype=torch.bool)
    for _ in range(MAX_STEPS):
        step, promise, sure = _step(rows, truth, logits, solution, penalty, spectrum)
        solved = sure & (promise <= TOLERANCE * rows.shape[-2])
        change, share = product(rows, step), torch.ones_like(promise)
        slack = 8 * torch.finfo(value.dtype).eps * (value.abs() + 1)  # what rounding makes of equal values
        for _ in range(HALVINGS):
            taken = share[:, None, None]
            fresh = _objective(logits + taken * change, truth, solution + taken * step, penalty)
            short = fresh > value - ENOUGH * share * promise + slack
            if not bool(short.any()):
                break
            share = torch.where(short, share / 2, share)
        solution, logits, value = solution + taken * step, logits + taken * change, fresh
        if bool(solved.all()):
            return solution
    raise RuntimeError(
        f"logistic regression is not solved after {MAX_STEPS} steps for {int((~solved).sum())} problem(s): scale the "
        f"representation to about unit variance, or raise alpha above {float(penalty[0, 0]):g}"
    )


def _objective(logits: Tensor, truth: Tensor, solution: Tensor, penalty: Tensor) -> Tensor:
    """The penalised negative log-likelihood of each problem."""
    if truth.shape[-1] == 1:
        # of the wrong side's logit: exact also where the right one is nearly certain
        loss = softplus(torch.where(truth > 0, -logits, logits)).sum((-2, -1))
    else:
        loss = -(truth * logits.log_softmax(-1)).sum((-2, -1))
    return loss + (penalty * solution.square()).sum((-2, -1)) / 2


def _step(
    rows: Tensor, truth: Tensor, logits: Tensor, solution: Tensor, penalty: Tensor, spectrum: Tensor | None
) -> tuple[Float[Tensor, "problems p k"], Float[Tensor, " problems"], Bool[Tensor, " problems"]]:
    """Newton's step of each problem, the decrease of the objective that it promises, and whether that is sure."""
    p, k = solution.shape[-2:]
    chances = logits.sigmoid() if k == 1 else logits.softmax(-1)
    gradient = product(rows.mT, chances - truth) + penalty * solution
    if spectrum is not None:
        step, sure = conjugate_step(rows, chances, gradient, penalty.clamp_min(FLAT), spectrum)
    else:
        curvature = (rows * (chances * (1 - chances))).mT @ rows if k == 1 else _curvature(rows, chances)
        curvature = curvature + torch.diag(penalty.clamp_min(FLAT).expand(p, k).mT.flatten())
        step = -torch.linalg.solve(curvature, gradient.mT.flatten(1)[..., None]).reshape(-1, k, p).mT
        sure = torch.ones(len(truth), dtype=torch.bool, device=rows.device)
    return step, -(gradient * step).sum((-2, -1)) / 2, sure


def _curvature(rows: Tensor, chances: Tensor) -> Tensor:
    """Second derivative of the loss for several classes, [problems, k p, k p], class by class."""
    k, p = chances.shape[-1], rows.shape[-1]
    blocks = rows.new_empty(len(chances), k, p, k, p)
    for first in range(k):
        for second in range(first + 1):
            of_both = chances[..., first, None] * (float(first == second) - chances[..., second, None])
            blocks[:, first, :, second] = blocks[:, second, :, first] = (rows * of_both).mT @ rows
    blocks[:, :, -1, :, -1] += 1.0  # equal steps of all intercepts change nothing; without this they would be free
    return blocks.flatten(3, 4).flatten(1, 2)
