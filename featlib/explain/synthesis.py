r"""Pictures that a unit answers to, by gradient ascent on the pixels: an engine whose parts can be exchanged.

One iteration :cite:p:`nguyen2016multifaceted`: take the part of the picture that the network sees, climb

.. math:: x \leftarrow \mathrm{clip}(x + \eta\, g / \mathrm{mean}\lvert g \rvert), \quad g = \nabla_x (f(x) - R(x))

so that :math:`\eta` is a mean change in grey levels whatever the scale of the gradient, and then denoise, as a
*separate* step: a proximal step of total variation, not its gradient. All pictures of a batch go through the same
iterations at once, with one shift for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional
from tqdm.auto import tqdm

from featlib.explain.hooks import evaluating
from featlib.explain.objectives import Objective
from featlib.explain.schedules import OFFICIAL, Octave
from featlib.kernels import tv_dual, tv_prox

__all__ = ["DeadStartError", "Denoiser", "Synthesis", "flat_start", "maximise"]

Images = Float[Tensor, "batch colours height width"]
Prior = Callable[[Tensor], Tensor]
"""From pictures in [0, 1] to a number for each of them that the ascent keeps small."""
Denoiser = Callable[[Tensor, float, Tensor], Tensor]
"""From the seen part of the pictures, a weight and the denoiser's memory of that part (to be overwritten or ignored) to
smoothed pictures; :func:`tv` unless another is given."""


class DeadStartError(ValueError):
    """A start from which the unit has no gradient: nothing can be climbed, and 0 would be no finding."""


def tv(images: Tensor, weight: float, dual: Tensor) -> Tensor:
    """Ten warm steps of :func:`featlib.kernels.tv_prox`."""
    return tv_prox(images, weight, iterations=10, dual=dual)


@dataclass(frozen=True)
class Synthesis:
    """What an ascent came to.

    Attributes:
        images: the pictures at the end, in [0, 1].
        activation: the objective before each step, and at the end as the last row.
        frames: pictures on the way, the start first and the end last.
        steps: iterations done at each frame.
        dead: pictures that never had a gradient; they are their start and show nothing about the unit.
    """

    images: Images
    activation: Float[Tensor, "steps batch"]
    frames: tuple[Tensor, ...]
    steps: tuple[int, ...]
    dead: Bool[Tensor, " batch"]


def maximise(
    model: nn.Module,
    objective: Objective,
    start: Images,
    schedule: Sequence[Octave] = OFFICIAL,
    *,
    prior: Prior | None = None,
    denoiser: Denoiser = tv,
    prepare: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    frames: int = 2,
    chunk: int = 4,
    keep_dead: bool = False,
    progress: bool = False,
) -> Synthesis:
    """Climb an objective from some pictures.

    Args:
        model: any network; it is run in evaluation mode and left as it was found.
        objective: what to climb, such as :class:`featlib.explain.objectives.Unit`.
        start: pictures in [0, 1], at the size that the network sees; later octaves may enlarge them beyond it.
        schedule: octaves, such as ``OFFICIAL``, ``CENTRE_BIASED``, or your own.
        prior: a penalty whose gradient takes part in each step.
        denoiser: smooths after each step of an octave that has a ``fidelity``.
        prepare: from [0, 1] to what the network takes; default ``model.normalise`` if there is one.
        seed: of the shifts, which are the same for all pictures.
        frames: pictures to keep, evenly over the iterations, ends included.
        chunk: pictures that go through the network together: few are fastest on a CPU, many on a GPU.
        keep_dead: hand dead starts back, marked, instead of refusing them.
        progress: show a bar.

    Returns:
        Pictures, curve and frames.

    Raises:
        DeadStartError: if the gradient of a picture is zero at every iteration.
        ValueError: if the start is no batch of pictures in [0, 1], or a margin leaves nothing to move.
    """  # raised by what it calls
    _check(start, schedule)
    ready: Callable[[Tensor], Tensor] = getattr(model, "normalise", nn.Identity()) if prepare is None else prepare
    engine = _Engine(model, objective, start.detach().clone(), ready, prior, denoiser, chunk)
    random = torch.Generator().manual_seed(seed)
    total = sum(octave.iterations for octave in schedule)
    keep = {total, *(round(total * number / max(1, frames - 1)) for number in range(frames))}
    shown, steps, curve = [start.detach().clone()], [0], []
    with evaluating(model), tqdm(total=total, disable=not progress, leave=False, mininterval=1) as bar:
        for octave in schedule:
            engine.enlarge(octave.zoom)
            for i in range(octave.iterations):
                curve.append(engine.step(octave, i, random))
                bar.update()
                if len(curve) in keep:
                    shown.append(engine.images.clone())
                    steps.append(len(curve))
        curve.append(engine.value(schedule[-1].through))
    if not keep_dead:
        engine.refuse_dead()
    return Synthesis(engine.images, torch.stack(curve), tuple(shown), tuple(steps), ~engine.alive)


@dataclass
class _Engine:
    """Pictures under way."""

    model: nn.Module
    objective: Objective
    images: Tensor
    prepare: Callable[[Tensor], Tensor]
    prior: Prior | None
    denoiser: Denoiser
    chunk: int

    def __post_init__(self) -> None:
        self.seen = self.images.shape[-2:]
        self.dual = tv_dual(self.images)
        self.alive = torch.zeros(len(self.images), dtype=torch.bool, device=self.images.device)

    def enlarge(self, zoom: float) -> None:
        """A larger picture; the denoiser starts anew."""
        if zoom != 1:
            size = [round(zoom * side) for side in self.images.shape[-2:]]
            larger = functional.interpolate(self.images, size, mode="bicubic", align_corners=False)
            self.images, self.dual = larger.clamp(0, 1), tv_dual(larger)

    def step(self, octave: Octave, i: int, random: torch.Generator) -> Tensor:
        """One iteration in place; the objective before it."""
        step, weight = octave.at(i)
        window = self._window(octave.window, random)
        x = self.images[window]
        down, right = (torch.randint(-octave.roll, octave.roll + 1, (2,), generator=random)).tolist()
        rolled = x.roll((down, right), (2, 3)) if octave.roll else x
        values, gradient = self._gradient(rolled, octave.through)
        gradient = gradient.roll((-down, -right), (2, 3)) if octave.roll else gradient
        if octave.margin:
            inner = torch.zeros_like(gradient)
            within = slice(octave.margin, -octave.margin)
            inner[..., within, within] = gradient[..., within, within]
            gradient = inner
        scale = gradient.abs().mean((1, 2, 3), keepdim=True)
        self.alive |= scale.flatten() > 0
        x = (x + step * gradient / torch.where(scale > 0, scale, 1.0)).clamp(0, 1)
        self.images[window] = x if weight is None else self.denoiser(x, weight, self.dual[window])
        return values

    def refuse_dead(self) -> None:
        """Say which pictures never had a gradient.

        Raises:
            DeadStartError: if there are any.
        """
        if dead := (~self.alive).nonzero().flatten().tolist():
            raise DeadStartError(
                f"no gradient at any iteration for start(s) {dead[:5]}: the unit is shut there. "
                "Climb the layer before its activation, start from another picture, or pass keep_dead=True"
            )

    def value(self, through: str) -> Tensor:
        """The objective on the middle of the pictures as they are."""
        window = self._window(0.0, torch.Generator())
        with torch.no_grad():
            parts = torch.split(self.images[window], self.chunk)
            return torch.cat([self.objective(self.model, self.prepare(part), through) for part in parts])

    def _window(self, spread: float, random: torch.Generator) -> tuple[slice | type(...), ...]:  # type: ignore[valid-type]
        """What the network sees of the pictures, around their middle."""
        places = []
        for side, seen in zip(self.images.shape[-2:], self.seen, strict=True):
            room = side - seen
            drawn = room / 2 + float(torch.randn((), generator=random)) * room * spread if room else 0.0
            first = int(min(max(drawn, 0), room))
            places.append(slice(first, first + seen))
        return (..., *places)

    def _gradient(self, x: Tensor, through: str) -> tuple[Tensor, Tensor]:
        """Objective and its gradient, less the prior's."""
        values, gradients = [], []
        for part in torch.split(x, self.chunk):
            pixels = part.detach().requires_grad_()
            with torch.enable_grad():
                value = self.objective(self.model, self.prepare(pixels), through)
                climbed = (value if self.prior is None else value - self.prior(pixels)).sum()
            gradient = torch.autograd.grad(climbed, pixels)[0]  # pictures do not mix: one backward serves all
            values.append(value.detach())
            gradients.append(gradient)
        return torch.cat(values), torch.cat(gradients)


