"""MLP-Mixer :cite:p:`tolstikhin2021mixer` with ReLU: one perceptron mixes the tokens, another the channels.

Layers by name, for pictures of 224 x 224 at the size S/16:

============================  ===================  ==========================================
name                          shape                values
============================  ===================  ==========================================
``patches``                   196 x 512            signed
``blocks.0`` .. ``.7``        196 x 512            signed: the residual stream
``blocks.K.tokens.act``       512 x 256            non-negative; here a channel is what elsewhere is a token
``blocks.K.channels.act``     196 x 2048           non-negative
``norm``                      196 x 512            signed
``head``                      1000                 logits, from the mean over tokens
============================  ===================  ==========================================

Departs from the original: ReLU for GELU, and the head starts normal with variance 1 / width, as in
:mod:`featlib.models.vit`.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from featlib.models.layers import Patches, check_patches, check_sizes
from featlib.models.relu_mlp import ReluMLP

__all__ = ["CONFIGS", "MLPMixer", "MLPMixerConfig", "MixerBlock"]

EPS = 1e-6

Tokens = Float[Tensor, "batch tokens width"]


@dataclass(frozen=True)
class MLPMixerConfig:
    """Sizes.

    Attributes:
        size: side of a picture.
        channels: its colours.
        patch: side of a patch; it divides the side of the picture.
        width: of the residual stream.
        depth: number of blocks.
        token_ff: hidden units of the perceptrons that mix tokens.
        ff: hidden units of those that mix channels.
        classes: outputs.

    Raises:
        ValueError: for sizes that are not positive, or patches that do not cover the picture.
    """

    size: int = 224
    channels: int = 3
    patch: int = 16
    width: int = 512
    depth: int = 8
    token_ff: int = 256
    ff: int = 2048
    classes: int = 1000

    def __post_init__(self) -> None:
        check_sizes(self)
        check_patches(self.size, self.patch)


CONFIGS = {
    "mlp_mixer_s16": MLPMixerConfig(),
    "mlp_mixer_tiny": MLPMixerConfig(size=28, channels=1, patch=7, width=64, depth=2, token_ff=64, ff=256, classes=10),
}
"""The smallest size of the original at patches of 16, and one for a laptop and Fashion-MNIST."""


class MixerBlock(nn.Module):
    """Mix the tokens of each channel, then the channels of each token, each time adding to the stream."""

    def __init__(self, tokens: int, width: int, token_ff: int, ff: int) -> None:
        super().__init__()
        self.tokens_norm = nn.LayerNorm(width, EPS)
        self.tokens = ReluMLP(tokens, token_ff)
        self.channels_norm = nn.LayerNorm(width, EPS)
        self.channels = ReluMLP(width, ff)

    def forward(self, x: Tokens) -> Tokens:
        """The residual stream after both."""
        x = x + self.tokens(self.tokens_norm(x).mT).mT
        out: Tensor = x + self.channels(self.channels_norm(x))
        return out


class MLPMixer(nn.Module):
    """The network; see the module for its layers' names."""

    def __init__(self, config: MLPMixerConfig) -> None:
        super().__init__()
        self.config = config
        width, tokens = config.width, (config.size // config.patch) ** 2
        self.patches = Patches(config.size, config.channels, config.patch, width)
        self.blocks = nn.Sequential(
            *(MixerBlock(tokens, width, config.token_ff, config.ff) for _ in range(config.depth))
        )
        self.norm = nn.LayerNorm(width, EPS)
        self.head = nn.Linear(width, config.classes)
        nn.init.normal_(self.head.weight, std=width**-0.5)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch classes"]:
        """Logits of pictures of the size that the network was built for.

        Raises:
            ValueError: for pictures of another size.
        """
        logits: Tensor = self.head(self.norm(self.blocks(self.patches(images))).mean(1))
        return logits
