"""The ascent: its closed form on a linear network, its parts one by one, and that a batch is a loop."""

import pytest
import torch
from torch import nn

from featlib.explain.hooks import LayerError
from featlib.explain.objectives import Channel, Unit, total_variation
from featlib.explain.schedules import CENTRE_BIASED, OFFICIAL, Octave, shorter
from featlib.explain.synthesis import DeadStartError, flat_start, maximise
from featlib.kernels import tv_prox


def linear(colours=1, side=6, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(colours * side * side, 4))


def convolutional(colours=3):
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(colours, 6, 3), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(6, 5),
    ).train()  # fmt: skip


def start(*shape, seed=0):
    return 0.2 + 0.6 * torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("colours", [1, 3])
def test_one_step_on_a_linear_network_is_its_closed_form(colours):
    model, x = linear(colours), start(2, colours, 6, 6)
    found = maximise(model, Unit(2), x, [Octave(1, (3, 3))])
    w = model[1].weight[2].detach().view(1, colours, 6, 6)
    expected = (x + 3 / 255 * w / w.abs().mean()).clamp(0, 1)
    assert torch.allclose(found.images, expected, atol=1e-7)
    assert torch.allclose(found.activation[0], model(x)[:, 2], atol=1e-6)
    assert torch.allclose(found.activation[1], model(expected)[:, 2], atol=1e-6)


def test_step_and_fidelity_go_linearly_from_first_to_last():
    octave = Octave(4, (1, 3), (0.5, 2.5))
    assert [255 * octave.at(i)[0] for i in range(4)] == pytest.approx([1, 1.5, 2, 2.5])
    assert [1 / (255 * octave.at(i)[1]) for i in range(4)] == pytest.approx([0.5, 1, 1.5, 2])
    assert Octave(1, (1, 1)).at(0)[1] is None


def test_denoising_is_a_separate_step_of_its_own():
    model, x = linear(), start(1, 1, 6, 6)
    bare = maximise(model, Unit(0), x, [Octave(1, (2, 2))]).images
    smooth = maximise(model, Unit(0), x, [Octave(1, (2, 2), (0.4, 0.4))]).images
    assert torch.allclose(smooth, tv_prox(bare, 1 / (255 * 0.4), 10), atol=1e-6)
    calls = []

    def grey(images, weight, dual):
        calls.append(weight)
        return images.mean((2, 3), keepdim=True).expand_as(images)

    flat = maximise(model, Unit(0), x, [Octave(2, (2, 2), (0.4, 0.4))], denoiser=grey).images
    assert float(flat.std()) < 1e-6
    assert calls == pytest.approx([1 / (255 * 0.4)] * 2)


def test_a_prior_takes_part_in_the_gradient():
    model, x = linear(), start(1, 1, 6, 6)
    found = maximise(model, Unit(0), x, [Octave(1, (1, 1))], prior=lambda images: 1e6 * total_variation(images)).images
    assert float(total_variation(found)) < float(total_variation(x))


def test_a_batch_is_a_loop_over_its_pictures():
    model, x = convolutional(), start(5, 3, 12, 10)
    schedule = [
        Octave(3, (2, 2), (0.4, 0.4), roll=2),
        Octave(4, (1, 2), (0.1, 2), zoom=1.3),
        Octave(2, (2, 2), margin=2),
    ]
    together = maximise(model, Unit(1), x, schedule, seed=3, chunk=2, frames=4)
    for i in range(5):
        alone = maximise(model, Unit(1), x[i : i + 1], schedule, seed=3)
        assert torch.allclose(alone.images[0], together.images[i], atol=1e-4)
        assert torch.allclose(alone.activation[:, 0], together.activation[:, i], atol=1e-4)
    assert together.images.shape == (5, 3, 16, 13)
    assert together.steps == (0, 3, 6, 9)
    assert together.activation.shape == (10, 5)
    assert torch.equal(together.frames[0], x)
    assert torch.equal(together.frames[-1], together.images)
    assert not torch.equal(maximise(model, Unit(1), x, schedule, seed=4).images, together.images)


def test_a_roll_is_undone():
    """On a network that sees only the mean, the shift must not matter."""
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2))
    x = start(1, 3, 8, 8)
    still, rolled = (maximise(model, Unit(0), x, [Octave(5, (2, 2), roll=r)]).images for r in (0, 3))
    assert torch.allclose(still, rolled, atol=1e-6)


def test_a_window_is_written_back_and_nothing_else_moves():
    model, x = linear(side=10), start(1, 1, 10, 10)
    larger = maximise(model, Unit(0), x, [Octave(1, (0, 0), zoom=1.5)]).images
    found = maximise(model, Unit(0), x, [Octave(1, (5, 5), zoom=1.5, window=0.0)]).images
    moved = (found != larger)[0, 0].nonzero()
    assert found.shape == (1, 1, 15, 15)
    assert moved.amin(0).tolist() == [2, 2]
    assert moved.amax(0).tolist() == [11, 11]