def flat_start(n: int, size: tuple[int, int, int], seed: int = 0, grey: float = 175, spread: float = 8) -> Images:
    """Random starts as in the paper's code: a grey with normal noise, in grey levels; ``size`` begins with colours."""
    drawn = torch.randn(n, *size, generator=torch.Generator().manual_seed(seed))
    return ((grey + spread * drawn) / 255).clamp(0, 1)


def _check(start: Tensor, schedule: Sequence[Octave]) -> None:
    """Refuse what cannot be climbed from, with a sentence that says what to change.

    Raises:
        ValueError: see :func:`maximise`.
    """
    if start.ndim != 4 or not start.is_floating_point() or not len(start):
        raise ValueError(
            f"start must be a float batch (batch, colours, height, width), got {start.dtype} {tuple(start.shape)}: "
            "for one picture use image[None]"
        )
    low, high = (float(end) for end in start.detach().aminmax())
    if not (low >= 0 and high <= 1):
        raise ValueError(f"start must lie in [0, 1], got {low:.3g}..{high:.3g}: pass pictures before preparation")
    if not schedule:
        raise ValueError("schedule is empty: give at least one Octave")
    margin = max(octave.margin for octave in schedule)
    if 2 * margin >= min(start.shape[-2:]):
        raise ValueError(
            f"a margin of {margin} leaves nothing of {tuple(start.shape[-2:])} pixels to move: "
            "use shorter(schedule, share, side)"
        )
