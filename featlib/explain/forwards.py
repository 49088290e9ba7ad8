"""The two members that run the network again: Score-CAM covers the input, Ablation-CAM switches channels off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

from featlib.explain.formulas import Raw, weighted
from featlib.explain.hooks import edited, evaluating, find_layer
from featlib.explain.observe import Network, Observation

__all__ = ["ScoreCam", "ablation_cam", "ablation_weights", "early_stop", "score_cam"]


@dataclass(frozen=True)
class ScoreCam:
    """Score-CAM's map and what it cost.

    Attributes:
        maps: as the equation gives them.
        weights: of each channel; channels that were not run have 0.
        forwards: images run for each explained image; a naive run takes one for each channel.
        dead: channels whose mask is constant, which one forward of a blank image serves together.
        bound: share of the softmax that the channels not run could hold, if none of them scores above the best of the
            last ones run. 0 when all were run.
    """

    maps: Raw
    weights: Float[Tensor, "batch channels"]
    forwards: Int[Tensor, " batch"]
    dead: Int[Tensor, " batch"]
    bound: Float[Tensor, " batch"]


def score_cam(seen: Observation, tolerance: float = 1e-3, chunk: int = 16) -> ScoreCam:
    r"""Score-CAM :cite:p:`wang2020scorecam`: a channel counts by the logit of the image seen through it alone.

    .. math:: \alpha = \mathrm{softmax}_c\; y_t(X \odot M_c), \qquad L = \sum_c \alpha_c A_c

    with :math:`M_c` the channel, resized to the picture and scaled to [0, 1]. The softmax is over channels, of raw
    logits. What is covered becomes 0 in the *prepared* picture: the mean colour, not black.

    Channels go strongest first (by :math:`\sum A_c^2`). After each chunk the run stops once the softmax share of all
    that is left is below ``tolerance``; see ``ScoreCam.bound`` for the assumption. Where the scores lie close together,
    as on many trained networks, that never happens and every channel runs; ``tolerance=0`` makes sure of it.

    Args:
        seen: an observation that knows its network.
        tolerance: share of the softmax that may be left out.
        chunk: masked images that go through the network together.

    Returns:
        Maps, weights and the cost.

    Raises:
        ValueError: if ``seen`` does not know its network, or ``tolerance`` is not in [0, 1).
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must lie in [0, 1), got {tolerance}")
    network = _network(seen)
    weights = torch.zeros_like(seen.activation[:, :, 0, 0])
    forwards, dead, bounds = [], [], []
    with evaluating(network.model), torch.no_grad():
        for index in range(len(weights)):
            scores, run, bound = _scores(network, seen.select(slice(index, index + 1)), tolerance, chunk)
            weights[index] = scores.softmax(0)
            forwards.append(run)
            dead.append(int(_constant(seen.activation[index]).sum()))
            bounds.append(bound)
    device = weights.device
    return ScoreCam(
        weighted(weights, seen),
        weights,
        torch.tensor(forwards, dtype=torch.long, device=device),
        torch.tensor(dead, dtype=torch.long, device=device),
        torch.tensor(bounds, dtype=weights.dtype, device=device),
    )


def _scores(network: Network, one: Observation, tolerance: float, chunk: int) -> tuple[Tensor, int, float]:
    """Logit of each channel's masked image (minus infinity where not run), images run, and the bound."""
    image, maps, target = _network(one).images, one.activation[0], int(one.targets)
    scores = torch.full((len(maps),), -torch.inf, dtype=one.logits.dtype, device=maps.device)
    dead = _constant(maps)
    run = 0
    if bool(dead.any()):
        scores[dead] = network.model(torch.zeros_like(image))[0, target].to(scores)
        run += 1
    alive = (~dead).nonzero()[:, 0]
    alive = alive[maps[alive].square().sum((1, 2)).argsort(descending=True)]
    for start in range(0, len(alive), chunk):
        chosen = alive[start : start + chunk]
        scores[chosen] = network.model(image * _masks(maps[chosen], image))[:, target].to(scores)
        run += len(chosen)
        left = len(alive) - start - len(chosen)
        if not left:
            break
        bound = float(_could_hold(scores[chosen], left, scores))
        if bound < tolerance:
            return scores, run, bound
    return scores, run, 0.0


def _could_hold(last: Tensor, left: int, scores: Tensor) -> Tensor:
    """Share of the softmax that ``left`` channels hold if each scores as the best of the ``last`` ones did."""
    most = last.max() + torch.tensor(float(left)).log().to(scores)
    return (most - scores.logsumexp(0)).sigmoid()


