"""Small scenes whose background and bystander tell the class most of the time, and then do not.

In the manner of UrbanCars: a class, a background that agrees with it, and a small object beside it that agrees too. The
class here is mammal or fruit, the background grown or built, the bystander a flower or a tool; all are photographs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from featlib.data.photographs import Photograph, natural, random_square
from featlib.data.scenes import _blend, _resized
from featlib.data.stamps import Stamp, stamps

__all__ = ["Contexts", "Kinds", "in_context", "kinds"]

CLASSES = ("animals/mammals", "food/fruit")
BYSTANDERS = ("plants/flowers", "household/tools")
GROUNDS = (("grass", "flower"), ("brick", "china"))


@dataclass(frozen=True)
class Kinds:
    """Two kinds of everything a scene is made of."""

    objects: tuple[Sequence[Stamp], Sequence[Stamp]]
    bystanders: tuple[Sequence[Stamp], Sequence[Stamp]]
    grounds: tuple[Sequence[Photograph], Sequence[Photograph]]


@dataclass(frozen=True)
class Contexts:
    """A batch of scenes.

    Attributes:
        images: in [0, 1].
        label: 0 or 1, the class.
        ground: 0 or 1, the background; equal to the label if they agree.
        bystander: 0 or 1, the small object.
    """

    images: Float[Tensor, "n 3 size size"]
    label: Int[Tensor, " n"]
    ground: Int[Tensor, " n"]
    bystander: Int[Tensor, " n"]

    @property
    def group(self) -> Int[Tensor, " n"]:
        """One of eight: class, background and bystander as bits."""
        return 4 * self.label + 2 * self.ground + self.bystander


def kinds(held_out: bool = False, share: float = 0.6, found: Sequence[Stamp] | None = None) -> Kinds:
    """The cut-outs and photographs; what is shown in training is not in the part that is held out.

    Args:
        held_out: which part.
        share: of the objects of each class that are for training.
        found: all stamps, if they have been read before; None reads them.

    Raises:
        ValueError: if a part would be empty.
        DataError: if the data is not on this machine.
    """
    if not 0 < share < 1:
        raise ValueError(f"share must lie strictly between 0 and 1, got {share}")
    found = stamps() if found is None else found
    order = np.random.default_rng(0)

    def part(folder: str) -> list[Stamp]:
        members = [stamp for stamp in found if stamp.name.startswith(folder + "/")]
        mixed = [members[place] for place in order.permutation(len(members))]
        cut = round(share * len(mixed))
        return mixed[cut:] if held_out else mixed[:cut]

    objects = part(CLASSES[0]), part(CLASSES[1])
    beside = tuple([s for s in found if s.name.startswith(folder + "/")] for folder in BYSTANDERS)
    return Kinds(objects, (beside[0], beside[1]), (natural(GROUNDS[0]), natural(GROUNDS[1])))


def in_context(made_of: Kinds, n: int, agree: float = 0.95, size: int = 32, seed: int = 0) -> Contexts:
    """Scenes with an object in the middle and a bystander in a corner.

    Background and bystander agree with the class each with probability ``agree``, independently; one half makes both
    uninformative.

    Args:
        made_of: what to choose from.
        n: number of scenes; fewer scenes are the first of more.
        agree: probability that each context agrees with the class.
        size: height and width.
        seed: of everything random.

    Raises:
        ValueError: if ``agree`` is no probability, or the scene is too small to hold two objects.
    """
    if not 0 <= agree <= 1 or size < 8:
        raise ValueError(f"agree must lie in [0, 1] and size be 8 or more, got {agree} and {size}")
    images, rows = torch.empty(n, 3, size, size), []
    objects = [_Cuts(stamps, round(0.7 * size)) for stamps in made_of.objects]
    bystanders = [_Cuts(stamps, round(0.35 * size)) for stamps in made_of.bystanders]
    for scene in range(n):
        random = np.random.default_rng([seed, scene])
        label = int(random.integers(2))
        ground, bystander = (label if random.random() < agree else 1 - label for _ in range(2))
        photographs = made_of.grounds[ground]
        image = random_square(photographs[int(random.integers(len(photographs)))].image, size, random)
        _place(objects[label], image, random, corner=False)
        _place(bystanders[bystander], image, random, corner=True)
        images[scene] = image
        rows.append((label, ground, bystander))
    label_, ground_, bystander_ = torch.tensor(rows, dtype=torch.long).reshape(-1, 3).unbind(1)
    return Contexts(images, label_, ground_, bystander_)


class _Cuts:
    """Cut-outs at one size. Each is resized when it is first asked for, and once: that costs more than a scene."""

    def __init__(self, stamps: Sequence[Stamp], side: int) -> None:
        self._stamps, self._side = stamps, side
        self._made: dict[int, Float[Tensor, "4 height width"]] = {}

    def draw(self, random: np.random.Generator) -> Float[Tensor, "4 height width"]:
        """One of them at random; not to be changed."""
        place = int(random.integers(len(self._stamps)))
        if place not in self._made:
            self._made[place] = _resized(self._stamps[place].rgba, self._side)
        return self._made[place]


def _place(choice: _Cuts, image: Float[Tensor, "3 size size"], random: np.random.Generator, corner: bool) -> None:
    """Paste one cut-out, near the middle or into the lower right corner."""
    cut = choice.draw(random)
    size, (height, width) = image.shape[1], cut.shape[1:]
    if corner:
        _blend(cut, image, size - height, size - width)
        return
    room = (size - height) // 2, (size - width) // 2
    top, left = (int(random.integers(r // 2, r + r // 2 + 1)) for r in room)
    _blend(cut, image, top, left)
