"""The family against captum and closed forms; then what must never change; then what must be refused."""

import pytest
import torch
from captum.attr import LayerGradCam
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import SmallNet, state, unchanged
from torch import nn

from featlib.explain import cams
from featlib.explain.observe import LayerError, observe, observe_layers, tokens

RESOLUTION = (24, 20)


@pytest.fixture
def net():
    return SmallNet().eval()


@pytest.fixture
def images():
    return torch.rand(4, 3, *RESOLUTION, generator=torch.Generator().manual_seed(1))


def test_grad_cam_equals_captum(net, images):
    targets = torch.tensor([0, 3, 6, 3])
    seen = observe(net, images, "last", targets)
    theirs = LayerGradCam(net, net.last).attribute(images, target=targets)[:, 0]
    torch.testing.assert_close(cams.raw(seen, "grad-cam"), theirs.detach(), rtol=1e-5, atol=1e-7)


def test_pooled_linear_head_makes_three_methods_one(net, images):
    """Grad-CAM = HiResCAM = CAM / N when the layer is pooled and read by a linear classifier."""
    seen = observe(net, images, "last")
    positions = seen.activation[0, 0].numel()
    grad = cams.raw(seen, "grad-cam")
    torch.testing.assert_close(grad, cams.raw(seen, "hires-cam"), rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(grad, cams.raw(seen, "cam") / positions, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(grad, cams.raw(seen, "layer-cam"), rtol=1e-2)


def test_layer_cam_restated_with_loops(net, images):
    leaf = net.act(net.norm(net.body(images))).detach().requires_grad_()
    logits = net.head(net.last(leaf).mean((2, 3)))
    logits.max(1).values.sum().backward()
    expected = torch.zeros(images.shape[0], *leaf.shape[2:])
    for image in range(images.shape[0]):
        for channel in range(leaf.shape[1]):
            expected[image] += leaf.grad[image, channel].clamp(min=0) * leaf.detach()[image, channel]
    torch.testing.assert_close(cams.raw(observe(net, images, "act"), "layer-cam"), expected, rtol=1e-5, atol=1e-7)


def test_layer_before_an_in_place_activation_is_seen_as_it_was(net, images):
    seen = observe(net, images, "norm")
    torch.testing.assert_close(seen.activation, net.norm(net.body(images)).detach())
    assert (seen.activation < 0).any()


def test_eigen_cam_of_a_planted_component():
    activation = torch.zeros(1, 5, 6, 6)
    activation[0, :, 2:4, 1:5] = torch.tensor([1.0, 2, 3, 4, 5])[:, None, None]
    seen = cams.Observation(activation, None, torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), None)
    maps = cams.draw(seen, ["eigen-cam"], size=(6, 6))["eigen-cam"]
    torch.testing.assert_close(maps[0], (activation[0, 0] > 0).float())


@pytest.mark.parametrize("method", cams.METHODS)
def test_maps_lie_between_zero_and_one_at_the_picture_size(net, images, method):
    maps = cams.compute(net, images, "last", [method])[method]
    assert maps.shape == (4, *RESOLUTION)
    assert maps.min() >= 0
    assert maps.max() <= 1


@pytest.mark.parametrize("method", cams.METHODS)
def test_a_batch_of_one_and_of_many_agree(net, images, method):
    together = cams.compute(net, images, "last", [method])[method]
    alone = torch.cat([cams.compute(net, image[None], "last", [method])[method] for image in images])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", cams.METHODS)
def test_uses_class_says_the_truth(net, images, method):
    first, second = (cams.compute(net, images, "last", [method], targets=t)[method] for t in (0, 1))
    assert torch.equal(first, second) != cams.METHODS[method].uses_class


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(0.1, 10), seed=st.integers(0, 100))
def test_rescaling_the_activation_changes_no_map(factor, seed):
    raw = torch.randn(2, 5, 5, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(cams.finish(raw, (10, 10)), cams.finish(raw * factor, (10, 10)), rtol=1e-4, atol=1e-5)


def test_a_map_without_positive_part_is_zero():
    assert (cams.finish(-torch.rand(2, 3, 3), (6, 6)) == 0).all()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", [True, False])
def test_the_model_is_left_as_it_was(net, images, training, fails):
    net.train(training)
    net.norm.eval()
    before = state(net)
    if fails:
        with pytest.raises(ValueError, match="targets must lie in"):
            cams.compute(net, images, "last", ["grad-cam"], targets=99)
    else:
        cams.compute(net, images, "last", ["grad-cam"])
    assert unchanged(net, before)


def test_works_inside_no_grad_and_on_frozen_networks(net, images):
    expected = cams.compute(net, images, "last", ["grad-cam"])["grad-cam"]
    net.requires_grad_(False)
    with torch.no_grad():
        torch.testing.assert_close(cams.compute(net, images, "last", ["grad-cam"])["grad-cam"], expected)


def test_chunks_change_nothing_and_gradients_stay_as_they_were_outside(net, images):
    whole = observe(net, images, "last", [0, 1, 2, 3])
    for enabled in (True, False):
        with torch.set_grad_enabled(enabled):
            parts = observe(net, images, "last", [0, 1, 2, 3], chunk=3)
            assert torch.is_grad_enabled() is enabled
    for name in ("activation", "gradient", "logits", "targets"):
        torch.testing.assert_close(getattr(parts, name), getattr(whole, name), rtol=1e-4, atol=1e-6)


def test_nothing_before_the_layer_is_differentiated(net, images):
    images.requires_grad_()
    seen = observe(net, images, "last")
    assert images.grad is None
    assert not seen.activation.requires_grad
    assert not seen.logits.requires_grad


def test_several_layers_share_one_forward_and_one_backward(net, images):
    passes = []
    net.body.register_forward_hook(lambda *_: passes.append("forward"))
    together = observe_layers(net, images, ["last", "norm", "act"], [0, 1, 2, 3])
    assert passes == ["forward"]
    for layer, seen in together.items():
        alone = observe(net, images, layer, [0, 1, 2, 3])
        torch.testing.assert_close(seen.activation, alone.activation)
        torch.testing.assert_close(seen.gradient, alone.gradient)


def test_several_layers_give_the_mean_scaled_again(net, images):
    merged = cams.compute(net, images, ["last", "act"], ["layer-cam"])["layer-cam"]
    single = [cams.compute(net, images, layer, ["layer-cam"])["layer-cam"] for layer in ("last", "act")]
    for ours, first, second in zip(merged, *single, strict=True):
        mean = (first + second) / 2
        torch.testing.assert_close(ours, (mean - mean.min()) / (mean.max() - mean.min()))
    assert merged.amax((1, 2)).tolist() == [1.0] * 4


def test_maps_are_resized_by_pixel_centres():
    """Not by corners: a map of two columns is flat at the rim, for a quarter of the width."""
    wide = cams.finish(torch.tensor([[[0.0, 1.0]]]), (1, 8))
    torch.testing.assert_close(wide[0, 0], torch.tensor([0, 0, 0.125, 0.375, 0.625, 0.875, 1, 1]))


def test_join_and_select_undo_each_other(net, images):
    seen = observe(net, images, "last")
    parts = [seen.select(slice(0, 1)), seen.select(slice(1, 4))]
    back = type(seen).join(parts)
    assert torch.equal(back.network.images, images)
    for method in ("grad-cam", "score-cam", "ablation-cam"):
        torch.testing.assert_close(cams.raw(back, method), cams.raw(seen, method), rtol=1e-4, atol=1e-6)


def test_names_are_forgiving_and_kept(net, images):
    maps = cams.compute(net, images, "last", ["GradCAM", "eigen_cam"])
    assert list(maps) == ["GradCAM", "eigen_cam"]


def test_shapes_can_be_asked_of_a_network_without_memory(images):
    with torch.device("meta"):
        seen = observe(SmallNet(), images.to("meta"), "last", targets=0)
    assert seen.activation.shape == seen.gradient.shape == (4, 12, 9, 7)


def test_an_empty_batch_gives_empty_maps(net):
    maps = cams.compute(net, torch.zeros(0, 3, *RESOLUTION), "last", ["eigen-cam", "grad-cam"])
    assert all(value.shape == (0, *RESOLUTION) for value in maps.values())


class Cut(nn.Module):
    """Cuts the graph after the layer."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, images):
        return self.inner(images).detach()


class Aside(nn.Module):
    """Runs a layer and throws its output away."""

    def __init__(self, inner):
        super().__init__()
        self.aside, self.inner = nn.Conv2d(3, 3, 1), inner

    def forward(self, images):
        thrown_away = self.aside(images)
        return self.inner(images) + 0 * thrown_away.detach().sum()


class TokenNet(nn.Sequential):
    """Gives (batch, tokens, channels) at layer ``0``."""

    def __init__(self):
        super().__init__(nn.Flatten(2), nn.Linear(24 * 20, 4), nn.Flatten())


def test_pictures_out_of_the_networks_range_are_named(net, images):
    """Only for networks that say how they want their pictures."""

    class Preparation:
        mean, std = (0.5, 0.4, 0.5), (0.25, 0.25, 0.2)

    net.preparation = Preparation()
    cams.compute(net, (images - 0.5) / 0.25, "last")
    with pytest.raises(ValueError, match=r"lie in .*, the network takes -2\.5\.\.2\.5: pass model\.preprocess"):
        cams.compute(net, images * 255, "last")


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda n, x: cams.compute(n, x, "lost"), LayerError, "did you mean 'last'"),
        (lambda n, x: cams.compute(n, x, "head"), LayerError, r"gives \(4, 7\).*choose an earlier one"),
        (lambda n, x: cams.compute(n, x, ""), LayerError, "no layer ''"),
        (lambda n, x: cams.compute(n, x, "last", ["gradcan"]), ValueError, "did you mean 'grad-cam'"),
        (lambda n, x: cams.compute(n, x[0], "last"), ValueError, "must be a float batch"),
        (lambda n, x: cams.compute(n, (x * 255).byte(), "last"), ValueError, "must be a float batch"),
        (lambda n, x: cams.compute(n, x, "last", targets=[1, 2]), ValueError, "4 images need 4 targets"),
        (lambda n, x: cams.compute(n, x, "act", ["cam"]), LayerError, "linear classifier"),
        (
            lambda n, x: cams.raw(observe(n, x, "last", gradient=False), "grad-cam"),
            ValueError,
            "needs the gradient",
        ),
        (lambda n, x: cams.compute(n, x[:, :1], "last"), ValueError, "reads 3 colours, the images have 1"),
        (lambda n, x: cams.compute(n, x * float("nan"), "last"), ValueError, "images hold NaN"),
        (lambda n, x: cams.compute(n, x, []), LayerError, "no layer named"),
        (lambda n, x: cams.compute(n, x, "unused"), LayerError, "'unused' did not run"),
        (lambda n, x: cams.compute(n, x, "last", reshape=tokens(2, 2)), LayerError, "expected .* tokens"),
        (lambda n, x: cams.compute(Cut(n), x, "inner.last", ["grad-cam"]), LayerError, "or a method without gradient"),
        (lambda n, x: cams.compute(Aside(n), x, "aside", ["grad-cam"]), LayerError, "no gradient flows .* 'aside'"),
        (lambda n, x: cams.compute(TokenNet(), x, "0"), LayerError, r"reshape=tokens\(rows, columns\)"),
    ],
)
def test_bad_input_is_named(net, images, call, error, says):
    net.unused = nn.Conv2d(3, 3, 1)
    before = state(net)
    with pytest.raises(error, match=says):
        call(net, images)
    assert unchanged(net, before)
