r"""Many small networks as one: a training loop for :class:`featlib.models.mlp.MLP` with its backward pass by hand.

The loss of each network is the mean cross-entropy over its batch: of the right class, or summed over features, each of
which is there or not. Networks do not see each other. :func:`one_by_one` trains the same networks in a plain loop over
modules and is the reference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from featlib.models.mlp import MLP, MLPConfig, keep_largest

__all__ = ["Batches", "History", "adam", "cross_entropy", "momentum", "one_by_one", "train"]

Batches: TypeAlias = Callable[[int], Sequence[Tensor]]
"""From the step to inputs (networks, batch, inputs), labels in [0, 1] (networks, batch, outputs) and, if some labels
count more than others, weights of the labels' shape (axes of size one are stretched)."""

CACHE = 1_000_000
"""Bytes of activations up to which networks go through the layers together: beyond a core's cache it no longer pays."""


@dataclass
class History:
    """What happened on the way: after ``steps[i]`` steps ``losses[i]`` (a value for each network and output)."""

    steps: list[int] = field(default_factory=list)
    losses: list[Tensor] = field(default_factory=list)
    watched: list[Any] = field(default_factory=list)

    @property
    def loss(self) -> Float[Tensor, "records *losses"]:
        """All losses, the first record first."""
        return torch.stack(self.losses)


def adam(model: MLP, learning_rate: float = 1e-3) -> torch.optim.Optimizer:
    """Adam for all networks in one fused step."""
    return torch.optim.Adam(model.parameters(), lr=learning_rate, fused=True)


def momentum(model: MLP, learning_rate: float = 0.05, momentum: float = 0.9) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum for all networks in one fused step."""
    return torch.optim.SGD(model.parameters(), lr=learning_rate, momentum=momentum, fused=True)


@torch.no_grad()
def train(
    model: MLP,
    optimiser: torch.optim.Optimizer,
    batches: Batches,
    steps: int,
    first: int = 0,
    dropout: float = 0.0,
    every: int = 100,
    watch: Callable[[int], Any] | None = None,
) -> History:
    """Train all networks of a stack, each on its own batches.

    The gradients are written by hand, for the networks that fit a core's cache together, and the optimiser takes one
    step for all. With wide layers or large batches that comes to one network at a time, which is then the faster way.

    Args:
        model: the networks; changed in place.
        optimiser: of the model's parameters, such as :func:`adam`. Given again, it goes on with the state it has.
        batches: what to learn from.
        steps: how many.
        first: number of the first step, for a second phase that goes on with fresh data.
        dropout: share of each hidden layer's units that is silenced at random in each step.
        every: steps between two records; the last step is recorded too.
        watch: called after each recorded step with the number of steps done; what it returns is kept.

    Raises:
        ValueError: if ``dropout`` is not in [0, 1), ``steps`` or ``every`` is not positive, or labels do not fit.
    """
    if not 0 <= dropout < 1 or steps < 1 or every < 1:
        raise ValueError(f"dropout must lie in [0, 1), steps and every be positive; got {dropout}, {steps}, {every}")
    history, parts = History(), None
    for step in tqdm(range(first, first + steps), leave=False, mininterval=1, desc=f"{len(model)} networks"):
        x, y, *weight = batches(step)
        parts = parts or _parts(model, x)
        logits = _gradients(model, parts, x, y, weight[0] if weight else None, dropout)
        optimiser.step()
        done = step + 1 - first
        if done % every == 0 or done == steps:
            history.steps.append(first + done)
            history.losses.append(cross_entropy(logits, y, weight[0] if weight else None, model.config.classes))
            if watch is not None:
                history.watched.append(watch(first + done))
    return history


def cross_entropy(
    logits: Tensor, y: Tensor, weight: Tensor | None, classes: bool
) -> Float[Tensor, "*networks outputs"]:
    """Each output's part of the loss, a mean over the batch."""
    if classes:
        loss = -y * logits.log_softmax(-1)
    else:
        loss = functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    return (loss if weight is None else loss * weight).mean(-2)


