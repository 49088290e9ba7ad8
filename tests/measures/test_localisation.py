"""Localisation measures against scikit-image, scikit-learn and cases worked out by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.measure import label, regionprops
from sklearn.metrics import jaccard_score

from featlib.measures.localisation import box_accuracy, box_iou, filled, largest_box, mask_iou, pointing_game


def discs(batch=5, size=40, seed=0):
    """Masks of random discs and blurred, shifted maps of them."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size]
    masks, maps = [], []
    for _ in range(batch):
        centre, radius = rng.uniform(12, 28, 2), rng.uniform(5, 10)
        distance = np.hypot(rows - centre[0], columns - centre[1])
        masks.append(distance < radius)
        shifted = np.hypot(rows - centre[0] - rng.normal(0, 3), columns - centre[1] - rng.normal(0, 3))
        maps.append(np.exp(-((shifted / radius) ** 2)))
    return torch.tensor(np.array(maps), dtype=torch.float32), torch.tensor(np.array(masks))


def test_mask_iou_equals_scikit_learn_at_the_best_common_threshold():
    maps, masks = discs()
    thresholds = (0.2, 0.5, 0.8)
    table = [
        [jaccard_score(mask.flatten(), (values > t).flatten()) for values, mask in zip(maps, masks, strict=True)]
        for t in thresholds
    ]
    best = max(table, key=np.mean)
    np.testing.assert_allclose(mask_iou(maps, masks, thresholds), best, rtol=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), steps=st.sampled_from([4, 20, 997]), dtype=st.sampled_from(["float32", "float64"]))
def test_mask_iou_equals_one_look_for_each_threshold(seed, steps, dtype):
    """Also where pixels equal a threshold, and for thresholds in any order, the first of equally good ones winning."""
    generator = torch.Generator().manual_seed(seed)
    maps = (torch.randint(steps + 1, (3, 9, 8), generator=generator) / steps).to(getattr(torch, dtype))
    masks = torch.rand(3, 9, 8, generator=generator) < 0.4
    masks[:, 0, 0] = True
    thresholds = (0.5, 0.05, 0.25, 0.95, 0.25, 0.15)
    table = torch.stack([((maps > t) & masks).sum((1, 2)) / ((maps > t) | masks).sum((1, 2)) for t in thresholds])
    assert torch.equal(mask_iou(maps, masks, thresholds), table[table.mean(1).argmax()])
    assert torch.equal(mask_iou(maps.mT, masks.mT, thresholds), table[table.mean(1).argmax()])


def test_largest_box_equals_scikit_image():
    rng = np.random.default_rng(0)
    for turn in range(20):
        region = rng.random((30, 30)) > 0.55
        region[: turn % 7], region[:, : turn % 5] = False, False  # away from the border too
        largest = max(regionprops(label(region, connectivity=1)), key=lambda part: part.area)
        ours = largest_box(torch.tensor(region))
        areas = sorted((part.area for part in regionprops(label(region, connectivity=1))), reverse=True)
        if areas[0] > areas[1]:  # a tie has no largest part
            assert ours == largest.bbox


