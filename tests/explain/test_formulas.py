"""Each equation once more with plain loops, from a gradient taken without our hooks."""

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from nets import DeepNet

from featlib.explain import cams
from featlib.explain.observe import Observation, observe


@pytest.fixture(scope="module")
def net():
    return DeepNet().eval()


@pytest.fixture(scope="module")
def images():
    return torch.rand(3, 3, 26, 22, generator=torch.Generator().manual_seed(4))


@pytest.fixture(scope="module")
def plain(net, images):
    """Activation and gradient at ``second``, as numpy arrays, by running the network's parts by hand."""
    maps = net.second(net.relu(net.first(images))).detach().requires_grad_()
    logits = net.out(net.relu(net.hidden(net.third(net.relu(maps)).mean((2, 3)))).tanh()) + 3
    (grad,) = torch.autograd.grad(logits[range(3), [0, 4, 2]].sum(), maps)
    return maps.detach().double().numpy(), grad.double().numpy()


def grad_cam(activation, gradient):
    return sum(g.mean() * a for a, g in zip(activation, gradient, strict=True))


def grad_cam_plus_plus(activation, gradient):
    """Entry by entry, as the equation stands."""
    result = np.zeros(activation.shape[1:])
    for a, g in zip(activation, gradient, strict=True):
        weight = 0.0
        for i in range(a.shape[0]):
            for j in range(a.shape[1]):
                if g[i, j] != 0:
                    share = g[i, j] ** 2 / (2 * g[i, j] ** 2 + a.sum() * g[i, j] ** 3 + 1e-6)
                    weight += share * max(g[i, j], 0)
        result += weight * a
    return result


def xgrad_cam(activation, gradient):
    return sum((g * a).sum() / (a.sum() + 1e-7) * a for a, g in zip(activation, gradient, strict=True))


def hires_cam(activation, gradient):
    return sum(g * a for a, g in zip(activation, gradient, strict=True))


def layer_cam(activation, gradient):
    return sum(np.where(g > 0, g, 0) * a for a, g in zip(activation, gradient, strict=True))


def first_component(activation, centre=False):
    rows = activation.reshape(len(activation), -1).T
    mean = rows.mean(1)
    rows = rows - rows.mean(0) if centre else rows
    _, _, right = np.linalg.svd(rows, full_matrices=True)
    scores = rows @ right[0]
    return (scores * np.sign(scores @ mean if centre else scores.sum())).reshape(activation.shape[1:])


RESTATED = {
    "grad-cam": grad_cam,
    "grad-cam++": grad_cam_plus_plus,
    "xgrad-cam": xgrad_cam,
    "hires-cam": hires_cam,
    "layer-cam": layer_cam,
    "eigen-cam": lambda a, g: first_component(a),
    "eigen-cam-centred": lambda a, g: first_component(a, centre=True),
    "eigen-grad-cam": lambda a, g: first_component(a * g),
    "mean-activation": lambda a, g: sum(a) / len(a),
}


@pytest.mark.parametrize("method", RESTATED)
def test_equals_the_equation_restated(net, images, plain, method):
    ours = cams.raw(observe(net, images, "second", [0, 4, 2]), method).numpy()
    for mine, activation, gradient in zip(ours, *plain, strict=True):
        theirs = RESTATED[method](activation, gradient)
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=2e-5 * np.abs(theirs).max())


def test_the_restated_methods_differ_from_each_other(plain):
    """The control: on this layer no two equations agree, so the tests above can tell them apart."""
    maps = {name: formula(plain[0][0], plain[1][0]) for name, formula in RESTATED.items()}
    for name, first in maps.items():
        for other, second in maps.items():
            assert name == other or not np.allclose(first, second, rtol=1e-2)


def test_every_method_is_restated_somewhere():
    assert set(cams.METHODS) - set(RESTATED) == {"cam", "score-cam", "ablation-cam"}  # the last two: test_forwards


def test_grad_cam_equals_captum_on_an_inner_layer(net, images):
    theirs = LayerGradCam(net, net.second).attribute(images, target=torch.tensor([0, 4, 2]))[:, 0]
    ours = cams.raw(observe(net, images, "second", [0, 4, 2]), "grad-cam")
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-4, atol=1e-7)


def test_cam_by_a_convolution_as_classifier():
    """SqueezeNet's kind: the classifier is a 1 x 1 convolution before the pooling."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3), torch.nn.ReLU(), torch.nn.Conv2d(6, 4, 1, bias=False),
        torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(),
    )  # fmt: skip
    images = torch.rand(2, 3, 9, 9)
    seen = observe(net, images, "1", [3, 1])
    per_class = net[2](net[1](net[0](images))).detach()
    torch.testing.assert_close(cams.raw(seen, "cam"), per_class[[0, 1], [3, 1]])


def test_grad_cam_plus_plus_where_its_denominator_vanishes():
    """A gradient of zero weighs nothing, and a denominator of zero gives no NaN."""
    activation = torch.tensor([[[[1.0, -1.0], [0.0, 0.0]]], [[[-2.0, 0.0], [0.0, 0.0]]]])
    gradient = torch.tensor([[[[0.0, 0.0], [0.0, 0.0]]], [[[1.0, 0.0], [0.0, 0.0]]]])
    seen = Observation(activation, gradient, torch.zeros(2, 3), torch.zeros(2, dtype=torch.long), None)
    maps = cams.raw(seen, "grad-cam++")
    assert torch.isfinite(maps).all()
    assert (maps[0] == 0).all()


@pytest.mark.parametrize("method", [name for name, method in cams.METHODS.items() if method.uses_gradient])
def test_a_method_that_says_it_needs_the_gradient_does(method):
    seen = Observation(torch.rand(1, 2, 3, 3), None, torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), None)
    with pytest.raises(ValueError, match="needs the gradient"):
        cams.raw(seen, method)
