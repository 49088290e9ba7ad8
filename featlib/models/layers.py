"""Parts that the architectures share, under the names by which their layers are addressed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ConvNorm", "InvertedResidual", "Patches", "SameConv2d", "check_patches", "check_sizes", "divisible"]

Images = Float[Tensor, "batch channels height width"]
Maps = Float[Tensor, "batch out rows columns"]


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's ``SAME`` padding: output side = ceil(input side / stride).

    When the padding is odd, as for a stride of 2 on an even side, the extra row goes below and the extra column to the
    right; PyTorch's own padding is symmetric and reads the picture shifted by one pixel.
    """

    def forward(self, input: Images) -> Maps:
        """Pad as the side of this input needs it, then convolve."""
        before_after = []
        for side, kernel, stride in zip(input.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1], strict=True):
            total = max((math.ceil(side / stride) - 1) * stride + kernel - side, 0)
            before_after += [total // 2, total - total // 2]
        left, right, top, bottom = before_after
        if (left, top) == (right, bottom):  # symmetric: the convolution pads faster by itself
            return functional.conv2d(input, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        padded = functional.pad(input, before_after)
        return functional.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)


class ConvNorm(nn.Module):
    """Convolution ``conv``, batch normalisation ``norm``, activation ``act`` (none: a signed, linear output)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        stride: int = 1,
        groups: int = 1,
        same: bool = False,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
        act: Callable[[], nn.Module] = nn.Identity,
    ) -> None:
        super().__init__()
        self.conv: nn.Module
        if same:
            self.conv = SameConv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        else:
            self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        self.norm = norm(outputs)
        self.act = act()

    def forward(self, images: Images) -> Maps:
        """The three in a row."""
        out: Tensor = self.act(self.norm(self.conv(images)))
        return out


class InvertedResidual(nn.Module):
    """``expand`` channels by 1x1, filter each by itself (``depthwise``), ``project`` back by 1x1 without activation.

    The output is a *linear bottleneck*: signed, and added to the input where both have the same shape. Without
    expansion (``expansion=1``) the first part is left out.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int,
        expansion: int,
        same: bool = False,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion != 1:
            self.expand = ConvNorm(inputs, wide, same=same, norm=norm, act=nn.ReLU6)
        self.depthwise = ConvNorm(wide, wide, kernel, stride, wide, same=same, norm=norm, act=nn.ReLU6)
        self.project = ConvNorm(wide, outputs, same=same, norm=norm)
        self.skips = stride == 1 and inputs == outputs

    def forward(self, maps: Images) -> Maps:
        """Expand, filter, project; add the input where the shape allows."""
        wide = self.expand(maps) if hasattr(self, "expand") else maps
        out: Tensor = self.project(self.depthwise(wide))
        return maps + out if self.skips else out


class Patches(nn.Module):
    """Pictures to tokens: each square patch by itself, through one linear map, row by row.

    Raises, when called:
        ValueError: for pictures of another size, or number of colours, than the network was built for.
    """

    def __init__(self, size: int, channels: int, patch: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, width, patch, patch)
        self.wants = (channels, size, size)

    def forward(self, images: Images) -> Float[Tensor, "batch tokens features"]:
        """A token for each patch."""
        if images.shape[1:] != self.wants:
            raise ValueError(
                f"images must be (batch, {', '.join(map(str, self.wants))}), got {tuple(images.shape)}: "
                "resize them, or build the network with their size= and channels="
            )
        (channels, size, _), side = self.wants, self.conv.kernel_size[0]
        across = size // side
        cut = images.reshape(-1, channels, across, side, across, side).permute(0, 2, 4, 1, 3, 5)
        # no patches overlap, so one matrix product does what the convolution does, in less time
        return functional.linear(cut.reshape(len(images), across**2, -1), self.conv.weight.flatten(1), self.conv.bias)


def check_sizes(config: Any) -> None:
    """Refuse settings, a dataclass, of which no network can be made: every whole number must be positive.

    Raises:
        ValueError: for one that is not; it is named.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{field.name} must be at least 1, got {value}")


def check_patches(size: int, patch: int) -> None:
    """Refuse patches that do not cover the picture.

    Raises:
        ValueError: if they do not.
    """
    if size % patch:
        raise ValueError(f"patches of {patch} pixels do not cover a side of {size}: choose a divisor of it")


def divisible(channels: int | float, by: int = 8) -> int:
    """The multiple of ``by`` nearest to ``channels``, but never more than 10 % below it."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
