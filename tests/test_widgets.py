"""Frames: every state is there, in order, named, and without any outside script. The browser tests move them."""

import json
import re
from dataclasses import dataclass
from html import unescape

import pytest

from featlib.widgets import frames


@dataclass
class Text:
    text: str

    def html(self):
        return f"<p>{self.text}</p>"


def grid():
    states = [Text(f"{a}{b}") for a in "xy" for b in "123"]
    return frames(states, {"letter": ["x", "y"], "digit": ["1", "2", "3"]}, "Letters against digits <here> and there")


def test_all_states_are_there_in_row_major_order():
    states = re.findall(r"<div data-state><p>(..)</p></div>", grid().html())
    assert states == ["x1", "x2", "x3", "y1", "y2", "y3"]


def test_each_input_is_labelled_and_knows_its_steps():
    text = grid().html()
    names = [json.loads(unescape(value)) for value in re.findall(r'data-names="([^"]*)"', text)]
    assert names == [["x", "y"], ["1", "2", "3"]]
    assert re.findall(r'max="(\d)"', text) == ["1", "2"]
    assert text.count("<label>") == 2
    assert 'aria-label="Letters against digits &lt;here&gt; and there"' in text


def test_nothing_is_fetched_and_the_id_comes_from_the_content():
    text = grid().html()
    assert "http" not in text
    assert "src=" not in text
    assert text == grid().html()
    name = re.search(r'id="(frames-\w+)"', text)[1]
    assert f'getElementById("{name}")' in text


def test_without_script_every_state_shows():
    assert "<div data-state hidden" not in grid().html()
    assert "<div data-controls hidden>" in grid().html()


@pytest.mark.parametrize(
    ("count", "labels", "describe", "says"),
    [
        (5, {"a": ["1", "2"], "b": ["1", "2", "3"]}, "one two three four", "5 states for 2 a x 3 b: 6 are needed"),
        (1, {}, "one two three four", "1 states for no labels"),
        (2, {"a": ["1", "2"]}, "short", "does not say what can be compared"),
    ],
)
def test_bad_input_is_named(count, labels, describe, says):
    with pytest.raises(ValueError, match=says):
        frames([Text("s")] * count, labels, describe)
