"""Pictures to touch: :func:`frames` needs no kernel, :func:`explore` recomputes where there is one."""

from featlib.widgets.live import Explore, explore
from featlib.widgets.still import Frames, Shown, frames

__all__ = ["Explore", "Frames", "Shown", "explore", "frames"]
