r"""MiniLM :cite:p:`wang2020minilm`, a small encoder of BERT's kind :cite:p:`devlin2019bert`, with GELU.

Each layer adds attention to the stream and normalises, then adds a perceptron and normalises (*post-norm*):

.. math:: h = \mathrm{LN}(x + \mathrm{Attention}(x)), \qquad x' = \mathrm{LN}(h + W_2\, a + c), \qquad
          a = \mathrm{GELU}(W_1 h + b), \quad \mathrm{GELU}(z) = z\, \Phi(z)

with :math:`\Phi` the normal distribution function, computed exactly. Layers by name, for a text of T tokens:

==============================  ============  ====================================================
name                            shape         values
==============================  ============  ====================================================
``embedding``                   T x 384       signed, normalised: word + position + kind
``layers.0`` .. ``.5``          T x 384       signed, normalised: the residual stream
``layers.K.attention``          T x 384       signed: what it adds to the stream
``layers.K.mlp``                T x 384       signed: what it adds to the stream
``layers.K.mlp.act``            T x 1536      above -0.17; never exactly zero but by rounding
==============================  ============  ====================================================

The published weights (``weights="sentences"``) were trained on, so that texts of like meaning have a mean over tokens
of like direction :cite:p:`reimers2019sentence`: :func:`sentences`. They bring BERT's ``pooler`` along, a map for the
first token; nothing here uses it.

Departs from BERT: no dropout, one text at a time (every token is of kind 0), and no head that guesses hidden words.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional

from featlib.models import safetensors
from featlib.models.layers import check_sizes

__all__ = ["CONFIGS", "MiniLM", "MiniLMConfig", "read", "sentences"]

EPS = 1e-12
DEVIATION = 0.02  # of all weights at the start

Stream = Float[Tensor, "batch tokens width"]
Real = Bool[Tensor, "batch tokens"]


@dataclass(frozen=True)
class MiniLMConfig:
    """Sizes.

    Attributes:
        vocabulary: ids of tokens are below it.
        longest: tokens of the longest text.
        kinds: of tokens, for pairs of texts.
        width: of the residual stream.
        layers: how many.
        heads: of each attention; they divide the width.
        ff: hidden units of each perceptron.

    Raises:
        ValueError: for sizes that are not positive, or heads that do not divide the width.
    """

    vocabulary: int = 30522
    longest: int = 512
    kinds: int = 2
    width: int = 384
    layers: int = 6
    heads: int = 12
    ff: int = 1536

    def __post_init__(self) -> None:
        check_sizes(self)
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}: choose a multiple")


CONFIGS = {"minilm": MiniLMConfig()}
"""The published network, which is of a laptop's size as it is."""


class Embedding(nn.Module):
    """What a layer sees of a token: word, position and kind, added and normalised."""

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        self.words = _table(config.vocabulary, config.width)
        self.positions = _table(config.longest, config.width)
        self.kinds = _table(config.kinds, config.width)
        self.norm = nn.LayerNorm(config.width, EPS)

    def forward(self, ids: Int[Tensor, "batch tokens"]) -> Stream:
        """The stream at the start."""
        out: Tensor = self.norm(self.words(ids) + self.positions.weight[: ids.shape[1]] + self.kinds.weight[0])
        return out


class Attention(nn.Module):
    """Attention to all tokens of the text, in several heads, with biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.heads = heads

    def forward(self, x: Stream, real: Real | None = None) -> Stream:
        """Each token's mixture of the values of all, or of those that are real."""
        parts = (self.query(x), self.key(x), self.value(x))
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        mask = None if real is None else real[:, None, None, :]
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class MLP(nn.Module):
    """Two linear maps with a GELU, ``act``, between them."""

    def __init__(self, width: int, ff: int) -> None:
        super().__init__()
        self.wide, self.act, self.narrow = nn.Linear(width, ff), nn.GELU(), nn.Linear(ff, width)

    def forward(self, x: Float[Tensor, "*tokens width"]) -> Float[Tensor, "*tokens width"]:
        """The three in a row."""
        out: Tensor = self.narrow(self.act(self.wide(x)))
        return out


