"""A trained network rewritten to be looked into on a CPU: the same function of its pictures, with less work."""

from __future__ import annotations

from typing import TypeGuard, TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import fuse_conv_bn_eval

from featlib.models.layers import ConvNorm, SameConv2d

__all__ = ["Clipped", "Lopsided", "Pointwise", "folded"]

Network = TypeVar("Network", bound=nn.Module)


class Pointwise(nn.Module):
    """A 1 x 1 convolution as one matrix product over all pixels of a batch.

    PyTorch's convolution of that size multiplies picture by picture on one thread, after clearing the output. Pictures
    whose memory holds the channels of a pixel side by side (``torch.channels_last``) are not copied.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight = nn.Parameter(conv.weight.detach().flatten(1).clone())
        self.bias = None if conv.bias is None else nn.Parameter(conv.bias.detach().clone())

    def forward(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out height width"]:
        """The same values as the convolution's."""
        return functional.linear(maps.permute(0, 2, 3, 1), self.weight, self.bias).permute(0, 3, 1, 2)


class Lopsided(nn.Module):
    """A convolution that pads one side more than the other, without a padded copy of its maps.

    The smaller side's padding grows to the larger's, and as many zeros are put in front of the kernel. Maps whose sides
    are no multiples of the stride are padded otherwise, and go through the convolution as it was.
    """

    def __init__(self, conv: SameConv2d) -> None:
        super().__init__()
        self.conv = conv
        total = [kernel - stride for kernel, stride in zip(conv.kernel_size, conv.stride, strict=True)]
        before = [side // 2 for side in total]
        self.padding = [side - less for side, less in zip(total, before, strict=True)]
        top, left = (more - less for more, less in zip(self.padding, before, strict=True))
        self.weight = nn.Parameter(functional.pad(conv.weight.detach(), (left, 0, top, 0)))

    def forward(self, maps: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out rows columns"]:
        """The same values as the convolution's."""
        conv = self.conv
        if any(side % stride for side, stride in zip(maps.shape[2:], conv.stride, strict=True)):
            out: Tensor = conv(maps)
            return out
        return functional.conv2d(maps, self.weight, conv.bias, conv.stride, self.padding, 1, conv.groups)


class Clipped(nn.Module):
    """ReLU6 that overwrites what it is given where no gradient is recorded.

    A hook on the layer before it has to read, or copy, what it sees at once.
    """

    def forward(self, maps: Tensor) -> Tensor:
        """Values cut to [0, 6]."""
        return functional.relu6(maps, inplace=not torch.is_grad_enabled())


def folded(model: Network) -> Network:
    r"""Fold a network for evaluation, in place: fewer and cheaper layers, frozen, the same values up to rounding.

    In each :class:`~featlib.models.layers.ConvNorm` batch normalisation is multiplied into the convolution,

    .. math:: W \leftarrow \frac{\gamma}{\sqrt{\sigma^2 + \epsilon}}\, W, \qquad
        b \leftarrow \beta - \frac{\gamma \mu}{\sqrt{\sigma^2 + \epsilon}}

    with its weight :math:`\gamma`, bias :math:`\beta`, running mean :math:`\mu` and variance :math:`\sigma^2`; an
    identity keeps its place, so that layers keep their names. Convolutions of 1 x 1 become :class:`Pointwise`, those
    that pad one side more :class:`Lopsided`, ReLU6 becomes :class:`Clipped`, parameters are laid out ``channels_last``
    and need no gradient; pictures still have one.

    Args:
        model: in evaluation mode; it is changed.

    Returns:
        The same network.

    Raises:
        ValueError: if it is in training mode, where its normalisation depends on the batch.
    """
    if model.training:
        raise ValueError("a network in training mode cannot be folded: call model.eval() first")
    for part in list(model.modules()):
        if isinstance(part, ConvNorm) and isinstance(part.conv, nn.Conv2d) and isinstance(part.norm, nn.BatchNorm2d):
            conv = fuse_conv_bn_eval(part.conv, part.norm)
            part.conv = Pointwise(conv) if _pointwise(conv) else Lopsided(conv) if _lopsided(conv) else conv
            part.norm = nn.Identity()
            part.act = Clipped() if isinstance(part.act, nn.ReLU6) else part.act
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # an overload that torch does not list
    return model.requires_grad_(False)


def _pointwise(conv: nn.Conv2d) -> bool:
    """Whether each pixel is mapped by itself, all channels to all."""
    return conv.kernel_size == (1, 1) and conv.stride == (1, 1) and conv.groups == 1 and not any(conv.padding)


def _lopsided(conv: nn.Conv2d) -> TypeGuard[SameConv2d]:
    """Whether it pads one side more than the other wherever its strides fit the maps."""
    total = [kernel - stride for kernel, stride in zip(conv.kernel_size, conv.stride, strict=True)]
    return isinstance(conv, SameConv2d) and min(total) >= 0 and any(side % 2 for side in total)
