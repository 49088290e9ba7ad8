r"""Boolean features of fair coin flips: the inputs are noise, so that a feature is learned or it is not.

A *feature* reads a few declared bits. Features of one :class:`Tasks` row read disjoint bits and are therefore
independent, which is what makes "how much of the representation is about this one" a question with an answer.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

__all__ = ["FEATURES", "Feature", "Tasks", "coins", "feature", "words"]

Bits = Bool[Tensor, "*batch bits"]


@dataclass(frozen=True)
class Feature:
    """A function of ``bits`` fair bits that is true for a share ``prevalence`` of all inputs."""

    name: str
    bits: int
    function: Callable[[Bits], Bool[Tensor, "*batch"]]

    @cached_property
    def prevalence(self) -> float:
        """Share of the inputs for which it is true, by counting all of them."""
        every = torch.arange(2**self.bits)[:, None] >> torch.arange(self.bits) & 1
        return float(self.function(every.bool()).double().mean())


def _parity(bits: Bits) -> Bool[Tensor, "*batch"]:
    """Whether an odd number of bits is set."""
    return bits.sum(-1) % 2 == 1


def _majority(bits: Bits) -> Bool[Tensor, "*batch"]:
    """Whether more than half of the bits are set."""
    return 2 * bits.sum(-1) > bits.shape[-1]


def _xor_of_xors(bits: Bits) -> Bool[Tensor, "*batch"]:
    """Two exclusive ors under a third: the same function as the parity of four, written as a tree."""
    first, second, third, fourth = bits.unbind(-1)
    return (first ^ second) ^ (third ^ fourth)


_ALL = (
    Feature("lin", 1, lambda bits: bits[..., 0]),
    Feature("and_2", 2, lambda bits: bits.all(-1)),
    Feature("and_3", 3, lambda bits: bits.all(-1)),
    Feature("majority_3", 3, _majority),
    Feature("majority_5", 5, _majority),
    Feature("xor", 2, _parity),
    Feature("parity_3", 3, _parity),
    Feature("parity_4", 4, _parity),
    Feature("parity_5", 5, _parity),
    Feature("xor_of_xors", 4, _xor_of_xors),
)
FEATURES = {known.name: known for known in _ALL}
"""Every feature by name. ``and_2`` and ``and_3`` are not balanced: they have less variance to be explained."""


def _find(name: str) -> Feature:
    """The feature of that name.

    Raises:
        ValueError: if there is none; the nearest is named.
    """
    if name not in FEATURES:
        near = difflib.get_close_matches(name, FEATURES, n=1, cutoff=0.0)
        raise ValueError(f"unknown feature {name!r}; did you mean {near[0]!r}? Known: {', '.join(FEATURES)}")
    return FEATURES[name]


def feature(name: str, bits: Integer[Tensor, "*batch bits"] | Bits) -> Bool[Tensor, "*batch"]:
    """The feature's value for each row of bits; it reads the first ones, as many as it declares.

    Example:
        >>> feature("xor", torch.tensor([[0, 0], [0, 1], [1, 1]])).tolist()
        [False, True, False]

    Args:
        name: out of ``FEATURES``.
        bits: zeros and ones, or booleans.

    Raises:
        ValueError: for an unknown name, too few bits, or values other than 0 and 1.
    """
    known = _find(name)
    if bits.shape[-1] < known.bits:
        raise ValueError(f"{name} reads {known.bits} bits, got {bits.shape[-1]}: give it more")
    if bits.dtype != torch.bool and bool(((bits != 0) & (bits != 1)).any()):
        raise ValueError("bits must be 0 or 1; signs go back with (x + 1) // 2")
    return known.function(bits[..., : known.bits].bool())


# A stream of coin flips for each seed -------------------------------------------------------------------------------

_GOLDEN, _FIRST, _SECOND = (value - 2**64 for value in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
MOST_BITS = 64


def _shifted(words: Tensor, by: int) -> Tensor:
    """Shift to the right without the sign."""
    return words >> by & (1 << 64 - by) - 1


def words(seeds: Int[Tensor, " seeds"], start: int, count: int) -> Int[Tensor, "seeds count"]:
    """Numbers ``start`` to ``start + count`` of each seed's stream of 64 random bits (SplitMix64).

    Counted, not drawn: what a seed gets does not depend on who else is in the batch, nor on what came before.
    """
    place = torch.arange(start + 1, start + count + 1, dtype=torch.int64, device=seeds.device)
    mixed = seeds.long()[:, None] + place * _GOLDEN
    mixed = (mixed ^ _shifted(mixed, 30)) * _FIRST
    mixed = (mixed ^ _shifted(mixed, 27)) * _SECOND
    return mixed ^ _shifted(mixed, 31)


def coins(seeds: Int[Tensor, " seeds"], start: int, count: int, bits: int) -> Bool[Tensor, "seeds count bits"]:
    """Rows ``start`` to ``start + count`` of fair bits, from each seed's own stream.

    Raises:
        ValueError: for more than 64 bits.
    """
    if not 0 < bits <= MOST_BITS:
        raise ValueError(f"bits must lie in 1..{MOST_BITS}, got {bits}")
    # streams of neighbouring seeds would overlap: each starts at a place drawn from another stream
    origin = words(torch.zeros_like(seeds[:1]), 0, 1)[:, 0] ^ seeds.long()
    streams = words(origin, 0, 1)[:, 0]
    return (words(streams, start, count)[..., None] >> torch.arange(bits, device=seeds.device) & 1).bool()


HELD_OUT = 2**40
"""Where evaluation begins in each stream, far behind what any training reads."""
BLOCK = 2**14
"""Examples of all seeds that are counted at a time."""


class Tasks:
    """A stack of tasks, a row for each pair of task and seed; tasks change slowest.

    Each task is a tuple of features, one output of the network each; all tasks have the same number. Rows of equal seed
    see the same inputs, so that tasks are compared pair by pair.

    Example:
        >>> tasks = Tasks([("lin", "xor"), ("lin", "lin")], seeds=[0, 1], bits=8)
        >>> x, y = tasks.batch(step=0, size=5)
        >>> tuple(x.shape), tuple(y.shape)
        ((4, 5, 8), (4, 5, 2))
    """

    def __init__(
        self, tasks: Sequence[Sequence[str]], seeds: Iterable[int], bits: int = 16, device: str | torch.device = "cpu"
    ) -> None:
        """Lay the features of each task over disjoint bits, in order.

        Raises:
            ValueError: for an unknown feature, too few bits, no tasks or seeds, or tasks of different length.
        """
        self.tasks = [tuple(task) for task in tasks]
        self.seeds = list(seeds)
        self.bits = bits
        if not self.tasks or not self.seeds or len({len(task) for task in self.tasks}) != 1:
            raise ValueError("give at least one task and one seed, and the same number of features in each task")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError("a seed stands there twice: two rows would be one and the same")
        for task in self.tasks:
            need = sum(_find(name).bits for name in task)
            if need > bits:
                raise ValueError(f"{' + '.join(task)} read {need} disjoint bits, there are {bits}")
        self._streams = torch.tensor(self.seeds, device=device)
        self._block: tuple[tuple[int, int], Tensor, Tensor] | None = None

    @property
    def row_seeds(self) -> list[int]:
        """The seed of each row."""
        return self.seeds * len(self.tasks)

    def rows(self, task: Sequence[str]) -> slice:
        """The rows of one task.

        Raises:
            ValueError: if it is not in the stack.
        """
        if tuple(task) not in self.tasks:
            raise ValueError(f"no task {tuple(task)}; there are {self.tasks}")
        first = self.tasks.index(tuple(task)) * len(self.seeds)
        return slice(first, first + len(self.seeds))

    def batch(
        self, step: int, size: int
    ) -> tuple[Float[Tensor, "rows size bits"], Float[Tensor, "rows size features"]]:
        """Inputs in {-1, 1} and labels in {0, 1} of one training step.

        Several steps are counted at a time and kept: on small batches the calls cost more than the arithmetic.
        """
        together = max(1, BLOCK // (size * len(self.seeds)))
        block, place = divmod(step, together)
        if self._block is None or self._block[0] != (block, size):
            self._block = ((block, size), *self._at(block * together * size, together * size))
        _, inputs, labels = self._block
        own = slice(place * size, (place + 1) * size)
        return inputs[:, own].repeat(len(self.tasks), 1, 1), labels[:, own].clone()

    def held_out(
        self, size: int, which: int = 0
    ) -> tuple[Float[Tensor, "rows size bits"], Float[Tensor, "rows size features"]]:
        """The same from a part of the streams that no training reads; another ``which``, other inputs."""
        inputs, labels = self._at(HELD_OUT * (1 + which), size)
        return inputs.repeat(len(self.tasks), 1, 1), labels

    def _at(self, start: int, size: int) -> tuple[Tensor, Tensor]:
        """Inputs of each seed, and labels of each row, from a place in the streams."""
        flips = coins(self._streams, start, size, self.bits)
        labels = torch.cat([torch.stack([*_values(task, flips)], -1) for task in self.tasks])
        return 2 * flips.float() - 1, labels.float()


def _values(task: Sequence[str], flips: Bits) -> Iterable[Bool[Tensor, "*batch"]]:
    """The features of one task, each from bits of its own."""
    place = 0
    for name in task:
        known = FEATURES[name]
        yield known.function(flips[..., place : place + known.bits])
        place += known.bits