def early_stop(
    activation: Float[Tensor, "channels rows columns"], weights: Float[Tensor, " channels"], chunk: int = 16
) -> Float[Tensor, "steps 3"]:
    """What the early stop of :func:`score_cam` sees on its way through one image, strongest channels first.

    Args:
        activation: the feature maps.
        weights: Score-CAM's, of all channels (``tolerance=0``).
        chunk: channels that go through the network together.

    Returns:
        After each chunk but the last: the share of the channels that have run, the share of the softmax that is left,
        and the bound on it.
    """
    dead = _constant(activation)
    strength = activation.square().sum((1, 2)).masked_fill(dead, torch.inf)  # one forward of a blank image serves these
    logs = weights[strength.argsort(descending=True)].log()
    steps = []
    for run in range(int(dead.sum()) + chunk, len(logs), chunk):
        bound = _could_hold(logs[run - chunk : run], len(logs) - run, logs[:run])
        steps.append(torch.stack([bound.new_tensor(run / len(logs)), 1 - logs[:run].exp().sum(), bound]))
    return torch.stack(steps) if steps else weights.new_zeros(0, 3)


def _masks(maps: Tensor, image: Tensor) -> Float[Tensor, "chosen 1 height width"]:
    """Channels at the picture's size, each from 0 to 1."""
    masks = functional.interpolate(maps[:, None], size=image.shape[-2:], mode="bilinear", align_corners=False)
    masks = masks - masks.amin((2, 3), keepdim=True)
    return masks / masks.amax((2, 3), keepdim=True)


def _constant(maps: Tensor) -> Tensor:
    """Channels that are the same everywhere, so that they cover nothing or all."""
    return maps.amax((1, 2)) == maps.amin((1, 2))


def ablation_cam(seen: Observation, chunk: int = 32) -> Raw:
    r"""Ablation-CAM :cite:p:`desai2020ablationcam`: a channel counts by how much the logit falls without it.

    .. math:: L = \sum_c \alpha_c A_c, \quad \alpha_c = (y_t - y_{t \setminus c}) / y_t

    A negative logit turns the sign of all weights around: the equation is the paper's.
    """
    return weighted(ablation_weights(seen, chunk), seen)


def ablation_weights(seen: Observation, chunk: int = 32) -> Float[Tensor, "batch channels"]:
    """The weights of :func:`ablation_cam`; channels that are zero everywhere have 0 without being run.

    Where the network allows it, what lies before the layer runs for one image only in each chunk.
    """
    network = _network(seen)
    weights = torch.zeros_like(seen.activation[:, :, 0, 0])
    with evaluating(network.model), torch.no_grad():
        for index in range(len(weights)):
            one = seen.select(slice(index, index + 1))
            alive = (one.activation[0] != 0).flatten(1).any(1).nonzero()[:, 0]
            run = _runner(one, alive[:2])
            for chosen in torch.split(alive, chunk):
                logits = run(chosen)
                full = one.logits[0, one.targets]
                fallen = full - logits[:, int(one.targets)]
                weights[index, chosen] = (fallen / torch.where(full != 0, full, torch.finfo(full.dtype).eps)).to(
                    weights
                )
    return weights


def _runner(one: Observation, trial: Tensor) -> Callable[[Tensor], Tensor]:
    """How to run one image with some channels off, one of them at a time.

    The layer's output can be given a batch of its own, so that all before it runs for a single image. Most networks let
    that batch through to the logits; one that fixes its batch size early, or joins a side branch, does not. So the
    short way is tried on two channels beside the long way, and taken only if both agree.
    """

    def short(channels: Tensor) -> Tensor:
        return _without(one, channels, copies=1)

    def long(channels: Tensor) -> Tensor:
        return _without(one, channels, copies=len(channels))

    try:
        agree = len(trial) > 1 and torch.allclose(short(trial), long(trial), rtol=1e-4, atol=1e-5)
    except (RuntimeError, ValueError, IndexError):  # shapes that do not meet
        agree = False
    return short if agree else long


def _without(one: Observation, channels: Tensor, copies: int) -> Float[Tensor, "channels classes"]:
    """Logits with each of these channels switched off, from ``copies`` of the image."""
    network = _network(one)
    off = torch.zeros(len(channels), one.activation.shape[1], 1, 1).to(one.activation)
    off[torch.arange(len(channels)), channels] = 1
    change = off * one.activation

    def edit(output: Tensor) -> Tensor:
        if network.reshape is None:
            return output - change
        wide = output.expand(len(channels), *output.shape[1:])
        back = torch.func.vjp(network.reshape, wide)[1]  # picking and reordering, so its transpose puts back
        placed: Tensor = back(change)[0]
        return wide - placed

    with edited(find_layer(network.model, network.layer), edit, network.call):
        logits: Tensor = network.model(network.images.expand(copies, -1, -1, -1))
    if logits.shape != (len(channels), one.logits.shape[1]):
        raise ValueError(f"the network gave {tuple(logits.shape)} for {len(channels)} changed layers")
    return logits


def _network(seen: Observation) -> Network:
    """The network, which an observation made by hand does not know."""
    if seen.network is None:
        raise ValueError("this method runs the network again: it needs an observation made by observe()")
    return seen.network
