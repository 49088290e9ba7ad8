"""Parameters out of a safetensors file: a length, a table of contents in JSON, then the numbers. Nothing in it can run.

The file begins with the length of the table, 8 bytes, least significant first. The table gives each tensor's type,
shape, and the first byte and the one after its last, counted from the end of the table.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

__all__ = ["read"]

TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
"""Torch's name for each type of numbers."""
LENGTH = 8
"""Bytes before the table."""


def read(file: Path, wanted: Callable[[str], bool] = lambda _: True) -> dict[str, Tensor]:
    """The tensors of a file by name, in its order, each with memory of its own.

    Args:
        file: where it lies.
        wanted: whether to read the tensor of a name; the others are passed over.

    Raises:
        ValueError: if the file is not a safetensors file, is cut short, or its table contradicts itself.
        OSError: if it cannot be read.
    """
    size = file.stat().st_size
    tensors = {}
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(LENGTH), "little")
        start = LENGTH + length
        if size < LENGTH or start > size:
            raise ValueError(f"{file.name} is no safetensors file, or cut short: its table would end behind its end")
        for name, entry in _table(stream.read(length), file.name).items():
            if name == "__metadata__" or not wanted(name):
                continue
            kind, shape, first, last = _entry(entry, size - start, f"{file.name}: {name!r}")
            data = bytearray(last - first)
            stream.seek(start + first)
            stream.readinto(data)
            # a tensor without numbers has no buffer to be made from
            tensors[name] = torch.frombuffer(data, dtype=kind).view(shape) if data else torch.empty(shape, dtype=kind)
    return tensors


def _table(text: bytes, name: str) -> dict[str, Any]:
    """The table of contents."""
    try:
        table = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no safetensors file: its table is not JSON") from error
    if not isinstance(table, dict):
        raise ValueError(f"{name} is no safetensors file: its table is not an object")
    return table


def _entry(entry: Any, size: int, where: str) -> tuple[torch.dtype, list[int], int, int]:
    """Type, shape, and first and last byte of a tensor, in ``size`` bytes of numbers."""
    try:
        kind, shape, (first, last) = entry["dtype"], entry["shape"], entry["data_offsets"]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{where} lacks a type, a shape or its place") from error
    if not isinstance(kind, str) or kind not in TYPES:
        raise ValueError(f"{where} has type {kind!r}; known are {', '.join(TYPES)}")
    if not isinstance(shape, list) or not all(type(number) is int and number >= 0 for number in (*shape, first, last)):
        raise ValueError(f"{where} has a shape or a place that is not made of whole numbers")
    if not first <= last <= size:
        raise ValueError(f"{where} would lie in bytes {first} to {last} of {size}: the file is cut short")
    if math.prod(shape) * TYPES[kind].itemsize != last - first:
        raise ValueError(f"{where} of shape {shape} does not fill the bytes {first} to {last}")
    if (
        math.prod(max(number, 1) for number in shape) >= 2**63
    ):  # without numbers, for one length is 0, and still too big
        raise ValueError(f"{where} of shape {shape} is larger than a tensor can be")
    return TYPES[kind], shape, first, last
