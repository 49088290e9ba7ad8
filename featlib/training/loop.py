"""The plain training loop with automatic gradients, for any network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from featlib.training.many import History

__all__ = ["fit"]


def fit(
    optimiser: torch.optim.Optimizer,
    loss: Callable[[int], Tensor],
    steps: int,
    every: int = 100,
    watch: Callable[[int], Any] | None = None,
) -> History:
    """Go down the sum of the losses, step by step.

    Networks that share no parameters can train together: their losses add up and their gradients do not mix.

    Example:
        >>> weight = torch.nn.Parameter(torch.tensor([3.0]))
        >>> history = fit(torch.optim.SGD([weight], lr=0.1), lambda step: weight.square(), steps=50)
        >>> bool(weight.abs() < 1e-4), history.steps
        (True, [50])

    Args:
        optimiser: of the parameters to change.
        loss: losses of one step, of any shape; the step counts from 0.
        steps: how many.
        every: steps between two records; the last step is recorded too.
        watch: called after each recorded step with the number of steps done; what it returns is kept.

    Returns:
        The losses of the recorded steps, before the step that they brought about.

    Raises:
        ValueError: if ``steps`` or ``every`` is not positive, or a loss is not finite.
    """
    if steps < 1 or every < 1:
        raise ValueError(f"steps and every must be positive, got {steps} and {every}")
    history = History()
    for step in tqdm(range(steps), leave=False, mininterval=1):
        optimiser.zero_grad()
        losses = loss(step)
        losses.sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        done = step + 1
        if done % every == 0 or done == steps:
            if not bool(torch.isfinite(losses).all()):
                raise ValueError(f"the loss is not finite after {done} steps: lower the learning rate")
            history.steps.append(done)
            history.losses.append(losses.detach())
            if watch is not None:
                history.watched.append(watch(done))
    return history
