"""Text to the tokens of BERT :cite:p:`devlin2019bert`: words, and pieces of words that are rare.

Small letters without accents; words end at blanks, and every punctuation mark and Chinese character is a word of its
own. A word is cut into the longest piece of the vocabulary that it begins with, then the longest that goes on from
there (marked ``##``), and so on; if that fails at any place, the whole word is unknown.

Departs from BERT: the names of special tokens, such as ``[SEP]``, are words like others when a text holds them, so that
no text can end a sentence or hide a word.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from featlib.data import sources

__all__ = ["Batch", "WordPiece", "wordpiece"]

PAD, UNKNOWN, FIRST, LAST = "[PAD]", "[UNK]", "[CLS]", "[SEP]"
INSIDE = "##"
LONGEST_WORD = 100  # characters; BERT looks no further
CHINESE = (
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x2A6DF), (0x2A700, 0x2CEAF), (0x2F800, 0x2FA1F),
)  # fmt: skip


class Batch(NamedTuple):
    """Texts of one length: ids of their tokens, and whether each is one and not filling."""

    ids: Int[Tensor, "texts tokens"]
    real: Bool[Tensor, "texts tokens"]


class WordPiece:
    """A tokenizer.

    Example:
        >>> small = WordPiece(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "lazy", "ne", "##ur", "##on", "!"])
        >>> small.split("Lazy neuron!")
        ['lazy', 'ne', '##ur', '##on', '!']
        >>> small.encode(["Lazy!", "Ça"]).ids.tolist()
        [[2, 4, 8, 3], [2, 1, 3, 0]]

    Args:
        vocabulary: every token in the order of its id.

    Raises:
        ValueError: if a token stands there twice, or a special one is missing.
    """

    def __init__(self, vocabulary: Iterable[str]) -> None:
        self.tokens = tuple(vocabulary)
        self.ids = {token: number for number, token in enumerate(self.tokens)}
        if len(self.ids) < len(self.tokens):
            raise ValueError("a token stands twice in the vocabulary")
        if missing := {PAD, UNKNOWN, FIRST, LAST} - set(self.ids):
            raise ValueError(f"the vocabulary lacks {', '.join(sorted(missing))}")

    def split(self, text: str) -> list[str]:
        """The tokens of a text, without those that frame it."""
        return [piece for word in _words(text) for piece in self._pieces(word)]

    def encode(self, texts: Sequence[str], longest: int = 512) -> Batch:
        """Ids of texts, each framed by ``[CLS]`` and ``[SEP]`` and filled up to the longest of them.

        Args:
            texts: one or more.
            longest: tokens, frame included; what a text has beyond them is cut off.

        Raises:
            ValueError: if there are no texts, or no room for a token between the frame.
            TypeError: for a string in the place of a list of them.
        """
        if isinstance(texts, str):
            raise TypeError("texts must be a list of strings, got one string: put it in brackets")
        if not texts or longest < 3:
            raise ValueError(f"need at least 1 text and 3 tokens, got {len(texts)} and {longest}")
        rows = [[FIRST, *self.split(text)[: longest - 2], LAST] for text in texts]
        most = max(map(len, rows))
        ids = torch.tensor([[self.ids[token] for token in row + [PAD] * (most - len(row))] for row in rows])
        return Batch(ids, torch.arange(most) < torch.tensor([[len(row)] for row in rows]))

    def _pieces(self, word: str) -> list[str]:
        """One word, cut greedily."""
        pieces: list[str] = []
        start = 0
        while start < len(word) <= LONGEST_WORD:
            mark = INSIDE if start else ""
            ends = range(len(word), start, -1)
            end = next((end for end in ends if mark + word[start:end] in self.ids), None)
            if end is None:
                return [UNKNOWN]
            pieces.append(mark + word[start:end])
            start = end
        return pieces or [UNKNOWN]


def wordpiece() -> WordPiece:
    """The tokenizer of the published MiniLM, with BERT's vocabulary of 30,522 tokens.

    Raises:
        DataError: if it is not on this machine; the message says how to fetch it.
    """
    text = (sources.folder("minilm") / "vocab.txt").read_text(encoding="utf-8")
    return WordPiece(text.rstrip("\n").split("\n"))


def _words(text: str) -> list[str]:
    """Words and punctuation marks, in small letters without accents."""
    plain = "".join(map(_shown, text)).lower()
    plain = "".join(sign for sign in unicodedata.normalize("NFD", plain) if unicodedata.category(sign) != "Mn")
    return "".join(f" {sign} " if _stands_alone(sign) else sign for sign in plain).split()


def _shown(sign: str) -> str:
    """A blank for any blank, nothing for what cannot be seen."""
    kind = unicodedata.category(sign)
    if sign in "\t\n\r" or kind == "Zs":
        return " "
    return "" if kind[0] == "C" or sign == "\N{REPLACEMENT CHARACTER}" else sign


def _stands_alone(sign: str) -> bool:
    """Whether it is a word by itself: Chinese, punctuation, or anything in ASCII but letters and digits."""
    if sign.isascii():
        return not sign.isalnum() and sign != " "
    return unicodedata.category(sign)[0] == "P" or any(low <= ord(sign) <= high for low, high in CHINESE)
