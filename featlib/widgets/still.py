"""Pictures to touch that need no kernel: the run renders the states, a slider chooses among them.

The same output works in JupyterLab, in nbviewer and on the static site; it prints as a contact sheet, and without
script it *is* one. No library, nothing fetched.
"""

from __future__ import annotations

import hashlib
import html
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol, runtime_checkable

__all__ = ["Frames", "Shown", "fieldset", "figure", "frames"]

_STYLE = """
.featlib-frames{border:0;padding:0;margin:.8em 0;min-width:0}
.featlib-frames [data-axis]{display:grid;grid-template-columns:7.5em auto minmax(5em,16em) auto auto minmax(0,1fr);
align-items:center;gap:.4em;margin:.2em 0}
.featlib-frames[data-live] [data-state]:not([data-on]){display:none}
.featlib-frames [data-states]{display:flex;flex-wrap:wrap;gap:1em;margin-top:.5em}
.featlib-frames figure{margin:0;max-width:100%}
.featlib-frames figcaption{font-size:.85em}
.featlib-frames img{max-width:100%;min-width:min(20em,100%);height:auto}
.featlib-frames button{font:inherit;line-height:1;min-width:2em;min-height:2em;padding:.2em .5em;cursor:pointer;
color:inherit;background:transparent;border:1px solid currentColor;border-radius:.3em}
.featlib-frames input{width:100%;min-height:24px;margin:0}
.featlib-frames :focus-visible{outline:3px solid #0072b2;outline-offset:2px}
.featlib-frames output{overflow-wrap:anywhere}
@media(max-width:600px){.featlib-frames [data-axis]{grid-template-columns:auto minmax(5em,1fr) auto auto}
.featlib-frames label,.featlib-frames output{grid-column:1/-1}}
@media print{.featlib-frames [data-controls]{display:none}
.featlib-frames[data-live] [data-state]:not([data-on]){display:block}}
"""

# The states lie in row-major order over the sliders, or the first data-choosing of them; data-on marks the chosen one.
# It names no figure: it wires all that stand on the page and are not alive yet, so that one copy serves a page.
_SCRIPT = """
window.featlibFrames = () => document.querySelectorAll(".featlib-frames:not([data-live])").forEach(box => {
  const axes = [...box.querySelectorAll("[data-axis]")];
  const inputs = axes.map(axis => axis.querySelector("input"));
  const states = [...box.querySelectorAll("[data-state]")];
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  let timer = null, playing = null;
  const names = input => JSON.parse(input.dataset.names);
  const choosing = inputs.slice(0, box.dataset.choosing);
  const show = () => {
    const at = choosing.reduce((index, input) => index * names(input).length + +input.value, 0);
    states.forEach((state, index) => state.toggleAttribute("data-on", index === at));
    box.dispatchEvent(new CustomEvent("featlib-place", {detail: inputs.map(input => +input.value)}));
    inputs.forEach(input => {
      const name = names(input)[+input.value];
      input.setAttribute("aria-valuetext", name);
      input.closest("[data-axis]").querySelector("output").textContent = name;
    });
  };
  const step = (input, by) => {
    const count = names(input).length;
    input.value = (+input.value + by + count) % count;
    show();
  };
  const stop = () => {
    clearInterval(timer);
    if (playing) { playing.textContent = "\\u25b6"; playing.setAttribute("aria-label", playing.dataset.play); }
    playing = null;
  };
  axes.forEach((axis, which) => {
    const input = inputs[which], [back, on, play] = axis.querySelectorAll("button");
    input.addEventListener("input", () => { stop(); show(); });
    input.addEventListener("keydown", event => {
      const last = +input.max, now = +input.value;
      const to = {ArrowRight: now + 1, ArrowUp: now + 1, ArrowLeft: now - 1, ArrowDown: now - 1, Home: 0, End: last};
      if (!(event.key in to)) return;
      event.preventDefault();  // done here, because JupyterLab takes the focus before the browser would step
      event.stopPropagation();
      stop();
      input.value = Math.max(0, Math.min(last, to[event.key]));
      input.focus();
      show();
    });
    back.addEventListener("click", () => { stop(); step(input, -1); });
    on.addEventListener("click", () => { stop(); step(input, 1); });
    play.hidden = still.matches;
    play.addEventListener("click", () => {
      const resume = playing !== play;
      stop();
      if (!resume) return;
      playing = play;
      play.textContent = "\\u23f8";
      play.setAttribute("aria-label", "Pause");
      timer = setInterval(() => box.isConnected ? step(input, 1) : stop(), 900);
    });
  });
  box.querySelector("[data-controls]").hidden = false;
  box.setAttribute("data-live", "");
  show();
});
"""
_WIRE = "featlibFrames()"


