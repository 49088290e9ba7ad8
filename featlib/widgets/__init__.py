"""Pictures to touch: :func:`frames` and :func:`heatmaps` need no kernel, :func:`explore` recomputes with one."""

from featlib.widgets.heat import Heatmaps, Scene, heatmaps
from featlib.widgets.live import Explore, explore
from featlib.widgets.still import Frames, Shown, frames

__all__ = ["Explore", "Frames", "Heatmaps", "Scene", "Shown", "explore", "frames", "heatmaps"]