@dataclass(frozen=True)
class _Part:
    """Networks that go through the layers together: views of their parameters and gradients, made once for all steps.

    For small networks making views would cost as much as the arithmetic.
    """

    rows: slice
    weights: list[Tensor]
    biases: list[Tensor]
    turned: list[Tensor]
    into_weights: list[Tensor]
    into_biases: list[Tensor]


def _parts(model: MLP, x: Tensor) -> list[_Part]:
    """The networks of a stack, as many together as fit a core's cache with batches like ``x``; gradients are new."""
    together = max(1, CACHE // (x.element_size() * x.shape[1] * sum(model.config.sizes)))
    together = len(model) if x.is_cuda else together
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    parts = []
    for start in range(0, len(model), together):
        rows = slice(start, start + together)
        weights, biases = ([p.detach()[rows] for p in group] for group in (model.weights, model.biases))
        into = ([p.grad[rows] for p in group] for group in (model.weights, model.biases))
        parts.append(_Part(rows, weights, biases, [weight.mT for weight in weights], *into))
    return parts


def _gradients(
    model: MLP, parts: list[_Part], x: Tensor, y: Tensor, weight: Tensor | None, dropout: float
) -> Float[Tensor, "networks batch outputs"]:
    """Write the gradients of all networks; their logits."""
    if y.shape != (len(model), x.shape[1], model.config.outputs):
        raise ValueError(
            f"labels {tuple(y.shape)} do not fit {len(model)} networks with {model.config.outputs} outputs on "
            f"batches {tuple(x.shape)}"
        )
    logits = []
    counts = None if weight is None else weight.expand_as(y)
    for part in parts:
        layers = _forward(model.config, part, x[part.rows], dropout)
        own = None if counts is None else counts[part.rows]
        _backward(model.config, part, layers, y[part.rows], own, dropout)
        logits.append(layers[-1])
    return torch.cat(logits) if len(logits) > 1 else logits[0]


def _forward(config: MLPConfig, part: _Part, x: Tensor, dropout: float) -> list[Tensor]:
    """Input, hidden layers and logits of some networks."""
    layers, last = [x], len(part.weights) - 1
    for index, (turned, bias) in enumerate(zip(part.turned, part.biases, strict=True)):
        layer = torch.baddbmm(bias, layers[-1], turned)
        if index < last:
            layer = keep_largest(layer.relu_(), config.topk)
            layer = functional.dropout(layer, dropout, inplace=True) if dropout else layer
        layers.append(layer)
    return layers


def _backward(
    config: MLPConfig, part: _Part, layers: list[Tensor], y: Tensor, weight: Tensor | None, dropout: float
) -> None:
    """Gradients of some networks, into their parameters."""
    likely = layers[-1].softmax(-1) if config.classes else layers[-1].sigmoid()
    flow = (likely - y) / y.shape[1]
    if weight is not None:
        flow *= weight
    for index in reversed(range(len(part.weights))):
        torch.bmm(flow.mT, layers[index], out=part.into_weights[index])
        torch.sum(flow, 1, keepdim=True, out=part.into_biases[index])
        if index:
            flow = torch.bmm(flow, part.weights[index])
            # a unit that is silent, by its nonlinearity, its rank or by dropout, passes nothing on
            torch.ops.aten.threshold_backward.grad_input(flow, layers[index], 0, grad_input=flow)
            if dropout:
                flow /= 1 - dropout


def one_by_one(
    networks: Sequence[nn.Sequential],
    optimise: Callable[[nn.Sequential], torch.optim.Optimizer],
    batches: Batches,
    steps: int,
    classes: bool = False,
) -> Float[Tensor, "steps networks outputs"]:
    """The reference: the same training in a loop over networks, with automatic gradients; losses of every step."""
    optimisers = [optimise(network) for network in networks]
    losses = []
    for step in range(steps):
        x, y, *weight = batches(step)
        counts = weight[0].expand_as(y) if weight else None
        for row, (network, optimiser) in enumerate(zip(networks, optimisers, strict=True)):
            loss = cross_entropy(network(x[row]), y[row], None if counts is None else counts[row], classes)
            optimiser.zero_grad()
            loss.sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.detach())
    return torch.stack(losses).reshape(steps, len(networks), -1)
