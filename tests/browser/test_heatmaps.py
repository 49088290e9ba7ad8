"""Heat maps drawn by the page: what it says of them is what the library measures."""

import itertools
import re

import numpy as np
import pytest
import tiny_site
import torch
from torch.nn.functional import interpolate

from featlib.measures import localisation
from featlib.widgets.heat import LEVELS

BOX = '[data-kind="heatmaps"]'
LAYERS, METHODS = ("deep", "early"), ("asks", "any")


def slider(page, name):
    return page.locator(BOX).get_by_role("slider", name=name, exact=True)


def go_to(page, **places):
    for name, step in places.items():
        slider(page, name).fill(str(step))


def reading(page):
    return page.locator(f"{BOX} [data-reading]").inner_text()


def canvases(page):
    return page.locator(f"{BOX} [data-on] canvas")


def colours(page, which):
    """RGBA of a canvas, straight from it."""
    drawn = (
        canvases(page)
        .nth(which)
        .evaluate("canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]")
    )
    return np.array(drawn).reshape(48, 64, 4)


def enlarged(scene, layer, method, which):
    """The map as the page gets it, at the picture's size."""
    maps = scene.maps[layer][method]
    steps = torch.from_numpy((255 * maps[min(which, len(maps) - 1)]).round() / 255)
    return interpolate(steps[None, None].float(), size=(48, 64), mode="bilinear")[0, 0]


def test_the_page_says_of_every_map_what_the_library_measures(visit):
    page = visit().go()
    scene = tiny_site.heat_scenes()[1]
    go_to(page, picture=1)
    mask = torch.from_numpy(scene.mask)
    said = set()
    for (at, layer), (row, method), which, step in itertools.product(
        enumerate(LAYERS), enumerate(METHODS), range(3), (3, 7, 12)
    ):
        go_to(page, layer=at, method=row, **{"class": which}, threshold=step)
        text = reading(page)
        values, level = enlarged(scene, layer, method, which), LEVELS[step]
        inside = values > level
        iou, boxes = map(
            float,
            re.search(r"IoU with the outlined object: ([\d.]+), of the boxes around both: ([\d.]+)", text).groups(),
        )
        found = localisation.mask_iou(values[None], mask[None], thresholds=(level,))
        assert iou == pytest.approx(float(found), abs=0.0051)
        truth = localisation.box_iou(localisation.largest_box(inside), localisation.largest_box(mask))
        assert boxes == pytest.approx(truth, abs=0.0051)
        assert int(re.search(r"covers (\d+) %", text)[1]) == pytest.approx(100 * float(inside.float().mean()), abs=0.51)
        hit = bool(localisation.pointing_game(values[None], mask[None]))
        assert ("highest on it" in text) == hit, text
        assert text.startswith("The same map for every class.") == (method == "any")
        said.add(text)
    assert len(said) > 15  # that the sliders do something


def test_a_method_without_a_class_stays_where_it_is_and_the_other_moves(visit):
    page = visit().go()
    seen = {}
    for row, method in enumerate(METHODS):
        for which in (0, 2):
            go_to(page, method=row, **{"class": which})
            seen[method, which] = colours(page, 0)
    assert (seen["any", 0] == seen["any", 2]).all()
    assert (seen["asks", 0] != seen["asks", 2]).any()
    assert "IoU" not in reading(page)  # the first picture has no mask


def test_classes_are_those_of_the_picture(visit):
    page = visit().go()
    outputs = page.locator(f"{BOX} [data-axis] output")
    go_to(page, **{"class": 1})
    assert outputs.all_inner_texts()[:4] == ["meadow", "deep", "asks", "meadow boat"]
    go_to(page, picture=1)
    assert outputs.all_inner_texts() == ["harbour", "deep", "asks", "harbour boat", "0.40", "100%"]
    slider(page, "class").press("ArrowRight")
    assert slider(page, "class").get_attribute("aria-valuetext") == "harbour cloud"


def test_heat_is_laid_over_the_picture_as_figures_lay_it(visit):
    from matplotlib import colormaps

    page = visit().go()
    values = enlarged(tiny_site.heat_scenes()[0], "deep", "asks", 0).numpy()
    drawn = colours(page, 0)
    assert np.abs(drawn[..., 3] / 255 - (0.6 * values + 0.25)).max() < 0.005
    strong = drawn[..., 3] > 150  # a canvas keeps colours times their opacity
    wanted = 255 * colormaps["magma"]((255 * values).round().astype(int))[..., :3]
    assert np.abs(drawn[..., :3] - wanted)[strong].max() < 6
    assert canvases(page).first.evaluate("canvas => canvas.previousElementSibling.style.filter") == "grayscale(1)"
    go_to(page, heat=0)
    assert colours(page, 0)[..., 3].max() == 0
    assert canvases(page).first.evaluate("canvas => canvas.previousElementSibling.style.filter") == "grayscale(0)"


def test_the_region_is_bright_the_rest_dark_and_the_object_outlined(visit):
    page = visit().go()
    go_to(page, picture=1, threshold=9)
    scene = tiny_site.heat_scenes()[1]
    values, drawn = enlarged(scene, "deep", "asks", 0), colours(page, 1)
    edge = (drawn == 255).all(-1)
    assert edge[10, 20:50].mean() > 0.9 or edge[10:30, 20].mean() > 0.9  # but for the region's box over it
    assert not edge[~scene.mask].any()
    assert not edge[14:26, 24:46].any()  # inside the object
    blue = (drawn[..., 2] > 200) & (drawn[..., 0] < 120)
    plain = ~edge & ~blue & (drawn[..., :3].max(-1) == 0)
    dark = drawn[..., 3] > 0
    assert (dark == (values <= LEVELS[9]).numpy())[plain].all()


def test_both_canvases_and_the_reading_are_said(visit):
    page = visit().go()
    labels = [canvases(page).nth(at).get_attribute("aria-label") for at in (0, 1)]
    assert labels[0] == f"Heat over the picture. {reading(page)}"
    assert "box" in labels[1]
    assert page.locator(f"{BOX} [data-on] img").evaluate_all("images => images.map(image => image.alt !== '')") == [
        True,
        False,
    ]


def test_without_script_the_pictures_stand_there_with_their_captions(visit):
    page = visit(java_script_enabled=False).go()
    assert page.locator(f"{BOX} img:visible").count() == 2
    assert page.locator(f"{BOX} figcaption").all_inner_texts() == [
        "The meadow and its maps.",
        "The harbour and its maps.",
    ]
    assert page.locator(f"{BOX} [data-controls]").is_hidden()