def test_a_margin_moves_the_middle_only():
    model, x = linear(), start(1, 1, 6, 6)
    found = maximise(model, Unit(0), x, [Octave(1, (5, 5), margin=2)]).images
    assert (found != x)[0, 0].nonzero().amin(0).tolist() == [2, 2]
    assert (found != x)[0, 0].nonzero().amax(0).tolist() == [3, 3]


def test_objectives():
    model = convolutional().eval()
    x = start(3, 3, 9, 9)
    maps = model[1](model[0](x))
    assert torch.allclose(Channel("1", 4)(model, x, "unit"), maps[:, 4, 3, 3])  # before the in-place ReLU
    assert torch.allclose(Channel("1", 4, "mean")(model, x, "unit"), maps[:, 4].mean((1, 2)))
    assert torch.allclose(Channel("6", 2)(model, x, "unit"), model(x)[:, 2])
    assert torch.allclose(Unit(2)(model, x, "probability"), model(x).softmax(1)[:, 2])
    with pytest.raises(LayerError, match="no channel 9"):
        Channel("1", 9)(model, x, "unit")
    schedule = [Octave(6, (4, 4), through="probability")]
    climbed = maximise(model, Unit(2), x, schedule).activation
    assert bool((climbed[-1] > climbed[0]).all())


def test_the_model_is_left_as_it_was_and_runs_in_evaluation_mode():
    model, x = convolutional(), start(1, 3, 9, 9)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    first, second = (maximise(model, Unit(1), x, [Octave(3, (2, 2))]) for _ in range(2))
    assert torch.equal(first.images, second.images)
    assert model.training
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    with torch.no_grad():
        assert torch.equal(maximise(model, Unit(1), x, [Octave(3, (2, 2))]).images, first.images)


def test_a_dead_start_is_refused_or_marked():
    model = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    nn.init.constant_(model[0].weight, 1.0)
    nn.init.constant_(model[0].bias, -3.0)  # shut below a mean of one third
    x = torch.stack([torch.full((1, 6, 6), 0.1), torch.full((1, 6, 6), 0.9)])
    with pytest.raises(DeadStartError, match=r"\[0\].*before its activation"):
        maximise(model, Unit(0), x, [Octave(3, (2, 2))])
    found = maximise(model, Unit(0), x, [Octave(3, (2, 2))], keep_dead=True)
    assert found.dead.tolist() == [True, False]
    assert torch.equal(found.images[0], x[0])
    raised = maximise(model, Channel("0", 0), x, [Octave(3, (2, 2))])
    assert not raised.dead.any()
    assert float(raised.activation[-1, 0]) > float(raised.activation[0, 0])


def test_the_papers_schedules():
    assert sum(octave.iterations for octave in OFFICIAL) == 370
    assert [octave.through for octave in CENTRE_BIASED] == ["probability"] * 2 + ["unit"] * 3
    half = shorter(OFFICIAL, 0.1, side=112)
    assert [octave.iterations for octave in half] == [19, 15, 2, 1]
    assert [octave.margin for octave in half] == [0, 0, 25, 0]
    model, x = convolutional(), start(1, 3, 40, 40)
    found = maximise(model, Unit(1), x, shorter(OFFICIAL, 0.02, side=40), progress=True)
    assert found.images.shape[-2:] == (48, 48)
    assert maximise(model, Unit(1), x, shorter(CENTRE_BIASED, 0.01, side=40)).images.shape[-2:] == (58, 58)


def test_flat_start():
    x = flat_start(4, (3, 50, 60), seed=2)
    assert x.shape == (4, 3, 50, 60)
    assert 255 * float(x.mean()) == pytest.approx(175, abs=0.2)
    assert 255 * float(x.std()) == pytest.approx(8, abs=0.2)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        ({"start": torch.rand(3, 6, 6)}, r"use image\[None\]"),
        ({"start": torch.rand(0, 1, 6, 6)}, "float batch"),
        ({"start": 255 * torch.rand(1, 1, 6, 6)}, "before preparation"),
        ({"schedule": []}, "at least one Octave"),
        ({"schedule": [Octave(1, (1, 1), margin=3)]}, "shorter"),
    ],
)
def test_what_cannot_be_climbed_is_refused(arguments, hint, as_users_run):
    given = {"start": torch.rand(1, 1, 6, 6), "schedule": [Octave(1, (1, 1))], **arguments}
    with pytest.raises(ValueError, match=hint):
        maximise(linear(), Unit(0), **given)


@pytest.mark.parametrize(
    "wrong",
    [{"iterations": 0}, {"zoom": 0.5}, {"step": (-1, 1)}, {"fidelity": (0, 1)}, {"through": "loss"}],
)
def test_octaves_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong)).rstrip("s") + "|not negative"):
        Octave(**{"iterations": 1, "step": (1, 1), **wrong})
    with pytest.raises(ValueError, match="share"):
        shorter(OFFICIAL, 1.5)
