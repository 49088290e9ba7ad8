"""Real English that is on every machine with Python: its own manual, as characters.

The text is the language reference that ``help("for")`` prints, about 460,000 characters on some 80 topics, by the
Python Software Foundation and contributors, under the PSF licence. Each version of Python has its own edition, so
numbers that rest on it are comparable within one version.

A character's id is its ASCII code. Codes below 10 occur in no text, so 0 can stand for the start of an answer; ids from
128 on are sentinels for the gaps of :mod:`featlib.data.spans`.
"""

from __future__ import annotations

import zlib
from collections import Counter
from functools import cache
from typing import Literal, TypeAlias

import torch
from jaxtyping import Int
from torch import Tensor

from featlib.data.sources import DataError

__all__ = ["CHARACTERS", "SENTINELS", "Split", "decode", "encode", "passages", "topics"]

CHARACTERS = 128
"""Ids of characters are below this number."""
SENTINELS = range(CHARACTERS, CHARACTERS + 32)
"""Ids behind the characters, which no text has."""

Split: TypeAlias = Literal["train", "held_out"]

_PLAIN = str.maketrans({"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "..."})
_PARAGRAPH = 60  # characters from which on a repetition is no accident


def topics(split: Split = "train") -> dict[str, str]:
    """Texts by topic, to learn from or (about a tenth) to test on.

    The manual prints many of its paragraphs under several topics. Only topics that share none with any other are held
    out, so that nothing held out has been read in training.

    Raises:
        ValueError: for an unknown split.
        DataError: if this Python came without its manual.
    """
    if split not in {"train", "held_out"}:
        raise ValueError(f"split must be 'train' or 'held_out', got {split!r}")
    return dict(_splits()[split])


def encode(text: str) -> Int[Tensor, " length"]:
    """Ids of the characters; typographic quotes, dashes and dots become plain ones, others beyond ASCII a ``?``.

    Example:
        >>> encode("a–b").tolist()
        [97, 45, 98]
    """
    return torch.tensor(list(text.translate(_PLAIN).encode("ascii", "replace")), dtype=torch.int64)


def decode(ids: Int[Tensor, " length"]) -> str:
    """The text of ids, for people: a sentinel shows as its number in angle brackets, the start token as nothing.

    Example:
        >>> decode(torch.tensor([97, 128, 98]))
        'a⟨0⟩b'
    """
    return "".join(f"⟨{one - CHARACTERS}⟩" if one >= CHARACTERS else chr(one) if one else "" for one in ids.tolist())


def passages(count: int, length: int, seed: int, split: Split = "train") -> Int[Tensor, "count length"]:
    """Random stretches of text, each within one topic; all places are equally likely.

    Args:
        count: how many.
        length: characters of each.
        seed: of the places.
        split: where from.

    Raises:
        ValueError: for an unknown split, a number that is not positive, or a length that no topic has.
        DataError: if this Python came without its manual.
    """
    if count < 1 or length < 1:
        raise ValueError(f"count and length must be positive, got {count} and {length}")
    ids, starts = _places(split, length)
    if not len(starts):
        raise ValueError(f"no topic of {split!r} has {length} characters: ask for shorter passages")
    drawn = starts[torch.randint(len(starts), (count, 1), generator=torch.Generator().manual_seed(seed))]
    return ids[drawn + torch.arange(length)]


@cache
def _places(split: Split, length: int) -> tuple[Tensor, Tensor]:
    """All texts one after another, and where a passage can begin."""
    texts = [encode(text) for text in topics(split).values()]
    ends = torch.tensor([len(text) for text in texts]).cumsum(0)
    starts = [
        torch.arange(end - len(text), end - length + 1)
        for text, end in zip(texts, ends.tolist(), strict=True)
        if len(text) >= length
    ]
    return torch.cat(texts), torch.cat([ends[:0], *starts])


@cache
def _splits() -> dict[str, dict[str, str]]:
    """Both splits. A digest of its name says whether a topic is held out, so that new ones move no other."""
    try:
        from pydoc_data.topics import topics as texts
    except ImportError as error:
        raise DataError(
            "this Python came without its manual (pydoc_data): use one from python.org, conda or Debian's python3"
        ) from error
    prints = Counter(paragraph for text in texts.values() for paragraph in _paragraphs(text))
    own = [name for name, text in texts.items() if all(prints[paragraph] == 1 for paragraph in _paragraphs(text))]
    held_out = {name for name in own if zlib.crc32(name.encode()) % 3 == 0}
    return {
        "train": {name: text for name, text in texts.items() if name not in held_out},
        "held_out": {name: text for name, text in texts.items() if name in held_out},
    }


def _paragraphs(text: str) -> set[str]:
    """Paragraphs of some length, whatever their line breaks."""
    lines = [" ".join(part.split()) for part in text.split("\n\n")]
    return {line for line in lines if len(line) >= _PARAGRAPH}
