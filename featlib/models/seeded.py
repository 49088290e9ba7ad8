r"""Transformer layers whose parameters have an axis of seeds in front: many networks take one step in the same calls.

Everything takes and gives *rows*, seeds x rows x width: all tokens of a seed's first example, then of its next. Seeds
never meet. Weights start uniform in +-1 / sqrt(inputs), gains one, biases and offsets zero.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Attention", "CrossAttention", "Layer", "Linear", "Norm", "Perceptron", "Rows"]

Rows = Float[Tensor, "seeds rows width"]
EXPANSION = 4  # width of a perceptron's hidden layer, in widths of the residual stream


class Linear(nn.Module):
    """A linear map for each seed."""

    def __init__(self, seeds: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(seeds, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(seeds, 1, outputs))

    def forward(self, rows: Float[Tensor, "seeds rows inputs"]) -> Float[Tensor, "seeds rows outputs"]:
        """All seeds in one batched product."""
        return torch.baddbmm(self.bias, rows, self.weight)

    @torch.no_grad()
    def draw(self, index: int, generator: torch.Generator) -> None:
        """First weights of one seed, uniform in +-1 / sqrt(inputs)."""
        inputs, outputs = self.weight.shape[1:]
        drawn = torch.rand(inputs, outputs, generator=generator, device="cpu")
        self.weight[index] = ((2 * drawn - 1) / inputs**0.5).to(self.weight)


class Norm(nn.Module):
    """Layer normalisation, with a gain and an offset for each seed."""

    def __init__(self, seeds: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(seeds, 1, width))
        self.bias = nn.Parameter(torch.zeros(seeds, 1, width))

    def forward(self, rows: Rows) -> Rows:
        """Each row with mean 0 and variance 1, then gain and offset."""
        return torch.addcmul(self.bias, functional.layer_norm(rows, rows.shape[2:]), self.weight)


class Attention(nn.Module):
    """Attention among the tokens of each example, ``causal`` to the earlier ones; one product for all three inputs."""

    def __init__(self, seeds: int, width: int, heads: int, causal: bool = False) -> None:
        super().__init__()
        self.query_key_value, self.out = Linear(seeds, width, 3 * width), Linear(seeds, width, width)
        self.heads, self.causal = heads, causal

    def forward(self, rows: Rows, batch: int) -> Rows:
        """Mixed values of the tokens."""
        query, key, value = self.query_key_value(rows).chunk(3, 2)
        mixed: Tensor = self.out(_attend(query, key, value, batch, self.heads, self.causal))
        return mixed


class CrossAttention(nn.Module):
    """Attention from the tokens of each example to the tokens that an encoder made of it."""

    def __init__(self, seeds: int, width: int, heads: int) -> None:
        super().__init__()
        self.query, self.key_value = Linear(seeds, width, width), Linear(seeds, width, 2 * width)
        self.out = Linear(seeds, width, width)
        self.heads = heads

    def forward(self, rows: Rows, memory: Float[Tensor, "seeds others width"], batch: int) -> Rows:
        """Mixed values of the encoder's tokens."""
        key, value = self.key_value(memory).chunk(2, 2)
        mixed: Tensor = self.out(_attend(self.query(rows), key, value, batch, self.heads))
        return mixed


class Perceptron(nn.Module):
    """One hidden layer of ReLU units."""

    def __init__(self, seeds: int, width: int) -> None:
        super().__init__()
        self.up, self.down = Linear(seeds, width, EXPANSION * width), Linear(seeds, EXPANSION * width, width)

    def forward(self, rows: Rows) -> Rows:
        """Up, ReLU, down."""
        out: Tensor = self.down(self.up(rows).relu_())  # in place: nothing else reads the product
        return out


class Layer(nn.Module):
    """Self-attention, in a decoder causal and followed by attention to the encoder; perceptron. Each part adds."""

    def __init__(self, seeds: int, width: int, heads: int, decodes: bool = False) -> None:
        super().__init__()
        self.attention_norm, self.attention = Norm(seeds, width), Attention(seeds, width, heads, causal=decodes)
        if decodes:
            self.cross_norm, self.cross = Norm(seeds, width), CrossAttention(seeds, width, heads)
        self.perceptron_norm, self.perceptron = Norm(seeds, width), Perceptron(seeds, width)

    def forward(self, rows: Rows, batch: int, memory: Float[Tensor, "seeds others width"] | None = None) -> Rows:
        """The residual stream after this layer; ``memory`` is what the encoder gave, for a layer that decodes."""
        rows = rows + self.attention(self.attention_norm(rows), batch)
        if memory is not None:
            rows = rows + self.cross(self.cross_norm(rows), memory, batch)
        out: Tensor = rows + self.perceptron(self.perceptron_norm(rows))
        return out


def _attend(query: Rows, key: Tensor, value: Tensor, batch: int, heads: int, causal: bool = False) -> Rows:
    r"""Scaled dot-product attention, :math:`\mathrm{softmax}(Q K^\top / \sqrt{d})\, V`, of every example and head.

    Seeds and examples become one axis: attention has no parameters, so here the seeds need not be told apart. Fused
    kernels on a GPU take at most 65,535 of them at a time; beyond, torch falls back or (before 2.7) fails.
    """
    seeds, rows, width = query.shape
    parts = (part.reshape(seeds * batch, -1, heads, width // heads).transpose(1, 2) for part in (query, key, value))
    q, k, v = parts  # [seeds batch, heads, tokens, d]
    mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=causal)
    return mixed.transpose(1, 2).reshape(seeds, rows, width)
