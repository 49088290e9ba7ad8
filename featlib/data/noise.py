r"""Labels and inputs that mean nothing: label noise, random labels, random inputs, and a stream that never repeats.

:cite:p:`zhang2017rethinking` trained on these to ask what fits noise; :cite:p:`li2023lazy` to ask what makes networks
sparse. Everything is counted, not drawn: what example :math:`i` of a seed gets does not depend on how many there are,
on the order in which they are asked for, or on the state of any generator.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from featlib.data.boolean import HELD_OUT, _shifted, words

__all__ = ["NoisyLabels", "RandomStream", "label_noise", "random_inputs", "random_labels"]

PURPOSES = {"who": 1, "label": 2, "input": 3, "stream": 4}
"""Of each kind of random number, so that no two kinds share a stream."""

CHUNK = 2**16
"""Random words made at a time: what a core's cache holds."""


@dataclass(frozen=True)
class NoisyLabels:
    """Labels of which some were replaced.

    Attributes:
        labels: to train on.
        clean: as they were.
        drawn: which examples got a new label; it may be the old one if all classes were drawn from.
    """

    labels: Int[Tensor, " n"]
    clean: Int[Tensor, " n"]
    drawn: Bool[Tensor, " n"]

    @property
    def wrong(self) -> Bool[Tensor, " n"]:
        """Which labels are no longer right."""
        return self.labels != self.clean

    @property
    def purity(self) -> float:
        """Share of labels that are right: to be reported instead of one less the rate."""
        return 1 - float(self.wrong.double().mean())


def label_noise(
    labels: Int[Tensor, " n"],
    rate: float,
    classes: int,
    seed: int = 0,
    among: Literal["others", "all"] = "others",
    exact: bool = False,
) -> NoisyLabels:
    """Uniform label noise: a share of the examples gets a new label, all candidates equally likely.

    With ``among="others"`` the new label is always wrong, and the rate is the share of wrong labels. With ``"all"``, as
    :cite:p:`zhang2017rethinking` has it, one new label in ``classes`` is right by chance, and a rate of 1 leaves
    nothing of the old labels. The noise is nested: who gets a new label at one rate gets the same one at each higher
    rate.

    Example:
        >>> noisy = label_noise(torch.zeros(1000, dtype=torch.long), 0.4, classes=10, exact=True)
        >>> int(noisy.wrong.sum()), noisy.purity
        (400, 0.6)

    Args:
        labels: from 0 to ``classes`` - 1.
        rate: probability of a new label.
        classes: number of classes.
        seed: of the choice.
        among: the candidates, see above.
        exact: give exactly ``round(rate * n)`` examples a new label, not each with that probability.

    Raises:
        ValueError: for a rate outside [0, 1], labels outside the classes, an unknown ``among``, or one class without
            others.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"rate must lie in [0, 1], got {rate}")
    if among not in {"others", "all"}:
        raise ValueError(f"among must be 'others' or 'all', got {among!r}")
    if classes < (2 if among == "others" else 1):
        raise ValueError(f"{classes} classes leave no label to draw among {among!r}")
    if not bool(((labels >= 0) & (labels < classes)).all()):
        raise ValueError(f"labels must lie in 0..{classes - 1}: give the number of all classes")
    n = len(labels)
    chance = _uniform(seed, "who", 0, n).to(labels.device)
    if exact:
        drawn = torch.zeros(n, dtype=torch.bool, device=labels.device)
        drawn[chance.argsort()[: round(rate * n)]] = True
    else:
        drawn = chance < rate
    if among == "all":
        new = random_labels(n, classes, seed).to(labels)
    else:
        new = (labels + 1 + random_labels(n, classes - 1, seed).to(labels)) % classes
    return NoisyLabels(torch.where(drawn, new, labels), labels.clone(), drawn)


def random_labels(n: int, classes: int, seed: int = 0) -> Int[Tensor, " n"]:
    """A label for each of ``n`` examples that has nothing to do with it, all classes equally likely.

    Raises:
        ValueError: if there is no class.
    """
    if classes < 1:
        raise ValueError(f"classes must be positive, got {classes}")
    return (_uniform(seed, "label", 0, n) * classes).long()


def random_inputs(
    n: int, shape: Sequence[int], seed: int = 0, mean: float = 0.0, std: float = 1.0
) -> Float[Tensor, "n *shape"]:
    """A fixed set of ``n`` inputs without any structure, every value normal and independent.

    Args:
        n: how many.
        shape: of one input.
        seed: of all values.
        mean: of the values; those of the real data make the first layer see the usual size.
        std: their standard deviation.

    Raises:
        ValueError: for an empty shape or a negative deviation.
    """
    return _normal(seed, "input", 0, n, shape, mean, std)


@dataclass(frozen=True)
class RandomStream:
    """Infinite data: in each step fresh random inputs with fresh random labels, so that nothing can be memorised.

    Example:
        >>> stream = RandomStream((1, 28, 28), classes=10)
        >>> x, y = stream.batch(step=0, size=32)
        >>> tuple(x.shape), tuple(y.shape)
        ((32, 1, 28, 28), (32,))

    Attributes:
        shape: of one input.
        classes: number of labels.
        seed: of everything.
        mean: of the inputs' values.
        std: their standard deviation.
    """

    shape: tuple[int, ...]
    classes: int
    seed: int = 0
    mean: float = 0.0
    std: float = 1.0

    def batch(self, step: int, size: int) -> tuple[Float[Tensor, "size *shape"], Int[Tensor, " size"]]:
        """Inputs and labels of one step: numbers ``step * size`` to ``(step + 1) * size`` of the stream.

        Raises:
            ValueError: for a shape, a deviation or a number of classes that gives nothing.
        """
        return self._at(step * size, size)

    def held_out(self, size: int, which: int = 0) -> tuple[Float[Tensor, "size *shape"], Int[Tensor, " size"]]:
        """The same from a part of the stream that no training reads; another ``which``, other examples."""
        return self._at(HELD_OUT * (1 + which), size)

    def _at(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Inputs and labels from a place in the stream."""
        if self.classes < 1:
            raise ValueError(f"classes must be positive, got {self.classes}")
        labels = (_uniform(self.seed, "label", start, size) * self.classes).long()
        return _normal(self.seed, "stream", start, size, self.shape, self.mean, self.std), labels


