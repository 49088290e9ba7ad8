"""Pictures to touch that need no kernel: the states are rendered by the run, a range input chooses among them.

The same output works in JupyterLab and on the static site. Without script all states show, one below the other.
"""

from __future__ import annotations

import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, runtime_checkable

__all__ = ["Frames", "frames"]

# Row-major index over all inputs; every state but the chosen one is hidden.
_SCRIPT = """
(() => {
  const box = document.getElementById("ID");
  const inputs = [...box.querySelectorAll("input")];
  const states = [...box.querySelectorAll("[data-state]")];
  const show = () => {
    let at = 0;
    for (const input of inputs) {
      const names = JSON.parse(input.dataset.names);
      const name = names[+input.value];
      at = at * names.length + +input.value;
      input.setAttribute("aria-valuetext", name);
      input.nextElementSibling.textContent = name;
    }
    states.forEach((state, index) => { state.hidden = index !== at; });
  };
  inputs.forEach(input => input.addEventListener("input", show));
  box.querySelector("[data-controls]").hidden = false;
  show();
})();
"""


@runtime_checkable
class _Shown(Protocol):
    """Anything that can be written as HTML, such as :class:`featlib.figures.Picture`."""

    def html(self) -> str:
        """The whole of it."""


@dataclass(frozen=True)
class Frames:
    """A grid of states and the inputs that choose among them; the last value of a cell, it shows itself."""

    states: tuple[str, ...]
    labels: Mapping[str, Sequence[str]]
    describe: str

    def html(self) -> str:
        """The controls, all states and the script, complete in itself; its id is made from its content."""
        name = "frames-" + hashlib.sha256("".join(self.states).encode()).hexdigest()[:10]
        controls = "".join(_control(label, values) for label, values in self.labels.items())
        states = "".join(f"<div data-state>{state}</div>" for state in self.states)
        script = _SCRIPT.replace("ID", name)
        return (
            f'<div class="featlib-frames" id="{name}" role="group" aria-label="{html.escape(self.describe)}">'
            f"<div data-controls hidden>{controls}</div>{states}<script>{script}</script></div>"
        )

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.describe}


def frames(states: Sequence[_Shown], labels: Mapping[str, Sequence[str]], describe: str) -> Frames:
    """Let the reader choose among states with one slider for each axis of a grid.

    Args:
        states: pictures in row-major order: the last axis of ``labels`` changes fastest.
        labels: for each axis its name and the names of its steps.
        describe: what can be compared here, in a sentence.

    Raises:
        ValueError: if there are not as many states as the labels have combinations, or no description.
    """
    wanted = prod(len(values) for values in labels.values())
    if not labels or len(states) != wanted:
        axes = " x ".join(f"{len(values)} {label}" for label, values in labels.items())
        raise ValueError(f"{len(states)} states for {axes or 'no labels'}: {wanted} are needed, last axis fastest")
    if len(describe.split()) < 4:
        raise ValueError(f"describe={describe!r} does not say what can be compared: write a sentence")
    return Frames(tuple(state.html() for state in states), labels, describe)


def _control(label: str, values: Sequence[str]) -> str:
    """One labelled slider with the name of its step beside it."""
    names = html.escape(json.dumps(list(values)), quote=True)
    return (
        f"<label>{html.escape(label)} "
        f'<input type="range" min="0" max="{len(values) - 1}" value="0" step="1" data-names="{names}">'
        f'<output aria-live="polite">{html.escape(values[0])}</output></label> '
    )