@runtime_checkable
class Shown(Protocol):
    """Anything that can be written as HTML, such as :class:`featlib.figures.Picture`."""

    def html(self) -> str:
        """The whole of it."""


@dataclass(frozen=True)
class Frames:
    """A grid of states and the sliders that choose among them; as the last value of a cell it shows itself."""

    states: tuple[str, ...]
    labels: Mapping[str, Sequence[str]]
    describe: str

    def html(self) -> str:
        """All of it, complete in itself.

        One copy of what is marked ``data-once`` is enough for a page: the press takes out the others.
        """
        places = itertools.product(*self.labels.values())
        figures = [figure(state, _place(self.labels, place)) for state, place in zip(self.states, places, strict=True)]
        return fieldset(self.describe, self.labels, figures)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        return {"text/html": self.html(), "text/plain": self.describe}


def frames(states: Sequence[Shown], labels: Mapping[str, Sequence[str]], describe: str) -> Frames:
    """Let the reader choose among states with one slider for each axis of a grid.

    Each slider has buttons for the previous and the next step and one that plays (not shown to readers who asked for
    reduced motion); arrow keys work; the state that shows is announced.

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


def fieldset(
    describe: str,
    labels: Mapping[str, Sequence[str]],
    figures: Sequence[str],
    starts: Mapping[str, int] | None = None,
    choosing: int | None = None,
    inside: str = "",
    kind: str = "",
    before: str = "",
) -> str:
    """Controls, figures, style and script, complete in itself; the id is made from the content.

    Args:
        describe: what can be compared here.
        labels: for each axis its name and the names of its steps.
        figures: one for each state.
        starts: the step where an axis stands at first, if not 0.
        choosing: how many axes, from the first on, choose the figure; by default all. The place of all of them comes
            with each change as the event ``featlib-place``.
        inside: HTML after the figures.
        kind: what a script of its own looks for, as ``data-kind``.
        before: that script's call, made before the sliders come to life.
    """
    name = "frames-" + hashlib.sha256("".join((*figures, inside, describe)).encode()).hexdigest()[:10]
    controls = "".join(
        _control(f"{name}-{number}", label, values, (starts or {}).get(label, 0))
        for number, (label, values) in enumerate(labels.items())
    )
    more = f' data-kind="{kind}"' if kind else ""
    more += "" if choosing is None else f' data-choosing="{choosing}"'
    return (
        f"<style data-once>{_STYLE}</style>"
        # the attribute keeps JupyterLab from taking the arrow keys for itself
        f'<fieldset class="featlib-frames" id="{name}" aria-label="{html.escape(describe)}"{more}'
        ' data-lm-suppress-shortcuts="true">'
        f"<div data-controls hidden>{controls}</div>"
        f'<div data-states aria-live="polite">{"".join(figures)}</div>{inside}</fieldset>'
        f"<script data-once>{_SCRIPT}</script><script>{before}{_WIRE}</script>"
    )


def figure(state: str, caption: str) -> str:
    """One state with its caption."""
    return f"<figure data-state>{state}<figcaption>{html.escape(caption)}</figcaption></figure>"


def _place(labels: Mapping[str, Sequence[str]], place: Sequence[str]) -> str:
    """Where in the grid a state lies, in words."""
    return ", ".join(f"{label}: {value}" for label, value in zip(labels, place, strict=True))


def _control(name: str, label: str, values: Sequence[str], start: int) -> str:
    """One labelled slider with its buttons and the name of its step."""
    names, said = html.escape(json.dumps(list(values)), quote=True), html.escape(label, quote=True)
    return (
        f'<div data-axis><label for="{name}">{said}</label>'
        f'<button type="button" aria-label="Previous {said}">‹</button>'
        f'<input id="{name}" type="range" min="0" max="{len(values) - 1}" value="{start}" step="1"'
        f' data-names="{names}">'
        f'<button type="button" aria-label="Next {said}">›</button>'
        f'<button type="button" aria-label="Play {said}" data-play="Play {said}">▶</button>'
        f"<output>{html.escape(values[start])}</output></div>"
    )
