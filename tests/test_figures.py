"""Figures carry a description, are drawn as asked, and leave nothing open."""

import base64
import io

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from featlib import figures


def drawn():
    figure, axis = plt.subplots(figsize=(3, 2))
    axis.plot([0, 1], [0, 1])
    return figure


def test_a_shown_figure_is_webp_html_and_text():
    picture = figures.show(drawn(), 'A line rises from 0 to 1 & is "straight".')
    bundle = picture._repr_mimebundle_()
    image = Image.open(io.BytesIO(base64.b64decode(bundle["image/webp"])))
    assert image.format == "WEBP"
    assert image.width == 2 * picture.width
    assert 'alt="A line rises from 0 to 1 &amp; is &quot;straight&quot;."' in bundle["text/html"]
    assert bundle["text/plain"] == picture.describe
    assert plt.get_fignums() == []


@pytest.mark.parametrize("describe", ["", "figure1.png", "accuracy curve"])
def test_a_figure_without_a_description_is_refused(describe):
    with pytest.raises(ValueError, match="does not say what the figure shows"):
        figures.show(drawn(), describe)
    plt.close("all")


def test_a_figure_of_many_photographs_is_drawn_coarser_and_keeps_its_size():
    noise = np.random.default_rng(0).random((200, 200, 3))
    grid = figures.image_grid([[noise] * 3] * 2, list("abc"))
    wanted = round(grid.get_figwidth() * grid.dpi)
    heavy = figures.show(grid, "Noise in every one of its cells.")
    assert len(heavy.webp) <= figures.LIGHT
    assert heavy.width == wanted
    assert Image.open(io.BytesIO(heavy.webp)).width < 2 * heavy.width


def test_line_art_is_kept_without_loss_and_lighter():
    figure, axis = plt.subplots()
    for number in range(4):
        axis.plot(np.random.default_rng(number).random(100), "o", label=f"seed {number}")
    axis.legend()
    exact, lossy = io.BytesIO(), figures._lossy(figures._raster(figure, 2.0), 80)
    figure.savefig(exact, format="png", dpi=2 * figure.dpi)
    shown = figures.show(figure, f"Four clouds of {100} dots each.")
    kept, drawn = (np.asarray(Image.open(io.BytesIO(b)).convert("RGB"), int) for b in (shown.webp, exact.getvalue()))
    assert np.abs(kept - drawn).mean() < figures.SAME
    assert len(shown.webp) < len(lossy)


def test_overlay_marks_where_the_map_is_high_and_stays_a_picture():
    image = np.full((8, 8, 3), 0.5)
    heat = np.zeros((8, 8))
    heat[2:4, 2:4] = 1
    mixed = figures.overlay(image, heat)
    assert mixed.shape == image.shape
    assert 0 <= mixed.min() <= mixed.max() <= 1
    assert mixed[2, 2].mean() > mixed[7, 7].mean() + 0.2


def test_grid_shows_every_picture_with_its_captions():
    rows = [[np.full((4, 4, 3), value) for value in (0.1, 0.2, 0.3)]] * 2
    figure = figures.image_grid(rows, columns=["a", "b", "c"], labels=["first", "second"])
    assert [axis.get_title(loc="center") for axis in figure.axes[:3]] == ["a", "b", "c"]
    assert [len(axis.images) for axis in figure.axes] == [1] * 6
    assert figure.axes[3].get_ylabel() == "second"
    plt.close(figure)


def test_strips_show_every_seed_and_the_mark():
    figure, axis = plt.subplots()
    figures.strips(axis, {"ours": [0.1, 0.2], "rival": [0.3]}, mark=0.25)
    drawn_points = np.concatenate([line.get_xdata() for line in axis.lines if line.get_marker() == "o"])
    assert sorted(drawn_points) == [0.1, 0.2, 0.3]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["ours", "rival"]
    assert any(list(line.get_xdata()) == [0.25, 0.25] for line in axis.lines)
    plt.close(figure)


def test_style_names_only_settings_that_exist():
    with plt.rc_context():
        figures.style()
        assert plt.rcParams["axes.spines.top"] is False


def test_a_picture_keeps_its_pixels_and_needs_a_description():
    image = np.zeros((20, 30, 3))
    image[:, :15] = 1
    shown = figures.picture(image, "White on the left, black on the right.")
    pixels = np.asarray(Image.open(io.BytesIO(shown.webp)).convert("L"))
    assert pixels.shape == (20, 30)
    assert pixels[:, :12].min() > 245
    assert pixels[:, 18:].max() < 10
    with pytest.raises(ValueError, match="does not say"):
        figures.picture(image, "x.png")


def test_curves_draw_mean_and_range_of_the_seeds():
    figure, axis = plt.subplots()
    runs = {"ours": np.array([[0.0, 2.0], [2.0, 4.0]]), "rival": np.array([[1.0, 1.0], [1.0, 1.0]])}
    figures.curves(axis, [0, 1], runs)
    assert [list(line.get_ydata()) for line in axis.lines] == [[1.0, 3.0], [1.0, 1.0]]
    band = axis.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (0.0, 4.0)
    assert [text.get_text() for text in axis.texts] == ["ours", "rival"]
    plt.close(figure)


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("colour", figures.SERIES)
def test_every_line_stands_out_from_the_paper(colour):
    assert 1.05 / (luminance(colour) + 0.05) >= 3


def test_an_outline_lies_on_the_edge_of_the_region_and_inside_it():
    mask = np.zeros((12, 12), dtype=bool)
    mask[3:9, 3:9] = True
    white = figures.outlined(np.zeros((12, 12, 3)), mask, width=1)[..., 0] == 1
    assert white.sum() == 4 * 6 - 4
    assert not (white & ~mask).any()


def test_a_box_is_drawn_where_it_is():
    drawn_box = figures.boxed(np.zeros((12, 12, 3)), (2, 3, 8, 10), width=1).any(-1)
    rows, columns = np.nonzero(drawn_box)
    assert (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1) == (2, 3, 8, 10)
    assert drawn_box.sum() == 2 * (6 + 7) - 4
