"""The speed figure: what it draws, from what, and in which words it says the same."""

import csv
import re
from xml.etree import ElementTree

import pytest
from tiny_site import BENCH

from featlib.press.pages.speed import MOST, SHAPES, Axis, speed

SVG = "{http://www.w3.org/2000/svg}"
ROWS = list(csv.DictReader(BENCH.splitlines()))
SPARSE = [row for row in ROWS if row["op"] == "sparse"]


def tree(markup):
    """The figure as XML: it must be well formed whatever the file holds."""
    return ElementTree.fromstring(str(markup))


def words(node):
    return ["".join(text.itertext()) for text in node.iter("text")]


def places(node):
    """Per cent of each dot, in the order of the rows."""
    return [float(dot.get("x")[:-1]) for dot in node.iter("svg") if dot.get("class") == "fl-mark" and dot.get("x")]


def row(**fields):
    return {**ROWS[0], **fields}


def test_every_row_is_a_dot_on_its_side_of_equal_speed():
    figure = tree(speed("sparse", SPARSE))
    (one,) = [float(line.get("x1")[:-1]) for line in figure.iter("line") if line.get("class") == "fl-one"]
    first, second, third = places(figure)
    assert third < second < one < first
    assert all(0 < place < 100 for place in places(figure))
    titles = [title.text for title in figure.iter("title")]
    assert titles[1] == "4096 <wide>, 3%, beside compiled: 0.830 times as fast; break-even: not even at 1%"


def test_the_axis_is_logarithmic():
    axis = Axis(0.1, 10.0)
    low, one, high = (float(axis.at(value)[:-1]) for value in (0.1, 1.0, 10.0))
    assert one == pytest.approx((low + high) / 2)
    assert axis.ticks() == pytest.approx([0.1, 0.3, 1, 3, 10])


@pytest.mark.parametrize("low", [1e-4, 0.3, 0.97, 1])
@pytest.mark.parametrize("high", [1, 1.04, 1.6, 40, 406, 1e6])
def test_an_axis_has_few_ticks_and_one_of_them_is_one(low, high):
    ratios = [row(size=str(n), ratio=str(value)) for n, value in enumerate((low, high))]
    figure = tree(speed("op", ratios))
    ticks = [word for word, line in zip(words(figure), figure.iter("text"), strict=True) if line.get("text-anchor")]
    assert "1×" in ticks
    assert 1 <= len([line for line in figure.iter("line") if line.get("class")]) <= MOST
    assert all(0 <= place <= 100 for place in places(figure))


def test_each_size_says_its_break_even():
    said = words(tree(speed("sparse", SPARSE)))
    assert "4096 <wide>, 3%" in said
    assert "break-even: 10% and below / not even at 1%" in said
    assert "break-even: 10% and below" in said


def test_a_break_even_that_all_share_is_said_once():
    drawn = speed("op", [row(break_even="batch 2"), row(size="9x9", break_even="batch 2")])
    assert "Break-even at every size: batch 2." in drawn
    assert not any("batch 2" in word for word in words(tree(drawn)))


def test_the_description_is_made_from_the_rows():
    label = tree(speed("sparse", SPARSE)).find("svg").get("aria-label")
    assert label == (
        "Speed of sparse beside its peers, on a logarithmic axis. beside dense & plain: 0.500 times as fast at "
        "4096 <wide>, 30% to 1.50 times as fast at 4096 <wide>, 3%, slower at 1 of 2 sizes; "
        "beside compiled: 0.830 times as fast at 4096 <wide>, 3%, slower at 1 of 1 sizes."
    )
    assert "never slower" in tree(speed("top_component", ROWS[:1])).find("svg").get("aria-label")


def test_shapes_tell_peers_apart_and_the_caption_names_them():
    drawn = str(speed("sparse", SPARSE))
    assert len(set(SHAPES)) == len(SHAPES)
    assert [drawn.count(shape) for shape in SHAPES[:3]] == [3, 2, 0]
    names = re.findall(r"<li>.*?</svg> (.*?)</li>", drawn)
    assert names == ["dense &amp; plain", "compiled"]


def test_rows_of_one_size_share_a_lane_and_say_in_what_they_differ():
    same = words(tree(speed("op", [row(), row(peer="other", ratio="3")])))
    assert same.count("1280x7x7") == 1
    several = words(tree(speed("op", [row(), row(device="cuda", ratio="3"), row(threads="2", ratio="4")])))
    assert {"1280x7x7, cpu, 1 threads", "1280x7x7, cuda, 1 threads", "1280x7x7, cpu, 2 threads"} <= set(several)


@pytest.mark.parametrize("ratio", ["", "never", "nan", "inf", "0", "-2"])
def test_what_is_no_ratio_is_not_drawn(ratio):
    assert speed("op", [row(ratio=ratio)]) == ""
    assert len(places(tree(speed("op", [row(ratio=ratio), row(size="2")])))) == 1
