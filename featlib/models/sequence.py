r"""An encoder-decoder transformer :cite:p:`vaswani2017attention` that reads bits and emits features, for many seeds.

The decoder emits binary features one after another and is shown the features before each; which comes first is the
order of the columns that it is given. Parameters have an axis of seeds in front (:mod:`featlib.models.seeded`): at
width 32 a step costs the calls more than the arithmetic, so all seeds share them. Layers by name:

==================  =================================  ================================================
name                shape                              values
==================  =================================  ================================================
``bit_tokens``      seeds x batch bits x width         signed: values plus positions
``encoder.K``       the same                           signed: the residual stream
``encoder_norm``    the same                           signed: what ``encode`` gives and the decoder reads
``feature_tokens``  seeds x batch outputs x width      signed: a start token, then the features so far
``decoder.K``       the same                           signed: the residual stream
``decoder_norm``    the same                           signed: what ``decode`` gives and the head reads
``head``            seeds x batch outputs x 1          logits, by one map for all positions
==================  =================================  ================================================

Departs from the paper: normalisation comes before each part and after the last (pre-norm), positions are learned, and
there is no dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from featlib.models.seeded import Layer, Linear, Norm, Rows

__all__ = ["CONFIGS", "SequenceConfig", "SequenceModel"]


@dataclass(frozen=True)
class SequenceConfig:
    """Sizes, and how large embeddings start.

    Attributes:
        bits: tokens that the encoder reads.
        outputs: features that the decoder emits.
        width: of the residual stream.
        heads: of each attention; they divide the width.
        encoder_layers: layers that read.
        decoder_layers: layers that emit.
        embedding: standard deviation of the first token and position vectors. The order of the outputs shows in the
            encoder the more, the smaller it is: a setting to sweep.
    """

    bits: int = 8
    outputs: int = 4
    width: int = 32
    heads: int = 4
    encoder_layers: int = 2
    decoder_layers: int = 2
    embedding: float = 0.02


CONFIGS = {"laptop": SequenceConfig(), "gpu": SequenceConfig(width=128, encoder_layers=4, decoder_layers=4)}
"""The size for a laptop, and one for a GPU."""


class SequenceModel(nn.Module):
    """One independent transformer for each seed; see the module for the layers' names.

    Each seed draws its own first parameters from a generator of its own, on the CPU: seed 3 is the same network alone,
    among others, and on a GPU.

    Example:
        >>> model = SequenceModel(seeds=range(5))
        >>> bits = torch.randint(2, (5, 10, 8))
        >>> tuple(model(bits, bits[..., :4]).shape), tuple(model.encode(bits).shape)
        ((5, 10, 4), (5, 10, 8, 32))

    Args:
        config: sizes.
        seeds: of the networks, one for each.

    Raises:
        ValueError: if there is no seed, a size is below 1, or the heads do not divide the width.
    """

    def __init__(self, config: SequenceConfig = CONFIGS["laptop"], seeds: Sequence[int] = (0,)) -> None:
        super().__init__()
        _check(config, seeds)
        count, width, heads = len(seeds), config.width, config.heads
        self.config, self.seeds = config, tuple(seeds)
        self.bit_tokens = Tokens(count, config.bits, width)
        self.encoder = nn.ModuleList(Layer(count, width, heads) for _ in range(config.encoder_layers))
        self.encoder_norm = Norm(count, width)
        self.feature_tokens = Tokens(count, config.outputs, width, starts=True)
        self.decoder = nn.ModuleList(Layer(count, width, heads, decodes=True) for _ in range(config.decoder_layers))
        self.decoder_norm = Norm(count, width)
        self.head = Linear(count, width, 1)
        for index, seed in enumerate(seeds):
            generator = torch.Generator().manual_seed(seed)
            for module in self.modules():
                if isinstance(module, Linear):
                    module.draw(index, generator)
                if isinstance(module, Tokens):
                    module.draw(index, generator, config.embedding)

    def forward(
        self, bits: Shaped[Tensor, "seeds batch bits"], features: Shaped[Tensor, "seeds batch outputs"]
    ) -> Float[Tensor, "seeds batch outputs"]:
        """Logits of every feature, each given the bits and the true features before it (teacher forcing).

        Args:
            bits: 0 or 1; each seed may have examples of its own.
            features: 0 or 1, in the order in which they are emitted. Logit j sees only the columns before j, and the
                last column is not looked at.

        Raises:
            ValueError: if a shape does not fit the model.
        """
        logits: Tensor = self.head(self.decode(self.encode(bits), features).flatten(1, 2))
        return logits.reshape(features.shape)

    def encode(self, bits: Shaped[Tensor, "seeds batch bits"]) -> Float[Tensor, "seeds batch bits width"]:
        """The encoder's representation of every bit, after its last normalisation.

        Raises:
            ValueError: if the bits do not fit the model.
        """
        self._fits("bits", bits, self.config.bits)
        rows = self.bit_tokens(bits)
        for layer in self.encoder:
            rows = layer(rows, bits.shape[1])
        encoded: Tensor = self.encoder_norm(rows)
        return encoded.reshape(*bits.shape, -1)

    def decode(
        self, encoded: Float[Tensor, "seeds batch bits width"], features: Shaped[Tensor, "seeds batch outputs"]
    ) -> Float[Tensor, "seeds batch outputs width"]:
        """The decoder's state at every output, after its last normalisation.

        Raises:
            ValueError: if the features do not fit the model.
        """
        self._fits("features", features, self.config.outputs)
        rows, memory = self.feature_tokens(features[..., :-1]), encoded.flatten(1, 2)
        for layer in self.decoder:
            rows = layer(rows, features.shape[1], memory)
        decoded: Tensor = self.decoder_norm(rows)
        return decoded.reshape(*features.shape, -1)

    def twin(self, index: int) -> SequenceModel:
        """A copy of the network at position ``index``, as it is now, alone.

        A loop over twins is the slow form of everything that the model does at once.
        """
        alone = SequenceModel(self.config, (self.seeds[index],)).to(self.head.weight)
        alone.load_state_dict({name: value[index][None] for name, value in self.state_dict().items()})
        return alone

    def _fits(self, name: str, values: Tensor, tokens: int) -> None:
        """Refuse input of another shape than (seeds, batch, tokens)."""
        if values.ndim != 3 or (len(values), values.shape[2]) != (len(self.seeds), tokens) or not values.shape[1]:
            raise ValueError(
                f"{name} must be (seeds, batch, tokens) = ({len(self.seeds)}, 1 or more, {tokens}), "
                f"got {tuple(values.shape)}: give every seed a batch, by expand() if it is the same for all"
            )


class Tokens(nn.Module):
    r"""Vectors of binary tokens: :math:`t_i = (1 - x_i)\, v_0 + x_i\, v_1 + p_i`, for each seed.

    :math:`v_0, v_1` are learned for the two values and :math:`p_i` for the position. With ``starts`` the first token is
    a position without a value, and the values fill those after it.
    """

    def __init__(self, seeds: int, positions: int, width: int, starts: bool = False) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.zeros(seeds, 2, width))
        self.positions = nn.Parameter(torch.zeros(seeds, positions, width))
        self.starts = int(starts)

    def forward(self, values: Shaped[Tensor, "seeds batch given"]) -> Rows:
        """Tokens of all examples, one below another."""
        start, places = self.positions[:, None, : self.starts], self.positions[:, None, self.starts :]
        zero, one = self.values[:, None, None].unbind(3)
        tokens = torch.addcmul(zero + places, values.to(places)[..., None], one - zero)  # [seeds, batch, given, width]
        if self.starts:
            tokens = torch.cat([start.expand(-1, len(tokens[0]), -1, -1), tokens], 2)
        return tokens.flatten(1, 2)

    @torch.no_grad()
    def draw(self, index: int, generator: torch.Generator, deviation: float) -> None:
        """First vectors of one seed, normal."""
        for parameter in (self.values, self.positions):
            drawn = torch.randn(parameter.shape[1:], generator=generator, device="cpu")
            parameter[index] = (deviation * drawn).to(parameter)


def _check(config: SequenceConfig, seeds: Sequence[int]) -> None:
    """Refuse sizes of which no network can be made."""
    if len(seeds) == 0:
        raise ValueError("no seeds given: there is one network for each, so pass at least one, such as (0,)")
    for name in ("bits", "outputs", "width", "heads", "encoder_layers", "decoder_layers"):
        if getattr(config, name) < 1:
            raise ValueError(f"{name} must be at least 1, got {getattr(config, name)}")
    if config.width % config.heads:
        raise ValueError(f"{config.heads} heads do not divide a width of {config.width}: choose a multiple")
