"""A vision transformer :cite:p:`dosovitskiy2021vit` with ReLU in the place of GELU, as :cite:p:`li2023lazy` use it.

Layers by name, for pictures of 224 x 224 at the paper's size (197 tokens: one for the class, 14 x 14 patches):

============================  ===================  ==========================================
name                          shape                values
============================  ===================  ==========================================
``patches``                   196 x 768            signed, before positions are added
``blocks.0`` .. ``.11``       197 x 768            signed: the residual stream
``blocks.K.attention``        197 x 768            signed: what it adds to the stream
``blocks.K.mlp``              197 x 768            signed: what it adds to the stream
``blocks.K.mlp.act``          197 x 3072           non-negative, mostly zero once trained
``norm``                      197 x 768            signed
``head``                      1000                 logits, from the class token
============================  ===================  ==========================================

Departs from the original: no dropout, and the head starts normal with variance 1 / width instead of zero, for a head of
zeros lets no gradient through to the layers whose activations are to be watched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from featlib.models.layers import Patches, check_patches, check_sizes
from featlib.models.relu_mlp import ReluMLP

__all__ = ["CONFIGS", "Attention", "Block", "ReluViT", "ReluViTConfig"]

EPS = 1e-6
DEVIATION = 0.02  # of the class token and the positions at the start

Tokens = Float[Tensor, "batch tokens width"]


@dataclass(frozen=True)
class ReluViTConfig:
    """Sizes.

    Attributes:
        size: side of a picture.
        channels: its colours.
        patch: side of a patch; it divides the side of the picture.
        width: of the residual stream.
        depth: number of blocks.
        heads: of each attention; they divide the width.
        ff: hidden units of each perceptron.
        classes: outputs.
        topk: how many hidden units may be active at once on a token; None for all.

    Raises:
        ValueError: for sizes that are not positive or do not divide each other.
    """

    size: int = 224
    channels: int = 3
    patch: int = 16
    width: int = 768
    depth: int = 12
    heads: int = 12
    ff: int = 3072
    classes: int = 1000
    topk: int | None = None

    def __post_init__(self) -> None:
        check_sizes(self)
        check_patches(self.size, self.patch)
        if self.width % self.heads:
            raise ValueError(f"{self.heads} heads do not divide a width of {self.width}: choose a multiple")

    @property
    def tokens(self) -> int:
        """Tokens of a picture, the class token included."""
        return (self.size // self.patch) ** 2 + 1


CONFIGS = {
    "relu_vit_b16": ReluViTConfig(),
    "relu_vit_tiny": ReluViTConfig(size=28, channels=1, patch=7, width=64, depth=2, heads=4, ff=256, classes=10),
}
"""ViT-B/16, the paper's, and a size for a laptop and Fashion-MNIST."""


class Attention(nn.Module):
    """Attention among all tokens, in several heads, with biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads = heads

    def forward(self, x: Tokens) -> Tokens:
        """Each token's mixture of the values of all."""
        parts = self.query_key_value(x).unflatten(-1, (3, self.heads, -1))  # [batch, tokens, 3, heads, dim]
        mixed = functional.scaled_dot_product_attention(*parts.permute(2, 0, 3, 1, 4))
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def first(self, x: Tokens) -> Float[Tensor, "batch 1 width"]:
        """What ``forward`` gives for the first token, without asking what the others would read."""
        weight, bias, width = self.query_key_value.weight, self.query_key_value.bias, x.shape[-1]
        query = functional.linear(x[:, :1], weight[:width], bias[:width]).reshape(len(x), 1, self.heads, -1)
        others = functional.linear(x, weight[width:], bias[width:]).reshape(*x.shape[:2], 2, self.heads, -1)
        mixed = functional.scaled_dot_product_attention(query.transpose(1, 2), *others.permute(2, 0, 3, 1, 4))
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """Attention, then a perceptron; each reads the normalised stream and adds to it."""

    def __init__(self, width: int, heads: int, ff: int, topk: int | None) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width, EPS)
        self.attention = Attention(width, heads)
        self.mlp_norm = nn.LayerNorm(width, EPS)
        self.mlp = ReluMLP(width, ff, topk)

    def forward(self, x: Tokens) -> Tokens:
        """The residual stream after both."""
        x = x + self.attention(self.attention_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out

    def first(self, x: Tokens) -> Float[Tensor, "batch 1 width"]:
        """What ``forward`` gives for the first token; the perceptron sees that one alone."""
        x = x[:, :1] + self.attention.first(self.attention_norm(x))
        out: Tensor = x + self.mlp(self.mlp_norm(x))
        return out


class ReluViT(nn.Module):
    """The network; see the module for its layers' names.

    Example:
        >>> from featlib.models import build
        >>> tuple(build("relu_vit_tiny", topk=16)(torch.rand(3, 1, 28, 28)).shape)
        (3, 10)
    """

    def __init__(self, config: ReluViTConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.patches = Patches(config.size, config.channels, config.patch, width)
        self.class_token = nn.Parameter(torch.empty(1, 1, width))
        self.positions = nn.Parameter(torch.empty(1, config.tokens, width))
        self.blocks = nn.Sequential(*(Block(width, config.heads, config.ff, config.topk) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(width, EPS)
        self.head = nn.Linear(width, config.classes)
        for parameter in (self.class_token, self.positions):
            nn.init.normal_(parameter, std=DEVIATION)
        nn.init.normal_(self.head.weight, std=width**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of pictures of the size that the network was built for.

        Raises:
            ValueError: for pictures of another size.
        """
        logits: Tensor = self.head(self.norm(self.blocks(self._tokens(images)))[:, 0])
        return logits

    def logits(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """The same logits with less work, to train on: the last block is computed for the class token alone.

        Nobody reads its other tokens, and no gradient comes from them. Who watches the last block should call the model
        itself: here its perceptron sees one token of each picture.

        Raises:
            ValueError: for pictures of another size.
        """
        tokens: Tensor = self.blocks[:-1](self._tokens(images))
        logits: Tensor = self.head(self.norm(cast("Block", self.blocks[-1]).first(tokens))[:, 0])
        return logits

    def _tokens(self, images: Tensor) -> Tokens:
        """Class token and patches, with their positions."""
        patches = self.patches(images)
        return torch.cat([self.class_token.expand(len(patches), -1, -1), patches], 1) + self.positions
