"""Live controls where there is a kernel, and the same call as still frames where there is none."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from featlib.widgets.still import Frames, Shown, frames

__all__ = ["MOST_STATES", "Explore", "explore"]

MOST_STATES = 64
"""States rendered ahead for the page without a kernel; more would make it heavy."""
STEPS = 5
"""Stops along a numeric range on the page without a kernel."""
WAIT = 0.15
"""Seconds without a change before the picture is computed again."""

Value: TypeAlias = int | float | str
Range: TypeAlias = tuple[int, int] | tuple[float, float] | Sequence[Value]


class Explore:
    """A function under sliders. In JupyterLab it recomputes; on the site it shows the states computed here."""

    def __init__(self, function: Callable[..., Shown], ranges: Mapping[str, Range], describe: str) -> None:
        self.function = function
        self.stops = {name: _stops(name, given) for name, given in ranges.items()}
        self.ranges = ranges
        count = 1
        for values in self.stops.values():
            count *= len(values)
        if count > MOST_STATES:
            raise ValueError(
                f"{count} states to render ahead, at most {MOST_STATES}: give some ranges as shorter lists"
            )
        self._known: dict[tuple[Value, ...], str] = {}
        states = [_Html(self._html(place)) for place in itertools.product(*self.stops.values())]
        labels = {name: [_name(value) for value in values] for name, values in self.stops.items()}
        self.frames: Frames = frames(states, labels, describe)

    def _html(self, place: tuple[Value, ...]) -> str:
        """The picture at one place, computed once."""
        if place not in self._known:
            self._known[place] = self.function(**dict(zip(self.stops, place, strict=True))).html()
        return self._known[place]

    def widget(self) -> Any:
        """Sliders over a picture that follows a short while after the last change, with a sign while it computes."""
        import ipywidgets

        controls = {name: _slider(name, given) for name, given in self.ranges.items()}
        picture, busy = ipywidgets.HTML(), ipywidgets.HTML(layout={"min_height": "1.6em"})

        async def update() -> None:
            await asyncio.sleep(WAIT)
            busy.value = "<em>computing …</em>"
            await asyncio.sleep(0)  # let the sign reach the page
            try:
                picture.value = self._html(tuple(control.value for control in controls.values()))
                busy.value = ""
            except Exception as error:  # the reader moved a slider: say what went wrong where they look
                busy.value = f"<strong>{type(error).__name__}</strong>: see the notebook's log"
                raise

        pending: list[asyncio.Task[None]] = []

        def changed(_change: object) -> None:
            while pending:
                pending.pop().cancel()
            pending.append(asyncio.get_running_loop().create_task(update()))

        for control in controls.values():
            control.observe(changed, "value")
        picture.value = self._html(tuple(values[0] for values in self.stops.values()))
        return ipywidgets.VBox([*controls.values(), busy, picture])

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """The live widget for a front end that can show it, and the frames for all others."""
        live: dict[str, Any] = self.widget()._repr_mimebundle_()
        return {**live, **self.frames._repr_mimebundle_()}


def explore(function: Callable[..., Shown], /, **ranges: Range) -> Explore:
    """Let the reader turn the knobs of a function that draws.

    Example:
        >>> explore(box_at, threshold=(0.1, 0.9), method=["cam", "eigen-cam"])  # doctest: +SKIP

    Args:
        function: called with one value for each range, returns a picture (:func:`featlib.figures.show`); the first line
            of its docstring says what can be compared.
        ranges: for each parameter (low, high), both ints or both floats, or a list of values.

    Returns:
        Something to leave as the last value of a cell.

    Raises:
        ValueError: for a range that is empty or upside down, more states than a page can hold, or no docstring.
    """
    return Explore(function, ranges, (function.__doc__ or "").strip().partition("\n")[0])


class _Html:
    """Finished HTML as something shown."""

    def __init__(self, text: str) -> None:
        self._text = text

    def html(self) -> str:
        """The text."""
        return self._text


def _interval(given: Range) -> bool:
    """Whether a range is meant as (low, high) and not as a list."""
    return isinstance(given, tuple) and len(given) == 2 and all(isinstance(end, int | float) for end in given)


def _stops(name: str, given: Range) -> list[Value]:
    """The values of a parameter that the page without a kernel offers."""
    if not _interval(given):
        if not len(given):
            raise ValueError(f"{name}: an empty list leaves nothing to choose")
        return list(given)
    low, high = float(given[0]), float(given[1])
    if low >= high:
        raise ValueError(f"{name}: {given} is upside down; the lower end comes first")
    values = [low + (high - low) * step / (STEPS - 1) for step in range(STEPS)]
    if all(isinstance(end, int) for end in given):
        return list(dict.fromkeys(round(value) for value in values))
    return list(values)


def _slider(name: str, given: Range) -> Any:
    """The live control of a range."""
    import ipywidgets

    if not _interval(given):
        return ipywidgets.SelectionSlider(options=[(_name(value), value) for value in given], description=name)
    kind = ipywidgets.IntSlider if all(isinstance(end, int) for end in given) else ipywidgets.FloatSlider
    step = {} if kind is ipywidgets.IntSlider else {"step": (float(given[1]) - float(given[0])) / 100}
    return kind(min=given[0], max=given[1], value=given[0], description=name, **step)


def _name(value: Value) -> str:
    """A value as the reader sees it."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
