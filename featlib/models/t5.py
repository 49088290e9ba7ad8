r"""T5 :cite:p:`raffel2020t5`, version 1.0: an encoder reads a text with gaps, a decoder writes what is missing.

Layers by name, at the size "base", for S tokens in and T out:

=================================  ===================  ==========================================
name                               shape                values
=================================  ===================  ==========================================
``encoder.layers.K``               S x 768              signed: the residual stream
``encoder.layers.K.mlp.act``       S x 3072             non-negative, mostly zero once trained
``encoder``                        S x 768              signed: normalised, what the decoder reads
``decoder.layers.K.mlp.act``       T x 3072             non-negative
``decoder``                        T x 768              signed: normalised
=================================  ===================  ==========================================

Normalisation divides by the root mean square and has a scale only; nothing has a bias. Scores of attention are not
divided by :math:`\sqrt{d}`, which the start of the query weights makes up for; what they know of position is
a learned number for each head and bucket of distances (:mod:`featlib.models.position`), shared by a stack's layers.
Logits are products with the embedding, divided by :math:`\sqrt{d}`.

Departs from the original: no dropout, and no padding, so all texts of a batch have one length. The position numbers
belong to the stack (``encoder.position``), not to its first layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from featlib.models.layers import check_sizes
from featlib.models.position import PositionBias
from featlib.models.relu_mlp import ReluMLP

__all__ = ["CONFIGS", "START", "T5", "Attention", "Cache", "Layer", "Stack", "T5Config"]

START = 0
"""The token before the first one that the decoder writes."""
EPS = 1e-6

Stream = Float[Tensor, "batch tokens width"]
KeysValues: TypeAlias = tuple[Tensor, Tensor]
"""Keys and values of a layer, (batch, heads, tokens, head width) each."""


@dataclass(frozen=True)
class T5Config:
    """Sizes.

    Attributes:
        vocabulary: different tokens, the sentinels included.
        width: of the residual stream.
        ff: hidden units of each perceptron.
        layers: of the encoder, and again of the decoder.
        heads: of each attention.
        head_width: of each head; heads times this need not be the width.
        buckets: of distances; an even number, 4 or more.
        furthest: the distance from which on all fall into the last bucket.
        topk: how many hidden units may be active at once on a token; None for all.

    Raises:
        ValueError: for sizes that are not positive, or buckets that do not suit.
    """

    vocabulary: int = 32128
    width: int = 768
    ff: int = 3072
    layers: int = 12
    heads: int = 12
    head_width: int = 64
    buckets: int = 32
    furthest: int = 128
    topk: int | None = None

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.buckets % 4:
            raise ValueError(f"buckets must be a multiple of 4 (two directions, near and far), got {self.buckets}")
        if self.furthest <= self.buckets // 2:
            raise ValueError(f"furthest must exceed {self.buckets // 2}, half of the buckets; got {self.furthest}")


CONFIGS = {
    "t5_small": T5Config(width=512, ff=2048, layers=6, heads=8),
    "t5_base": T5Config(),
    "t5_large": T5Config(width=1024, ff=4096, layers=24, heads=16),
    "t5_3b": T5Config(width=1024, ff=16384, layers=24, heads=32, head_width=128),
    "t5_11b": T5Config(width=1024, ff=65536, layers=24, heads=128, head_width=128),
    "t5_tiny": T5Config(vocabulary=160, width=64, ff=256, layers=2, heads=4, head_width=16),
}
"""The published sizes, and one for a laptop: 128 characters and 32 sentinels."""


@dataclass(frozen=True)
class Cache:
    """What a decoder need not compute again: keys and values of the text read, and of the tokens written so far."""

    read: tuple[KeysValues, ...]
    written: tuple[KeysValues, ...]


class Attention(nn.Module):
    """Attention in several heads, without biases and without a division of the scores."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        width, inner = config.width, config.heads * config.head_width
        self.query, self.key, self.value = (nn.Linear(width, inner, bias=False) for _ in range(3))
        self.out = nn.Linear(inner, width, bias=False)
        self.heads = config.heads
        nn.init.normal_(self.query.weight, std=(width * config.head_width) ** -0.5)
        for linear in (self.key, self.value, self.out):
            nn.init.normal_(linear.weight, std=linear.in_features**-0.5)

    def keys_values(self, x: Stream) -> KeysValues:
        """What others can read of these tokens."""
        return self._split(self.key(x)), self._split(self.value(x))

    def forward(self, x: Stream, read: KeysValues, bias: Tensor | None) -> Stream:
        """Each token's mixture of the values that it reads."""
        query = self._split(self.query(x))
        mixed = functional.scaled_dot_product_attention(query, *read, attn_mask=bias, scale=1.0)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def _split(self, rows: Tensor) -> Tensor:
        """By heads."""
        batch, tokens, inner = rows.shape
        return rows.view(batch, tokens, self.heads, inner // self.heads).transpose(1, 2)


class Layer(nn.Module):
    """Attention to its own stack, for a decoder ``cross`` attention to the encoder, and a perceptron, each added."""

    def __init__(self, config: T5Config, decodes: bool) -> None:
        super().__init__()
        self.attention_norm, self.attention = nn.RMSNorm(config.width, EPS), Attention(config)
        if decodes:
            self.cross_norm, self.cross = nn.RMSNorm(config.width, EPS), Attention(config)
        self.mlp_norm = nn.RMSNorm(config.width, EPS)
        self.mlp = ReluMLP(config.width, config.ff, config.topk, bias=False, init="lecun")

    def forward(
        self, x: Stream, bias: Tensor, read: KeysValues | None = None, before: KeysValues | None = None
    ) -> tuple[Stream, KeysValues]:
        """The residual stream, and keys and values of all tokens so far: those ``before`` and these."""
        normed = self.attention_norm(x)
        own = self.attention.keys_values(normed)
        if before is not None:
            own = (torch.cat([before[0], own[0]], 2), torch.cat([before[1], own[1]], 2))
        x = x + self.attention(normed, own, bias)
        if read is not None:
            x = x + self.cross(self.cross_norm(x), read, None)
        return x + self.mlp(self.mlp_norm(x)), own


class Stack(nn.Module):
    """Encoder or decoder: the layers, what they share of position, and the last normalisation."""

    def __init__(self, config: T5Config, decodes: bool) -> None:
        super().__init__()
        self.position = PositionBias(config.heads, config.buckets, config.furthest, causal=decodes)
        nn.init.normal_(self.position.weight, std=config.width**-0.5)
        self.layers = nn.ModuleList(Layer(config, decodes) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, EPS)

    def forward(self, x: Stream, cache: Cache | None = None) -> tuple[Stream, tuple[KeysValues, ...]]:
        """Normalised stream, and keys and values of each layer."""
        nothing: Sequence[None] = [None] * len(self.layers)
        read, before = (cache.read, cache.written) if cache else (nothing, nothing)
        past = before[0][0].shape[2] if before[0] else 0
        bias = self.position(x.shape[1], past + x.shape[1])
        written = []
        for layer, *known in zip(self.layers, read, before, strict=True):
            x, own = layer(x, bias, *known)
            written.append(own)
        return self.norm(x), tuple(written)


class T5(nn.Module):
    """The network; see the module for its layers' names.

    It is trained with ``forward``, and writes with ``start`` and ``decode``, any number of tokens at a time:

        >>> from featlib.models import build
        >>> model = build("t5_tiny")
        >>> text = torch.randint(128, (1, 40))
        >>> cache, token = model.start(model.encode(text)), torch.full((1, 1), START)
        >>> for _ in range(5):
        ...     logits, cache = model.decode(token, cache)
        ...     token = logits.argmax(-1)
        >>> tuple(logits.shape)
        (1, 1, 160)
    """

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)  # starts normal, with variance 1
        self.encoder, self.decoder = Stack(config, decodes=False), Stack(config, decodes=True)

    def forward(
        self, inputs: Int[Tensor, "batch source"], targets: Int[Tensor, "batch target"]
    ) -> Float[Tensor, "batch target vocabulary"]:
        """Logits of every target, each given the input and the targets before it, whose place it is not to know.

        The loss is ``cross_entropy(logits.flatten(0, 1), targets.flatten())``: nothing has to be shifted.
        """
        shown = functional.pad(targets[:, :-1], (1, 0), value=START)
        return self.decode(shown, self.start(self.encode(inputs)))[0]

    def encode(self, inputs: Int[Tensor, "batch source"]) -> Float[Tensor, "batch source width"]:
        """What the encoder makes of a text."""
        encoded: Tensor = self.encoder(self.embedding(inputs))[0]
        return encoded

    def start(self, encoded: Float[Tensor, "batch source width"]) -> Cache:
        """A cache for a text of which nothing is written yet."""
        layers = cast("Sequence[Layer]", self.decoder.layers)
        read = tuple(layer.cross.keys_values(encoded) for layer in layers)
        empty = tuple((keys[:, :, :0], values[:, :, :0]) for keys, values in read)
        return Cache(read, empty)

    def decode(
        self, tokens: Int[Tensor, "batch new"], cache: Cache
    ) -> tuple[Float[Tensor, "batch new vocabulary"], Cache]:
        """Logits of what follows each of the next tokens, and the cache with them in it.

        The first token is ``START``. One at a time or all at once, the logits are the same up to rounding. The given
        cache is not changed, so several continuations can start from it.
        """
        x, written = self.decoder(self.embedding(tokens), cache)
        logits = functional.linear(x * self.config.width**-0.5, self.embedding.weight)
        return logits, Cache(cache.read, written)
