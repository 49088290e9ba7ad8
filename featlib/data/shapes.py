r"""Coloured shapes made from a formula: an easy feature (colour) and a hard one (shape) in the same picture.

After the pictures with which :cite:t:`hermann2020shapes` ask what a network represents of features that it can tell
apart equally well. Shape and colour are independent and balanced; place, size and turn say nothing about either. All
shapes of one size have the **same area**, so that neither the amount of colour nor a mean over pixels gives the shape
away.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

__all__ = ["COLOURS", "KINDS", "Shapes", "shapes"]

Pixels = Float[Tensor, "n rows columns"]
Lengths = Float[Tensor, "n 1 1"]

COLOURS = {
    "red": (0.8, 0.2, 0.2),
    "blue": (0.2, 0.2, 0.8),
    "green": (0.2, 0.8, 0.2),
    "yellow": (0.8, 0.8, 0.2),
}
"""Red, green, blue of each colour before it is jittered."""

GROUND = 0.5
"""Grey of the background, before it is jittered."""

REACH = 2 / 3**0.75
"""How far the farthest shape, the triangle, reaches from its centre, in sides of the square of the same area."""


class Shapes(NamedTuple):
    """A batch of pictures.

    Attributes:
        images: in [0, 1].
        shapes: position of each picture's shape among the ``kinds`` that were asked for.
        colours: position of its colour among the ``colours`` that were asked for.
    """

    images: Float[Tensor, "n 3 size size"]
    shapes: Int[Tensor, " n"]
    colours: Int[Tensor, " n"]


def shapes(
    n: int,
    seed: int | torch.Generator = 0,
    size: int = 32,
    kinds: Sequence[str] = ("circle", "cross"),
    colours: Sequence[str] = ("red", "blue"),
    scale: tuple[float, float] = (0.3, 0.5),
    turn: float = 45.0,
    jitter: float = 0.1,
) -> Shapes:
    """Draw ``n`` pictures of one filled shape each, wholly inside, with smooth edges.

    Each pair of shape and colour comes equally often (once more or less where ``n`` does not divide), in random order.

    Example:
        >>> images, shape, colour = shapes(8, size=16)
        >>> tuple(images.shape), (2 * shape + colour).bincount().tolist()
        ((8, 3, 16, 16), [2, 2, 2, 2])

    Args:
        n: number of pictures.
        seed: of everything random, or a generator, which moves on and whose device the pictures are made on.
        size: height and width in pixels.
        kinds: shapes to draw, out of :data:`KINDS`.
        colours: colours to paint them in, out of :data:`COLOURS`.
        scale: smallest and largest side of the square of the same area, as shares of ``size``.
        turn: shapes are turned by up to this many degrees to either side.
        jitter: largest shift of each channel, of the shape's colour and of the background, anew for each picture.

    Returns:
        The pictures and their two labels.

    Raises:
        ValueError: for an unknown or repeated shape or colour, or a size at which a shape would not fit.
    """
    _check(n, kinds, colours, scale, jitter)
    generator = seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)

    def uniform(low: float, high: float, *columns: int) -> Tensor:
        drawn = torch.rand(n, *columns, generator=generator, device=generator.device)
        return low + (high - low) * drawn

    pair = _balanced(n, len(kinds) * len(colours), generator)
    shape, colour = pair // len(colours), pair % len(colours)
    side = size * uniform(*scale, 1)
    centre = REACH * side + (size - 2 * REACH * side) * uniform(0.0, 1.0, 2)
    inside = _coverage([KINDS[kind] for kind in kinds], shape, side, centre, uniform(-turn, turn), size)[:, None]
    palette = torch.tensor([COLOURS[name] for name in colours], device=generator.device)
    paint = palette[colour] + uniform(-jitter, jitter, 3)
    ground = GROUND + uniform(-jitter, jitter, 3)
    images = torch.lerp(ground[..., None, None], paint[..., None, None], inside)
    return Shapes(images.clamp(0, 1), shape, colour)


def _balanced(n: int, values: int, generator: torch.Generator) -> Int[Tensor, " n"]:
    """Numbers below ``values``, equally often and in random order; which come once more is random too."""
    device = generator.device
    full = torch.arange(n - n % values, device=device) % values
    rest = torch.randperm(values, generator=generator, device=device)[: n % values]
    return torch.cat([full, rest])[torch.randperm(n, generator=generator, device=device)]


def _coverage(
    distances: Sequence[Callable[[Pixels, Pixels, Lengths], Pixels]],
    shape: Int[Tensor, " n"],
    side: Float[Tensor, "n 1"],
    centre: Float[Tensor, "n 2"],
    turn: Float[Tensor, " n"],
    size: int,
) -> Float[Tensor, "n size size"]:
    """Share of each pixel that lies in the shape: one half less the distance to the edge, in pixels, cut to [0, 1]."""
    middles = torch.arange(size, device=side.device) + 0.5
    down = (middles - centre[:, :1])[:, :, None]
    right = (middles - centre[:, 1:])[:, None, :]
    angle = torch.deg2rad(turn)[:, None, None]
    across = angle.cos() * right + angle.sin() * down
    along = angle.cos() * down - angle.sin() * right
    distance = torch.empty_like(across)
    for kind, measure in enumerate(distances):
        rows = (shape == kind).nonzero()[:, 0]
        distance[rows] = measure(across[rows], along[rows], side[rows, :, None])
    return (0.5 - distance).clamp(0, 1)


def _square(x: Pixels, y: Pixels, side: Lengths) -> Pixels:
    """Signed distance to the nearest edge's line, as in the three below; negative inside."""
    return torch.maximum(x.abs(), y.abs()) - side / 2


