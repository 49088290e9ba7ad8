"""ROAD against equations built with loops, confidence and sanity against cases that are known."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import lil_matrix
from scipy.sparse.linalg import spsolve
from scipy.stats import spearmanr
from torch import nn

from featlib.measures.faithfulness import PERCENTS, confidence, removed, road
from featlib.measures.imputation import impute
from featlib.measures.sanity import cascade, randomised, rank_correlation


def imputed_with_loops(picture, holes):
    """One equation for each missing pixel, written down entry by entry; one system for each colour."""
    places = [tuple(place) for place in np.argwhere(holes)]
    number = {place: index for index, place in enumerate(places)}
    result = picture.copy()
    for colour in range(len(picture)):
        matrix, right = lil_matrix((len(places), len(places))), np.zeros(len(places))
        for (row, column), index in number.items():
            for down in (-1, 0, 1):
                for aside in (-1, 0, 1):
                    near = (row + down, column + aside)
                    inside = 0 <= near[0] < holes.shape[0] and 0 <= near[1] < holes.shape[1]
                    if (down, aside) == (0, 0) or not inside:
                        continue
                    weight = 1 / 6 if down == 0 or aside == 0 else 1 / 12
                    matrix[index, index] += weight
                    if near in number:
                        matrix[index, number[near]] -= weight
                    else:
                        right[index] += weight * picture[colour][near]
        values = spsolve(matrix.tocsr(), right)
        for place, index in number.items():
            result[colour][place] = np.atleast_1d(values)[index]
    return result


@pytest.mark.parametrize("share", [0.02, 0.3, 0.9, 0.99])
def test_imputation_equals_its_equations(share):
    random = np.random.default_rng(0)
    images = torch.from_numpy(random.random((2, 3, 13, 11)))
    holes = torch.from_numpy(random.random((2, 13, 11)) < share)
    holes[:, 4, 5] = False
    ours = impute(images, holes, noise=0.0)
    for mine, picture, hole in zip(ours.numpy(), images.numpy(), holes.numpy(), strict=True):
        np.testing.assert_allclose(mine, imputed_with_loops(picture, hole), rtol=1e-8, atol=1e-10)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), share=st.floats(0.05, 0.95))
def test_known_pixels_stay_and_the_rest_lies_between_them(seed, share):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(1, 2, 9, 10, generator=generator)
    holes = torch.rand(1, 9, 10, generator=generator) < share
    holes[0, 0, 0] = False
    before = images.clone()
    filled = impute(images, holes, noise=0.0)
    assert torch.equal(images, before)
    known = ~holes[0]
    assert torch.equal(filled[0][:, known], images[0][:, known])
    for colour, original in zip(filled[0], images[0], strict=True):
        assert original[known].min() - 1e-5 <= colour.min()
        assert colour.max() <= original[known].max() + 1e-5


def test_noise_has_its_size_and_its_seed():
    images, holes = torch.zeros(1, 3, 60, 60), torch.ones(1, 60, 60, dtype=torch.bool)
    holes[0, 30, 30] = False
    first, second, other = (impute(images, holes, 0.01, seed) for seed in (0, 0, 1))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert float(first[:, :, holes[0]].std()) == pytest.approx(0.01, rel=0.05)
    assert (first[:, :, 30, 30] == 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), percent=st.integers(1, 99), levels=st.integers(1, 50))
def test_exactly_the_highest_are_removed(seed, percent, levels):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randint(levels, (3, 8, 9), generator=generator) / levels
    chosen = removed(maps, percent, torch.rand(3, 8, 9, generator=generator))
    assert (chosen.sum((1, 2)) == round(72 * percent / 100)).all()
    for values, mask in zip(maps, chosen, strict=True):
        if mask.any() and not mask.all():
            assert values[mask].min() >= values[~mask].max()


def test_ties_are_not_removed_from_the_top():
    chosen = removed(torch.zeros(1, 40, 40), 50, torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0)))
    assert 350 < int(chosen[0, :20].sum()) < 450


class Centre(nn.Module):
    """Sure of class 1 as long as the middle of the picture is bright."""

    def forward(self, images):
        bright = 8 * images[:, :, 8:16, 8:16].mean((1, 2, 3))
        return torch.stack([torch.full_like(bright, 4.0), bright], 1)


@pytest.fixture
def bright():
    images = torch.zeros(2, 3, 24, 24)
    images[:, :, 8:16, 8:16] = 1.0
    right = torch.zeros(2, 24, 24)
    right[:, 8:16, 8:16] = 1.0
    return Centre().eval(), images, right


def test_road_tells_a_right_map_from_a_wrong_one(bright):
    net, images, right = bright
    good = road(net, images, right, [1, 1])
    bad = road(net, images, 1 - right, [1, 1])
    blank = road(net, images, torch.zeros(2, 24, 24), [1, 1])
    assert good.most.shape == good.least.shape == (len(PERCENTS), 2)
    assert (good.score > 0.3).all()
    torch.testing.assert_close(bad.score, -good.score, atol=0.02, rtol=0)
    assert (blank.score.abs() < 0.15).all()
    assert (good.most[1] < 0.05).all()  # the object is 11 % of the pixels
    assert (good.least[0] > 0.95).all()


def test_road_restated_for_one_share(bright):
    net, _, right = bright
    images = torch.rand(2, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    maps = right + torch.rand(2, 24, 24, generator=torch.Generator().manual_seed(1))
    found = road(net, images, maps, [1, 0], percents=[25], noise=0.0, chunk=1)
    for index, target in enumerate([1, 0]):
        values = maps[index].numpy()
        for curve, cut in ((found.most, values >= np.sort(values.ravel())[-144]),
                           (found.least, values <= np.sort(values.ravel())[143])):  # fmt: skip
            filled = imputed_with_loops(images[index].double().numpy(), cut)
            expected = net(torch.from_numpy(filled).float()[None]).softmax(1)[0, target]
            torch.testing.assert_close(curve[0, index], expected, rtol=1e-4, atol=1e-6)


def test_confidence_worked_out_by_hand(bright):
    """Class 1 has logit 8 (whole), 0 (object hidden) or 8 (rest hidden), class 0 has 4."""
    net, images, right = bright
    whole, hidden = 1 / (1 + np.exp(-4)), 1 / (1 + np.exp(4))
    kept = confidence(net, images, right, [1, 1])
    assert kept.drop.tolist() == [0, 0]
    assert kept.increase.tolist() == [0, 0]
    lost = confidence(net, images, 1 - right, [1, 0])
    assert lost.drop.tolist() == pytest.approx([(whole - hidden) / whole, 0], abs=1e-5)
    assert lost.increase.tolist() == [0, 1]


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.norm, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3)
        self.scale = nn.ParameterList([nn.Parameter(torch.arange(8.0))])
        self.head = nn.Linear(8, 4)


def test_cascade_sees_which_maps_depend_on_the_weights():
    images = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    net = Small().eval()
    before = {key: value.clone() for key, value in net.state_dict().items()}

    def depends(model):
        return model.first(images).square().sum(1).detach()

    def edges(model):
        return images.mean(1)

    order = ["head", "second", "norm", "first"]
    found, blind = cascade(net, depends, order), cascade(net, edges, order)
    assert list(found) == order
    for layer in order[:-1]:
        torch.testing.assert_close(found[layer], torch.ones(2))
    assert (found["first"] < 0.9).all()
    assert all(value.tolist() == pytest.approx([1, 1]) for value in blind.values())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    torch.testing.assert_close(cascade(net, depends, order)["first"], found["first"])
    assert not torch.equal(cascade(net, depends, order, seed=7)["first"], found["first"])


def test_layers_are_destroyed_one_after_the_other():
    net = Small()
    changed = []
    for _, network in randomised(net, ["head", "scale", "second"]):
        names = {
            key.split(".")[0]
            for key, value in network.state_dict().items()
            if not torch.equal(value, net.state_dict()[key])
        }
        changed.append(names)
        assert sorted(network.scale[0].tolist()) == list(range(8))  # no rule of its own: the same numbers, shuffled
    assert changed == [{"head"}, {"head", "scale"}, {"head", "scale", "second"}]


def test_the_seed_of_others_is_left_alone():
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    list(randomised(_made(), ["head"]))
    assert torch.equal(torch.rand(2), expected)


def _made():
    with torch.random.fork_rng():
        return Small()


def test_rank_correlation_equals_scipy():
    first, second = torch.rand(4, 6, 7), torch.rand(4, 6, 7).round(decimals=1)
    theirs = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(rank_correlation(first, second), theirs, rtol=1e-5, atol=1e-6)
    assert rank_correlation(first, torch.ones(4, 6, 7)).tolist() == [0] * 4


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named(bright):
    net, images, right = bright
    with pytest.raises(ValueError, match="resize the maps"):
        road(net, images, right[:, :5], [1, 1])
    with pytest.raises(ValueError, match="maps hold NaN"):
        road(net, images, right * float("nan"), [1, 1])
    with pytest.raises(ValueError, match="percents must lie above 0"):
        road(net, images, right, [1, 1], percents=[0, 50])
    with pytest.raises(ValueError, match="2 images need 2 targets"):
        confidence(net, images, right, [1])
    with pytest.raises(ValueError, match="rescale them"):
        confidence(net, images, right * 2, [1, 1])
    with pytest.raises(ValueError, match=r"call model\.eval\(\) first"):
        confidence(Centre(), images, right, [1, 1])
    with pytest.raises(ValueError, match="nothing is left of a picture"):
        impute(images, torch.ones(2, 24, 24, dtype=torch.bool))
    with pytest.raises(ValueError, match="must be \\(batch, height, width\\)"):
        impute(images, torch.ones(2, 24, dtype=torch.bool))
    with pytest.raises(ValueError, match="'lost' is no layer of Small with parameters"):
        list(randomised(_made(), ["lost"]))
