"""Which stamps are taken, how they are trimmed, and what the real collection holds."""

import numpy as np
import pytest
from PIL import Image

from featlib.data import sources
from featlib.data import stamps as module
from featlib.data.stamps import stamps


def cut_out(height, width, alpha=255):
    """A rectangle of colour with a transparent frame: 3 above, 4 below, 5 left, 6 right."""
    rgba = np.zeros((height + 7, width + 11, 4), np.uint8)
    rgba[3 : 3 + height, 5 : 5 + width] = (200, 100, 50, alpha)
    return rgba


@pytest.fixture
def collection(tmp_path, monkeypatch):
    """A small collection with everything that must be left out."""
    pictures = {
        "animals/cat": cut_out(50, 60),
        "animals/cat_mirror": cut_out(50, 60),
        "animals/cartoon/dog": cut_out(50, 60),
        "symbols/math/plus": cut_out(50, 60),
        "food/pizza": cut_out(50, 60),
        "food/apple": cut_out(41, 20),
        "food/pea": cut_out(30, 39),
        "food/opaque": np.full((50, 50, 4), 255, np.uint8),
        "food/invisible": cut_out(50, 50, alpha=100),
    }
    for name, rgba in pictures.items():
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rgba).save(path)
    (tmp_path / "animals/cat.txt").write_text("A cat.\nde.utf8=Eine Katze.\n", "utf-8")
    monkeypatch.setattr(sources, "folder", lambda name: tmp_path)
    return tmp_path


def test_photographs_only_and_large_enough(collection):
    assert [stamp.name for stamp in stamps()] == ["animals/cat", "food/apple"]
    assert [stamp.name for stamp in stamps(smallest=1)] == ["animals/cat", "food/apple", "food/pea"]


def test_trimmed_to_what_is_visible(collection):
    cat, apple = stamps()
    assert cat.rgba.shape == (50, 60, 4)
    assert (cat.rgba == (200, 100, 50, 255)).all()
    assert (cat.category, cat.caption) == ("animals", "A cat.")
    assert apple.caption == ""


def test_palettes_keep_their_outline(collection):
    rgba = cut_out(50, 60)
    Image.fromarray(rgba).quantize(8).save(collection / "animals/cat.png")
    (cat, _) = stamps()
    assert cat.rgba.shape == (50, 60, 4)


@pytest.fixture(scope="module")
def real():
    if not sources.present("tuxpaint-stamps"):
        pytest.skip(sources.check("tuxpaint-stamps").reason)
    return stamps()


def test_the_collection(real):
    assert 300 <= len(real) <= 330
    assert len({stamp.name for stamp in real}) == len(real)
    assert sum(bool(stamp.caption) for stamp in real) == len(real)
    badger = next(stamp for stamp in real if stamp.name.endswith("/badger"))
    assert badger.caption == "A badger."
    assert badger.category == "animals/mammals"


def test_lists_of_exceptions_name_files_that_exist(real):
    root = sources.folder("tuxpaint-stamps")
    assert all((root / f"{name}.png").is_file() for name in module.DRAWN_TOO | module.TWICE)
    folders = {part for path in root.rglob("*") if path.is_dir() for part in path.parts}
    assert folders >= module.DRAWN


def test_no_picture_comes_twice(real):
    seen = [(stamp.rgba.shape, stamp.rgba.tobytes()) for stamp in real]
    assert len(set(seen)) == len(seen)