def _stream(seed: int, purpose: str) -> Int[Tensor, " 1"]:
    """Where the stream of a seed begins: for each purpose somewhere else, at random."""
    origin = words(torch.tensor([PURPOSES[purpose]]), 0, 1)[:, 0] ^ seed
    return words(origin, 0, 1)[:, 0]


def _uniform(seed: int, purpose: str, start: int, n: int) -> Float[Tensor, " n"]:
    """Numbers ``start`` to ``start + n`` of a stream, in [0, 1), in float64."""
    return _shifted(words(_stream(seed, purpose), start, n)[0], 11).double() * 2.0**-53


def _normal(
    seed: int, purpose: str, start: int, n: int, shape: Sequence[int], mean: float, std: float
) -> Float[Tensor, "n *shape"]:
    """Normal numbers, two from each word (Box and Muller): its halves are a length and an angle."""
    size = math.prod(shape)
    if size < 1 or std < 0:
        raise ValueError(f"shape must have an element and std not be negative, got {tuple(shape)} and {std}")
    need = -(-size // 2)
    stream, rows = _stream(seed, purpose), max(1, CHUNK // need)
    values = torch.empty(n, size)
    for first in range(0, n, rows):
        part = values[first : first + rows]
        random = words(stream, (start + first) * need, len(part) * need).reshape(len(part), need)
        length = ((_shifted(random, 32) + 1).double() * 2.0**-32).float().log().mul(-2).sqrt()
        angle = (random & 2**32 - 1).float() * (2 * math.pi / 2**32)
        part[:, :need] = length * angle.cos()
        part[:, need:] = (length * angle.sin())[:, : size - need]
    return values.mul_(std).add_(mean).reshape(n, *shape)
