"""Every state is there, in order, named, and without any outside script. The browser tests move them."""

import asyncio
import base64
import json
import re
from dataclasses import dataclass
from html import unescape

import numpy as np
import pytest

from featlib.widgets import Scene, explore, frames, heatmaps, live


@dataclass
class Text:
    text: str

    def html(self):
        return f"<p>{self.text}</p>"


def grid():
    states = [Text(f"{a}{b}") for a in "xy" for b in "123"]
    return frames(states, {"letter": ["x", "y"], "digit": ["1", "2", "3"]}, "Letters against digits <here> and there")


def test_all_states_are_there_in_row_major_order_and_say_where_they_lie():
    states = re.findall(r"<figure data-state><p>(..)</p><figcaption>(.*?)</figcaption></figure>", grid().html())
    assert [state for state, _ in states] == ["x1", "x2", "x3", "y1", "y2", "y3"]
    assert states[4][1] == "letter: y, digit: 2"


def test_each_input_is_labelled_and_knows_its_steps():
    text = grid().html()
    names = [json.loads(unescape(value)) for value in re.findall(r'data-names="([^"]*)"', text)]
    assert names == [["x", "y"], ["1", "2", "3"]]
    assert re.findall(r'max="(\d)"', text) == ["1", "2"]
    assert re.findall(r'<label for="([^"]+)"', text) == re.findall(r'<input id="([^"]+)"', text)
    assert 'aria-label="Letters against digits &lt;here&gt; and there"' in text


def test_nothing_is_fetched_and_ids_come_from_the_content():
    text = grid().html()
    assert "http" not in text
    assert "src=" not in text
    assert text == grid().html()
    assert re.search(r'<fieldset class="featlib-frames" id="frames-[0-9a-f]+"', text)


def test_each_figure_brings_all_it_needs_and_marks_what_a_page_needs_once():
    other = frames([Text("u"), Text("v")], {"shape": ["flat", "round"]}, "Two shapes side by side")
    once, again = (re.findall(r"<(?:style|script) data-once>.*?</\w+>", x.html(), re.DOTALL) for x in (grid(), other))
    assert [block.split()[0] for block in once] == ["<style", "<script"]
    assert once == again  # letter for letter, or the press could not tell
    left = other.html().replace(again[0], "").replace(again[1], "")
    assert left.endswith("</fieldset><script>featlibFrames()</script>")
    assert len(left.encode()) < 1200


def test_without_script_every_state_shows():
    text = grid().html()
    assert "<div data-controls hidden>" in text
    assert not re.search(r"<figure[^>]*hidden", text)


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


def double(number, letter="a"):
    """What twice a number looks like beside a letter."""
    double.calls += 1
    return Text(f"{letter}{2 * number}")


double.calls = 0


def test_explore_shows_the_same_states_where_there_is_no_kernel():
    bundle = explore(double, number=(0, 2), letter=["a", "b"])._repr_mimebundle_()
    states = re.findall(r"<figure data-state><p>(..)</p>", bundle["text/html"])
    assert states == ["a0", "b0", "a2", "b2", "a4", "b4"]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert 'aria-label="What twice a number looks like beside a letter."' in bundle["text/html"]


def moved(values, wait=4):
    """Move the slider to one value after the other within a moment, then wait; the picture and the calls made."""

    async def run():
        touched = explore(double, number=[1, 2, 3, 9])
        before = double.calls
        touched._known.clear()
        slider, busy, picture = touched.widget().children
        for value in values:
            slider.value = value
            await asyncio.sleep(0.01)
        await asyncio.sleep(wait * live.WAIT)
        return picture.value, double.calls - before, busy.value

    return asyncio.run(run())


def test_a_live_slider_recomputes_once_for_a_burst_of_moves():
    assert moved([2, 3, 9]) == ("<p>a18</p>", 2, "")  # the first picture, and the last of the burst


def test_a_live_slider_waits_before_it_computes():
    assert moved([2], wait=0.3)[:2] == ("<p>a2</p>", 1)


