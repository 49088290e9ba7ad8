"""A small attack, to ask whether maps stay on the object when the network is fooled."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from featlib.explain.hooks import evaluating

__all__ = ["pgd"]

Images = Float[Tensor, "batch colours height width"]


def pgd(
    model: nn.Module,
    images: Images,
    labels: Int[Tensor, " batch"] | Sequence[int],
    epsilon: float = 8 / 128,
    step: float = 2 / 128,
    steps: int = 5,
    limits: tuple[float, float] | None = None,
    chunk: int = 16,
) -> Images:
    r"""Untargeted projected gradient descent :cite:p:`madry2018pgd`, from the image itself, in the maximum norm.

    .. math:: x \leftarrow \mathrm{clip}_{[x_0 - \epsilon,\, x_0 + \epsilon]}
              \left( x + s\, \mathrm{sign} \nabla_x \mathrm{CE}(x, y) \right)

    The defaults are 8 and 2 grey levels for a network that takes (pixel - 127) / 128. Nothing is random.

    Args:
        model: from prepared images to logits; it is left as it was.
        images: prepared images.
        labels: what each image shows, or what the network says.
        epsilon: largest change of a value, in units of the prepared images.
        step: change in one step.
        steps: how many.
        limits: smallest and largest value that a prepared picture can have; None does not clip.
        chunk: images that go through the network together.

    Returns:
        Changed images. The network may still be right about some: look at its answers.

    Raises:
        ValueError: if a length is not positive, or labels do not fit.
    """
    if not (epsilon > 0 and step > 0 and steps >= 1):
        raise ValueError(f"epsilon, step and steps must be positive, got {epsilon}, {step}, {steps}")
    classes = torch.as_tensor(labels, device=images.device, dtype=torch.long)
    if classes.shape != (len(images),):
        raise ValueError(f"{len(images)} images need {len(images)} labels, got {tuple(classes.shape)}")
    low, high = limits if limits is not None else (-torch.inf, torch.inf)
    attacked = []
    with evaluating(model), torch.enable_grad():
        for start, wanted in zip(torch.split(images.detach(), chunk), torch.split(classes, chunk), strict=True):
            changed = start
            for _ in range(steps):
                changed = changed.clone().requires_grad_()
                loss = functional.cross_entropy(model(changed), wanted, reduction="sum")
                (gradient,) = torch.autograd.grad(loss, changed)
                changed = changed.detach() + step * gradient.sign()
                changed = torch.minimum(torch.maximum(changed, start - epsilon), start + epsilon).clamp(low, high)
            attacked.append(changed)
    return torch.cat(attacked)
