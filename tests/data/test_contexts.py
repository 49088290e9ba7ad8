"""Scenes with a context that agrees: against objects and backgrounds of known colours."""

import numpy as np
import pytest
import torch

from featlib.data import sources
from featlib.data.contexts import Kinds, in_context, kinds
from featlib.data.photographs import Photograph
from featlib.data.stamps import Stamp, stamps


def stamp(colour):
    return Stamp(str(colour), "", np.full((20, 20, 4), (*colour, 255), np.uint8))


def ground(value):
    return [Photograph("plain", torch.full((3, 64, 64), value))]


COLOURED = Kinds(
    ([stamp((255, 0, 0))], [stamp((0, 255, 0))]),
    ([stamp((0, 0, 255))], [stamp((255, 255, 0))]),
    (ground(0.0), ground(1.0)),
)


def colours(image):
    """What is in the corner of the background, in the middle and in the corner of the bystander."""
    return [image[:, row, column].round().tolist() for row, column in ((0, 0), (14, 14), (31, 31))]


def test_every_scene_is_what_its_labels_say():
    found = in_context(COLOURED, 60, agree=0.5, seed=1)
    for image, label, where, beside in zip(found.images, found.label, found.ground, found.bystander, strict=True):
        assert colours(image) == [
            [[0, 0, 0], [1, 1, 1]][where],
            [[1, 0, 0], [0, 1, 0]][label],
            [[0, 0, 1], [1, 1, 0]][beside],
        ]
    assert set(found.group.tolist()) == set(range(8))


@pytest.mark.parametrize("agree", [0.0, 0.5, 0.95, 1.0])
def test_contexts_agree_as_often_as_asked(agree):
    found = in_context(COLOURED, 800, agree=agree, size=8)
    for context in (found.ground, found.bystander):
        assert float((context == found.label).float().mean()) == pytest.approx(agree, abs=0.05)
    assert float(found.label.float().mean()) == pytest.approx(0.5, abs=0.06)


def test_fewer_scenes_are_the_first_of_more():
    few, many = in_context(COLOURED, 5, seed=3), in_context(COLOURED, 9, seed=3)
    assert torch.equal(few.images, many.images[:5])
    assert torch.equal(few.group, many.group[:5])
    assert in_context(COLOURED, 0).images.shape == (0, 3, 32, 32)


def test_no_object_is_in_both_parts():
    if not sources.present("tuxpaint-stamps"):
        pytest.skip("no stamps on this machine")
    first, second = kinds(), kinds(held_out=True)
    for a, b in zip(first.objects, second.objects, strict=True):
        names = [{stamp.name for stamp in part} for part in (a, b)]
        assert all(names)
        assert not names[0] & names[1]
    again = kinds(held_out=True, found=stamps())
    assert [s.name for part in again.objects for s in part] == [s.name for part in second.objects for s in part]
    found = in_context(first, 4)
    assert 0 <= float(found.images.min()) <= float(found.images.max()) <= 1


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    "call",
    [lambda: in_context(COLOURED, 1, agree=2.0), lambda: in_context(COLOURED, 1, size=4), lambda: kinds(share=1.0)],
)
def test_bad_input_is_refused(call):
    with pytest.raises(ValueError, match="must lie"):
        call()
