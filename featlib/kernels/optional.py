"""What kernels ask about the machine and the moment before they choose a path."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor

__all__ = ["autocasts", "has_triton", "require_triton"]


@cache
def has_triton() -> bool:
    """Whether triton can be imported, without importing it."""
    return find_spec("triton") is not None


def require_triton() -> None:
    """Stop with the command that helps.

    Raises:
        RuntimeError: if triton is not installed.
    """
    if not has_triton():
        raise RuntimeError("triton is not installed: pip install triton (Linux, NVIDIA GPU), or use method='auto'")


def autocasts(x: Tensor) -> bool:
    """Whether autocast is on for the device of ``x``, which may be one that has none."""
    return torch.amp.is_autocast_available(x.device.type) and torch.is_autocast_enabled(x.device.type)
