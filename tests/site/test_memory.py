"""The memory figure: which rows it draws, where, and in which words it says the same."""

import csv
from itertools import pairwise
from xml.etree import ElementTree

import pytest

from featlib.press.pages.memory import LEFT, RIGHT, apart, memory

FILE = """op,size,peer,peer_mb,ours_mb
loss,512 rows x 128,dense & plain,5.0,1.0
loss,2048 rows x 128,dense & plain,80.0,2.0
loss,8192 rows x 128,dense & plain,1280.0,8.0
loss,512 rows x 128,library,10.0,1.5
loss,2048 rows x 128,library,160.0,2.0
loss,512 rows x 64,library,9.0,1.0
loss,tiny,library,9.0,1.0
loss,512x128,library,9.0,1.0
loss,2048x128,library,9.0,1.0
"""
ROWS = list(csv.DictReader(FILE.splitlines()))
SVG = "fl-mark"


def tree(rows):
    """The figure as XML: it must be well formed whatever the file holds."""
    return ElementTree.fromstring(str(memory("loss", rows)))


def marks(node):
    """Title, per cent and pixels of each point."""
    found = [svg for svg in node.iter("svg") if svg.get("class") == SVG and svg.get("x")]
    return {svg.find("title").text: (float(svg.get("x")[:-1]), float(svg.get("y"))) for svg in found}


def test_every_peak_is_a_point_and_ours_is_drawn_once():
    assert list(marks(tree(ROWS))) == [
        "5.00 MB at 512 rows x 128, dense & plain",
        "80.0 MB at 2048 rows x 128, dense & plain",
        "1.25 GB at 8192 rows x 128, dense & plain",
        "10.0 MB at 512 rows x 128, library",
        "160 MB at 2048 rows x 128, library",
        "1.50 MB at 512 rows x 128, ours",
        "2.00 MB at 2048 rows x 128, ours",
        "8.00 MB at 8192 rows x 128, ours",
    ]


def test_both_axes_are_logarithmic():
    places = list(marks(tree(ROWS)).values())
    dense = places[:3]
    assert [x for x, _ in dense] == pytest.approx([LEFT, (LEFT + RIGHT) / 2, RIGHT])
    steps = [a - b for (_, a), (_, b) in pairwise(dense)]
    assert steps == pytest.approx([steps[0]] * 2, abs=0.2), "sixteen times twice are two equal steps up"
    assert steps[0] > 0
    assert all(y < ours for (_, y), (_, ours) in zip(dense, places[5:], strict=True)), "more lies higher"


def test_the_description_is_made_from_the_rows():
    assert tree(ROWS).find("svg").get("aria-label") == (
        "Peak memory of loss over the batch (rows x 128), on logarithmic axes: "
        "dense & plain from 5.00 MB at 512 to 1.25 GB at 8192, 256 times for 16 times the batch; "
        "library from 10.0 MB at 512 to 160 MB at 2048, 16 times for 4 times the batch; "
        "ours from 1.50 MB at 512 to 8.00 MB at 8192, 5.33 times for 16 times the batch."
    )


def test_names_on_the_axis_do_not_touch():
    assert apart([512, 2048, 4096, 8192, 16384]) == [16384, 4096, 512]
    assert apart([1, 1000]) == [1000, 1]


def test_the_caption_names_every_side():
    names = ["".join(item.itertext()).strip() for item in tree(ROWS).iter("li")]
    assert names == ["dense & plain", "library", "ours"]


@pytest.mark.parametrize("peak", ["", "never", "nan", "inf", "0", "-2", None])
def test_what_is_no_peak_is_not_drawn(peak):
    broken = [{**ROWS[0], "peer_mb": peak}, *ROWS[1:]]
    assert len(marks(tree(broken))) == 7
    assert memory("loss", [{**row, "ours_mb": peak} for row in ROWS]) == ""


def test_one_size_is_no_curve():
    assert memory("loss", ROWS[:1]) == ""
    assert memory("loss", [{key: row[key] for key in ("op", "size", "peer")} for row in ROWS]) == ""