@pytest.mark.parametrize(
    ("ranges", "says"),
    [
        ({"number": (3, 1)}, "upside down"),
        ({"number": []}, "leaves nothing to choose"),
        ({"number": list(range(100))}, "100 states to render ahead, at most 64"),
    ],
)
def test_ranges_that_cannot_be_explored_are_named(ranges, says):
    with pytest.raises(ValueError, match=says):
        explore(double, **ranges)
    with pytest.raises(ValueError, match="does not say what can be compared"):
        explore(lambda number: Text("x"), number=[1, 2])


def test_numeric_ranges_have_stops_from_end_to_end():
    assert live._stops("x", (0.0, 1.0)) == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert live._stops("x", (1, 3)) == [1, 2, 3]


def heat_scene(name="meadow", layers=("deep",), classes=2, values=0.5, mask=None):
    maps = {layer: {"asks": np.full((classes, 2, 3), values), "any": np.full((1, 2, 3), values)} for layer in layers}
    return Scene(name, Text(name), [f"class {n}" for n in range(classes)], maps, f"The {name}.", mask)


def packed(html):
    return json.loads(re.search(r"<script type=\"application/json\" data-maps>(.*?)</script>", html, re.DOTALL)[1])


def test_heat_maps_carry_every_map_as_bytes_that_can_be_found_again():
    random = np.random.default_rng(0)
    maps = {
        layer: {"asks": random.random((2, *shape)), "any": random.random((1, *shape))}
        for layer, shape in (("deep", (2, 3)), ("early", (5, 4)))
    }
    mask = random.random((7, 9)) > 0.5
    text = heatmaps(
        [Scene("a <b>", Text("x"), ["</script>", "d"], maps, "c", mask)], (7, 9), "Two layers of one map"
    ).html()
    data = packed(text)
    (scene,) = data["scenes"]
    content = np.frombuffer(base64.b64decode(scene["maps"]), np.uint8)
    for row, layer in zip(scene["layers"], maps.values(), strict=True):
        for (start, *shape), values in zip(row, layer.values(), strict=True):
            assert shape == list(values.shape)
            assert np.abs(content[start : start + values.size].reshape(shape) / 255 - values).max() <= 0.5 / 255 + 1e-12
    assert (np.unpackbits(np.frombuffer(base64.b64decode(scene["mask"]), np.uint8))[:63].reshape(7, 9) == mask).all()
    assert scene["classes"] == ["</script>", "d"]
    assert data["levels"] == pytest.approx([step / 20 for step in range(1, 20)])


def test_heat_maps_have_six_sliders_and_start_hot_at_a_middle_threshold():
    text = heatmaps([heat_scene(), heat_scene("harbour")], (4, 6), "Two pictures under two methods").html()
    assert re.findall(r"<label [^>]*>([^<]*)<", text) == ["picture", "layer", "method", "class", "threshold", "heat"]
    assert re.findall(r"<output>([^<]*)<", text) == ["meadow", "deep", "asks", "class 0", "0.40", "100%"]
    assert 'data-choosing="1"' in text
    assert text.count("<figure data-state>") == 2


@pytest.mark.parametrize(
    ("scenes", "says"),
    [
        ([], "no scenes"),
        ([heat_scene(), heat_scene(layers=("early",))], "has layers, methods and classes"),
        ([heat_scene(), heat_scene(classes=3)], "has layers, methods and classes"),
        ([heat_scene(values=1.5)], r"must lie in \[0, 1\]"),
        ([heat_scene(values=float("nan"))], r"must lie in \[0, 1\]"),
        ([heat_scene(mask=np.ones((4, 7), dtype=bool))], "the mask is"),
        ([Scene("m", Text("m"), ["a", "b", "c"], {"l": {"asks": np.zeros((2, 2, 2))}}, "c")], "3 classes or 1"),
        ([Scene("m", Text("m"), ["a"], {"l": {"asks": np.zeros((1, 0, 2))}}, "c")], "1 classes or 1"),
    ],
)
def test_heat_maps_that_do_not_fit_together_are_refused(scenes, says):
    with pytest.raises(ValueError, match=says):
        heatmaps(scenes, (4, 6), "Two pictures under two methods")


def test_heat_maps_want_a_description():
    with pytest.raises(ValueError, match="write a sentence"):
        heatmaps([heat_scene()], (4, 6), "maps")