def _circle(x: Pixels, y: Pixels, side: Lengths) -> Pixels:
    """Of radius side / sqrt(pi)."""
    return torch.hypot(x, y) - side / math.sqrt(math.pi)


def _triangle(x: Pixels, y: Pixels, side: Lengths) -> Pixels:
    """Equilateral, point up, about its centroid; its edges pass at half of its reach."""
    slanted = math.sqrt(3) / 2 * x.abs() - y / 2
    return torch.maximum(slanted, y) - REACH / 2 * side


def _cross(x: Pixels, y: Pixels, side: Lengths) -> Pixels:
    """Five equal squares: two bars, three times as long as wide."""
    half = side / (2 * math.sqrt(5))
    x, y = x.abs(), y.abs()
    return torch.minimum(torch.maximum(x - 3 * half, y - half), torch.maximum(x - half, y - 3 * half))


KINDS: dict[str, Callable[[Pixels, Pixels, Lengths], Pixels]] = {
    "square": _square,
    "circle": _circle,
    "triangle": _triangle,
    "cross": _cross,
}
"""Shapes by name: signed distance of each point from the edge, for the side of the square of the same area."""


def _check(n: int, kinds: Sequence[str], colours: Sequence[str], scale: tuple[float, float], jitter: float) -> None:
    """Refuse what cannot be drawn."""
    if n < 0:
        raise ValueError(f"n must be 0 or more, got {n}")
    _known("shape", kinds, KINDS)
    _known("colour", colours, COLOURS)
    if not 0 < scale[0] <= scale[1] <= 0.5 / REACH:
        raise ValueError(f"scale must be two shares in (0, {0.5 / REACH:.2f}], the smaller first; got {scale}")
    if not 0 <= jitter <= 0.5:
        raise ValueError(f"jitter must lie in [0, 0.5], got {jitter}")


def _known(what: str, given: Sequence[str], known: Collection[str]) -> None:
    """Refuse names that are unknown, or there twice, or none at all."""
    if not given or len(set(given)) < len(given):
        raise ValueError(f"give at least one {what}, and each once; got {tuple(given)}")
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"unknown {what} {name!r}; did you mean {near!r}? Known: {', '.join(known)}")
