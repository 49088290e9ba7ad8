"""Texts with gaps, and what belongs into them: the task from which T5 :cite:p:`raffel2020t5` learns."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Int
from torch import Tensor

__all__ = ["corrupt", "gaps"]


def corrupt(
    tokens: Int[Tensor, "batch length"],
    sentinels: Sequence[int],
    seed: int,
    density: float = 0.15,
    mean_span: float = 3.0,
) -> tuple[Int[Tensor, "batch source"], Int[Tensor, "batch target"]]:
    """Cut spans out of texts: what is left, with a sentinel in each gap, and the spans, each behind its sentinel.

    All texts lose the same number of tokens in the same number of spans, so that nothing needs padding: only where the
    spans lie is drawn, each division of the text with the same chance. A text begins with tokens that stay and ends
    with a span. Behind the last span stands one more sentinel, which says that it is over.

    Example:
        >>> inputs, targets = corrupt(torch.arange(12)[None], range(90, 99), seed=1, density=0.4, mean_span=2.0)
        >>> inputs.tolist(), targets.tolist()
        ([[0, 1, 2, 3, 4, 90, 6, 7, 91]], [[90, 5, 91, 8, 9, 10, 11, 92]])

    Args:
        tokens: texts of one length.
        sentinels: tokens that occur in no text, in the order of the gaps: ``range(32099, 31999, -1)`` for the
            published vocabulary, :data:`featlib.data.english.SENTINELS` for characters.
        seed: of the places.
        density: share of the tokens to cut out.
        mean_span: tokens of a span, on average.

    Raises:
        ValueError: if a number is out of range, there are too few sentinels, or one of them occurs in a text.
    """
    batch, length = tokens.shape
    lost, spans = _sizes(length, density, mean_span)
    if len(sentinels) <= spans:
        raise ValueError(f"{spans} gaps need {spans + 1} sentinels, got {len(sentinels)}: give more, or shorter texts")
    marks = torch.tensor(list(sentinels)[: spans + 1], dtype=tokens.dtype, device=tokens.device)
    if bool(torch.isin(tokens, marks).any()):
        raise ValueError("a sentinel occurs in a text: use ids that no text has")
    gap, number, first = (part.to(tokens.device) for part in _places(batch, length, lost, spans, seed))
    mark = marks[number]
    inputs = torch.where(gap, mark, tokens)[~gap | first].view(batch, length - lost + spans)
    # the first token that stays before a span makes room for the span's sentinel
    targets = torch.where(gap, tokens, mark)[gap | first].view(batch, lost + spans)
    return inputs, torch.cat([targets, marks[-1].expand(batch, 1)], 1)


def gaps(
    batch: int, length: int, seed: int, density: float = 0.15, mean_span: float = 3.0
) -> Bool[Tensor, "batch length"]:
    """Which tokens :func:`corrupt` cuts out with these settings.

    Raises:
        ValueError: if a number is out of range.
    """
    return _places(batch, length, *_sizes(length, density, mean_span), seed)[0]


def _places(batch: int, length: int, lost: int, spans: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """For each token: is it cut out, the number of its span or of the span that follows, does it begin a part."""
    generator = torch.Generator().manual_seed(seed)
    stay, go = (_division(batch, total, spans, generator) for total in (length - lost, lost))
    ends = torch.stack([stay, go], 2).flatten(1).cumsum(1)  # parts that stay and spans take turns
    part = torch.searchsorted(ends, torch.arange(length).repeat(batch, 1), right=True)
    first = part != torch.cat([part.new_full((batch, 1), -1), part[:, :-1]], 1)
    return part % 2 == 1, part // 2, first


def _division(batch: int, total: int, parts: int, generator: torch.Generator) -> Int[Tensor, "batch parts"]:
    """Lengths of ``parts`` parts, none empty, that add up to ``total``; all ways to divide are equally likely."""
    places = torch.rand(batch, total - 1, generator=generator).argsort(1)[:, : parts - 1].sort(1).values + 1
    edges = torch.cat([places.new_zeros(batch, 1), places, places.new_full((batch, 1), total)], 1)
    return edges.diff(dim=1)


def _sizes(length: int, density: float, mean_span: float) -> tuple[int, int]:
    """How many tokens are cut out, in how many spans.

    Raises:
        ValueError: if a number is out of range.
    """
    if length < 2:
        raise ValueError(f"texts must have 2 tokens or more, got {length}")
    if not 0 < density < 1:
        raise ValueError(f"density is the share of tokens to cut out, between 0 and 1; got {density}")
    if mean_span < 1:
        raise ValueError(f"mean_span is a number of tokens, 1 or more; got {mean_span}")
    lost = min(max(round(length * density), 1), length - 1)
    return lost, min(max(round(lost / mean_span), 1), length - lost)