class Layer(nn.Module):
    """Attention, then a perceptron; each is added to the stream, and the sum normalised."""

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        self.attention = Attention(config.width, config.heads)
        self.attention_norm = nn.LayerNorm(config.width, EPS)
        self.mlp = MLP(config.width, config.ff)
        self.mlp_norm = nn.LayerNorm(config.width, EPS)

    def forward(self, x: Stream, real: Real | None = None) -> Stream:
        """The residual stream after both."""
        x = self.attention_norm(x + self.attention(x, real))
        out: Tensor = self.mlp_norm(x + self.mlp(x))
        return out


class MiniLM(nn.Module):
    """The network; see the module for its layers' names.

    Example:
        >>> from featlib.models import build
        >>> model = build("minilm", vocabulary=100, width=24, ff=32, layers=2)
        >>> tuple(model(torch.randint(100, (3, 7))).shape)
        (3, 7, 24)
    """

    def __init__(self, config: MiniLMConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = Embedding(config)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.pooler = nn.Linear(config.width, config.width)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                _draw(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, ids: Int[Tensor, "batch tokens"], real: Real | None = None) -> Stream:
        """The stream after the last layer.

        Args:
            ids: of the tokens, from :class:`featlib.models.wordpiece.WordPiece`.
            real: true where a token is one, false where a shorter text was filled up; without it, all are. What comes
                out in the places of filling means nothing.

        Raises:
            ValueError: for a text that is too long, or one without a real token.
        """
        if ids.shape[1] > self.config.longest:
            raise ValueError(f"a text has {ids.shape[1]} tokens, more than {self.config.longest}: cut it")
        if real is not None and not real.any(1).all():
            raise ValueError("a text has no real token: leave it out")
        x: Tensor = self.embedding(ids)
        for layer in self.layers:
            x = layer(x, real)
        return x


def _table(rows: int, width: int) -> nn.Embedding:
    """An embedding with its first values drawn, but not before by torch as well."""
    empty = torch.empty(rows, width)
    table: nn.Embedding = nn.Embedding.from_pretrained(empty, freeze=False)  # type: ignore[no-untyped-call]
    _draw(table.weight)
    return table


def _draw(weight: Tensor) -> None:
    """First values; none on the meta device, where normal numbers take torch a second to import what draws them."""
    if not weight.is_meta:
        nn.init.normal_(weight, std=DEVIATION)


def sentences(tokens: Stream, real: Real) -> Float[Tensor, "batch width"]:
    """A unit vector for each text: the direction of the mean over its real tokens.

    The dot product of two is the cosine of their angle, which the published weights make large for like meaning.
    """
    share = real.to(tokens.dtype)[:, :, None]
    return functional.normalize((tokens * share).sum(1) / share.sum(1), dim=-1)


def read(folder: Path) -> dict[str, Tensor]:
    """Published parameters under our names.

    Raises:
        ValueError: if the file is not what it should be.
    """
    (file,) = folder.glob("*.safetensors")
    state = safetensors.read(file, lambda name: name != "embeddings.position_ids")  # a count from 0 to 511
    return {_rename(name): value for name, value in state.items()}


RENAMED = (
    ("embeddings.LayerNorm", "embedding.norm"),
    ("embeddings.word_embeddings", "embedding.words"),
    ("embeddings.position_embeddings", "embedding.positions"),
    ("embeddings.token_type_embeddings", "embedding.kinds"),
    ("encoder.layer.", "layers."),
    ("attention.self.", "attention."),
    ("attention.output.dense", "attention.out"),
    ("attention.output.LayerNorm", "attention_norm"),
    ("intermediate.dense", "mlp.wide"),
    (".output.dense", ".mlp.narrow"),
    (".output.LayerNorm", ".mlp_norm"),
    ("pooler.dense", "pooler"),
)
"""Parts of their names and of ours, replaced one after another."""


def _rename(name: str) -> str:
    """Our name for a published parameter."""
    for theirs, ours in RENAMED:
        name = name.replace(theirs, ours)
    return name