def test_box_iou_worked_out_by_hand():
    assert box_iou((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert box_iou((0, 0, 2, 2), (2, 2, 3, 3)) == 0
    assert box_iou(None, (0, 0, 1, 1)) == 0


def test_box_accuracy_ignores_specks_outside_the_largest_part():
    maps, masks = torch.zeros(1, 20, 20), torch.zeros(1, 20, 20, dtype=torch.bool)
    maps[0, 5:12, 5:12] = 1
    masks[0, 5:12, 5:12] = True
    maps[0, 19, 19] = 1
    assert box_accuracy(maps, masks).tolist() == [1.0]


def test_filled_is_the_union():
    boxes = torch.tensor([[1, 2, 4, 5], [3, 4, 6, 8]])
    rows, columns = np.mgrid[:7, :9]
    inside = [(a <= rows) & (rows < c) & (b <= columns) & (columns < d) for a, b, c, d in boxes.tolist()]
    np.testing.assert_array_equal(filled(boxes, 7, 9).numpy(), np.logical_or(*inside))
    assert not filled(boxes[:0], 7, 9).any()
    assert largest_box(filled(boxes[:1], 7, 9)) == (1, 2, 4, 5)


def test_box_accuracy_takes_the_best_of_several_boxes():
    """Two objects side by side are one part of the mask, of which a map of one of them is only half."""
    boxes = torch.tensor([[2, 2, 10, 10], [2, 10, 10, 18], [15, 15, 16, 16]])
    masks = filled(boxes, 20, 20)[None]
    one, both = filled(boxes[1:2], 20, 20)[None].float(), filled(boxes[:2], 20, 20)[None].float()
    assert (box_accuracy(one, masks).item(), box_accuracy(both, masks).item()) == (0, 1)
    assert box_accuracy(one, masks, boxes=[boxes]).item() == 1
    assert box_accuracy(both, masks, boxes=[boxes]).item() == 0
    assert box_accuracy(both, masks, 0.49, boxes=[boxes]).item() == 1


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000))
def test_box_accuracy_with_the_box_of_each_mask_is_the_same(seed):
    """And each further box can only help, at one threshold."""
    maps, masks = discs(4, seed=seed)
    boxes = [torch.tensor([largest_box(mask)]) for mask in masks]
    assert torch.equal(box_accuracy(maps, masks, boxes=boxes), box_accuracy(maps, masks))
    more = [torch.cat([own, torch.tensor([[0, 0, 9, 9]])]) for own in boxes]
    assert (box_accuracy(maps, masks, 0.5, (0.4,), more) >= box_accuracy(maps, masks, 0.5, (0.4,))).all()


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        ([[[0, 0, 2, 2]]], "boxes of 1 images for 2 maps"),
        ([[[0, 0, 2, 2]], torch.empty(0, 4, dtype=torch.long)], "image 1 has no box: leave out"),
        ([[[0, 0, 2, 2]], [[0, 0, 41, 2]]], "image 1 has a box that is empty or leaves its 40 x 40 pixels"),
        ([[[-1, 0, 2, 2]], [[0, 0, 2, 2]]], "image 0 has a box that is empty or leaves"),
        ([[[0, 0, 2, 2]], [[0, 5, 2, 5]]], "image 1 has a box that is empty"),
    ],
)
def test_bad_boxes_are_named(boxes, message):
    maps, masks = discs(2)
    with pytest.raises(ValueError, match=message):
        box_accuracy(maps, masks, boxes=[torch.as_tensor(own) for own in boxes])


def test_perfect_and_hopeless_maps():
    _, masks = discs()
    perfect, hopeless = masks.float(), (~masks).float()
    for measure in (mask_iou, box_accuracy, pointing_game):
        assert measure(perfect, masks).tolist() == [1.0] * 5
    assert pointing_game(hopeless, masks).tolist() == [0.0] * 5
    assert float(mask_iou(hopeless, masks).max()) == 0.0


def test_pointing_game_shares_out_a_tie():
    masks = torch.zeros(1, 4, 4, dtype=torch.bool)
    masks[0, 0] = True
    assert pointing_game(torch.ones(1, 4, 4), masks).tolist() == [0.25]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), flip=st.booleans())
def test_mirroring_changes_nothing_and_values_stay_in_range(seed, flip):
    maps, masks = discs(3, seed=seed)
    axis = 2 if flip else 1
    for measure in (mask_iou, box_accuracy, pointing_game):
        values = measure(maps, masks)
        assert values.shape == (3,)
        assert 0 <= float(values.min()) <= float(values.max()) <= 1
        torch.testing.assert_close(values, measure(maps.flip(axis), masks.flip(axis)))


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("measure", [mask_iou, box_accuracy, pointing_game])
def test_bad_input_is_named(measure):
    maps, masks = discs(2)
    with pytest.raises(ValueError, match="resize the maps"):
        measure(maps[:, :10], masks)
    with pytest.raises(ValueError, match="rescale them"):
        measure(maps * 3, masks)
    with pytest.raises(ValueError, match="rescale them"):
        measure(maps * float("nan"), masks)
    with pytest.raises(ValueError, match=r"mask\(s\) \[1\] are empty"):
        measure(maps, masks & torch.tensor([True, False])[:, None, None])
    assert measure(maps[:0], masks[:0]).shape == (0,)


@pytest.mark.parametrize("count", [1, 19, 127, 300])
def test_the_histogram_counts_what_a_comparison_for_each_threshold_counts(count):
    generator = torch.Generator().manual_seed(count)
    maps = torch.rand(3, 11, 13, generator=generator)
    masks = torch.rand(3, 11, 13, generator=generator) > 0.4
    thresholds = tuple(maps.flatten()[:count].tolist())  # on values that occur, in no order
    thresholds = (*thresholds, *(step / 301 for step in range(count - len(thresholds))))
    per_threshold = []
    for threshold in thresholds:
        inside = maps > threshold
        per_threshold.append((inside & masks).sum((1, 2)) / (inside | masks).sum((1, 2)))
    table = torch.stack(per_threshold)
    torch.testing.assert_close(mask_iou(maps, masks, thresholds), table[table.mean(1).argmax()])
