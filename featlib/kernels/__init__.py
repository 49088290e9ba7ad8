"""Fast operations, each in a folder of its own beside its slow, obviously right reference."""

from featlib.kernels.top_component import top_component

__all__ = ["top_component"]
