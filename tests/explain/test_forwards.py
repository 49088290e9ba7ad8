"""Score-CAM and Ablation-CAM against one forward pass for each channel, then what is saved and what must be refused."""

import pytest
import torch
from nets import DeepNet, SideBranch, SmallNet, TinyTransformer, state, unchanged
from torch import nn
from torch.nn import functional

from featlib.explain import cams, forwards
from featlib.explain.forwards import ablation_weights, early_stop, score_cam
from featlib.explain.hooks import counted
from featlib.explain.observe import Observation, observe, tokens

TARGETS = [0, 3, 2]


@pytest.fixture
def images():
    return torch.rand(3, 3, 24, 20, generator=torch.Generator().manual_seed(1))


@torch.no_grad()
def naive_score_cam(model, image, activation, target):
    """One forward for each channel, softmax over channels."""
    scores = []
    for channel in activation:
        mask = functional.interpolate(channel[None, None], size=image.shape[-2:], mode="bilinear", align_corners=False)[
            0, 0
        ]
        low, high = mask.min(), mask.max()
        mask = (mask - low) / (high - low) if high > low else torch.zeros_like(mask)
        scores.append(float(model((image * mask)[None])[0, target]))
    weights = torch.tensor(scores).exp() / torch.tensor(scores).exp().sum()
    return weights, sum(w * a for w, a in zip(weights, activation, strict=True))


@pytest.mark.parametrize(("make", "layer"), [(DeepNet, "second"), (SmallNet, "act"), (SideBranch, "first")])
def test_score_cam_equals_one_forward_for_each_channel(images, make, layer):
    net = make().eval()
    seen = observe(net, images, layer, TARGETS, gradient=False)
    found = score_cam(seen, tolerance=0.0, chunk=3)
    for index, target in enumerate(TARGETS):
        weights, maps = naive_score_cam(net, images[index], seen.activation[index], target)
        torch.testing.assert_close(found.weights[index], weights, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(found.maps[index], maps, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.weights.sum(1), torch.ones(3))
    assert (found.bound == 0).all()


def test_dead_channels_share_one_forward_and_change_nothing(images):
    net = DeepNet().eval()
    with torch.no_grad():
        net.second.weight[::2] = 0
        net.second.bias[::2] = torch.tensor([0.0, 1.0, 0.0, -1.0, 0.0])
    seen = observe(net, images, "second", TARGETS, gradient=False)
    found = score_cam(seen, tolerance=0.0)
    assert found.dead.tolist() == [5, 5, 5]
    assert found.forwards.tolist() == [6, 6, 6]
    weights, maps = naive_score_cam(net, images[1], seen.activation[1], 3)
    torch.testing.assert_close(found.weights[1], weights, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.maps[1], maps, rtol=1e-4, atol=1e-5)


class Loud(nn.Module):
    """Its logit grows with how much light comes through: wide channels are strong and score far above the rest."""

    def __init__(self, channels=64, gain=40.0):
        super().__init__()
        self.channels, self.gain = channels, gain
        self.layer = nn.Identity()

    def forward(self, images):
        side = images.shape[-1]
        reach = torch.arange(1, self.channels + 1).flip(0) / self.channels * side
        ramp = (reach[:, None] - torch.arange(side)).clamp(0, 1)
        maps = self.layer(images.mean(1, keepdim=True) * (ramp[:, None, :].expand(-1, side, -1) + 0.01))
        return self.gain * torch.stack([images.mean((1, 2, 3)), maps.mean((1, 2, 3))], 1)


def test_the_early_stop_keeps_its_bound():
    """Here the channels come in the order of their scores, so what the bound assumes is true."""
    net, images = Loud(), torch.ones(2, 3, 32, 32)
    seen = observe(net, images, "layer", 0, gradient=False)
    full, early = score_cam(seen, tolerance=0.0), score_cam(seen, tolerance=1e-3, chunk=8)
    assert (full.forwards == 64).all()
    assert (early.forwards < 48).all()
    assert ((0 < early.bound) & (early.bound < 1e-3)).all()
    left_out = torch.where(early.weights == 0, full.weights, 0.0).sum(1)
    assert (left_out > 0).all()
    assert (left_out <= early.bound).all()
    torch.testing.assert_close(early.weights, full.weights, atol=2e-3, rtol=0)


def test_what_the_early_stop_sees_is_where_it_stops():
    seen = observe(Loud(), torch.ones(1, 3, 32, 32), "layer", 0, gradient=False)
    full, early = score_cam(seen, tolerance=0.0), score_cam(seen, tolerance=1e-3, chunk=8)
    run, left, bound = early_stop(seen.activation[0], full.weights[0], chunk=8).T
    stop = int((bound < 1e-3).nonzero()[0])
    assert round(64 * float(run[stop])) - int(early.dead) + 1 == int(early.forwards)
    torch.testing.assert_close(bound[stop], early.bound[0], rtol=1e-3, atol=1e-7)
    missing = torch.where(early.weights == 0, full.weights, 0.0).sum()
    torch.testing.assert_close(left[stop], missing, rtol=1e-3, atol=1e-6)
    assert early_stop(seen.activation[0], full.weights[0], chunk=64).shape == (0, 3)


def test_pictures_are_counted_until_the_end_of_the_block_and_not_after_an_error(images):
    net = DeepNet().eval()
    with counted({"first": net.first, "relu": net.relu}) as entered:
        net(images)
        net(images[:1])
    net(images)
    assert entered == {"first": 4, "relu": 12}
    with pytest.raises(RuntimeError), counted({"first": net.first}):
        net(images[0, 0, 0])
    assert not net.first._forward_pre_hooks


def test_no_early_stop_where_all_channels_score_alike(images):
    """The control: the logits of a small random net are close, so nothing may be left out."""
    found = score_cam(observe(DeepNet().eval(), images, "second", 0, gradient=False), tolerance=1e-3, chunk=2)
    assert (found.forwards == 10).all()
    assert (found.bound == 0).all()


def test_strong_channels_go_first(images, monkeypatch):
    order = []
    net = DeepNet().eval()
    seen = observe(net, images[:1], "second", 0, gradient=False)
    masks = forwards._masks

    def listen(maps, image):
        order.extend(maps.square().sum((1, 2)).tolist())
        return masks(maps, image)

    monkeypatch.setattr(forwards, "_masks", listen)
    score_cam(seen, tolerance=0.0, chunk=4)
    assert order == sorted(order, reverse=True)
    assert len(order) == 10


@torch.no_grad()
def naive_ablation(model, layer, image, target, channels, reshape=None, call=1):
    """One forward for each channel with that channel set to zero by hand."""

    def run(channel=None):
        calls = 0

        def hook(_module, _inputs, output):
            nonlocal calls
            calls += 1
            if channel is None or calls != call:
                return None
            output = output.clone()
            if reshape is None:
                output[:, channel] = 0
            else:
                output[:, 1:, channel] = 0  # tokens after the class token
            return output

        handle = model.get_submodule(layer).register_forward_hook(hook)
        try:
            return float(model(image[None])[0, target])
        finally:
            handle.remove()

    full = run()
    return torch.tensor([(full - run(channel)) / full for channel in range(channels)])


@pytest.mark.parametrize(
    ("make", "layer", "call"),
    [(DeepNet, "second", 1), (SmallNet, "norm", 1), (SideBranch, "second", 1), (SideBranch, "first", 1)],
)
@pytest.mark.parametrize("chunk", [3, 32])
def test_ablation_equals_one_forward_for_each_channel(images, make, layer, call, chunk):
    net = make().eval()
    seen = observe(net, images, layer, TARGETS, gradient=False)
    weights = ablation_weights(seen, chunk)
    for index, target in enumerate(TARGETS):
        theirs = naive_ablation(net, layer, images[index], target, seen.activation.shape[1], call=call)
        torch.testing.assert_close(weights[index], theirs, rtol=1e-3, atol=1e-5)
    expected = torch.einsum("bc,bcij->bij", weights, seen.activation)
    torch.testing.assert_close(cams.raw(seen, "ablation-cam"), expected)


class Twice(DeepNet):
    """One ReLU for two layers of the same width."""

    def __init__(self):
        super().__init__()
        self.second = nn.Conv2d(8, 8, 3)
        self.third = nn.Conv2d(8, 8, 3)

    def forward(self, images):
        maps = self.relu(self.second(self.relu(self.first(images))))
        return self.out(self.hidden(self.third(maps).mean((2, 3)))) + 3


def test_a_module_used_twice_is_changed_where_it_was_seen(images):
    net = Twice().eval()
    seen = observe(net, images, "relu", TARGETS, gradient=False)
    torch.testing.assert_close(seen.activation, net.relu(net.second(net.relu(net.first(images)))).detach())
    theirs = naive_ablation(net, "relu", images[0], 0, 8, call=2)
    torch.testing.assert_close(ablation_weights(seen)[0], theirs, rtol=1e-3, atol=1e-5)


def test_the_part_before_the_layer_runs_once_where_that_is_right(images):
    """Images that pass the first convolution: few for a plain network, one for each channel with a side branch."""
    passed = {}
    for make in (DeepNet, SideBranch):
        net = make().eval()
        seen = observe(net, images[:1], "second", 0, gradient=False)
        counts = []
        net.first.register_forward_hook(lambda _m, inputs, _o, counts=counts: counts.append(len(inputs[0])))
        ablation_weights(seen, chunk=5)
        passed[make] = sum(counts)
    assert passed[DeepNet] == 1 + 2 + 2  # the trial, short and long, and two chunks
    assert passed[SideBranch] >= 10


def test_channels_that_are_zero_are_not_run(images):
    net = DeepNet().eval()
    with torch.no_grad():
        net.second.weight[:7] = 0
        net.second.bias[:7] = 0
    seen = observe(net, images[:1], "second", 0, gradient=False)
    runs = []
    net.hidden.register_forward_hook(lambda _m, inputs, _o: runs.append(len(inputs[0])))
    weights = ablation_weights(seen)
    assert (weights[0, :7] == 0).all()
    assert (weights[0, 7:] != 0).all()
    assert sum(runs) == 2 + 2 + 3


def test_tokens_of_a_transformer():
    net, images = TinyTransformer().eval(), torch.rand(2, 3, 12, 16, generator=torch.Generator().manual_seed(3))
    shape = tokens(3, 4)
    seen = observe(net, images, "block", [1, 4], reshape=shape)
    assert seen.activation.shape == (2, 16, 3, 4)
    inner = net.block(
        torch.cat([net.first.expand(2, -1, -1), net.patches(images).flatten(2).mT], 1)
    ).detach().requires_grad_()  # fmt: skip
    mixed = net.mix(inner)
    logits = net.head(((mixed @ mixed[:, :1].mT).softmax(1) * mixed).sum(1))
    (grad,) = torch.autograd.grad(logits[[0, 1], [1, 4]].sum(), inner)
    for mine, plain in ((seen.activation, inner.detach()), (seen.gradient, grad)):
        for row in range(3):
            for column in range(4):
                torch.testing.assert_close(
                    mine[:, :, row, column], plain[:, 1 + 4 * row + column], rtol=1e-4, atol=1e-6
                )
    for index, target in enumerate([1, 4]):
        theirs = naive_ablation(net, "block", images[index], target, 16, reshape=True)
        torch.testing.assert_close(ablation_weights(seen)[index], theirs, rtol=1e-3, atol=1e-4)
    assert set(cams.compute(net, images, "block", ["grad-cam", "score-cam", "eigen-cam"], reshape=shape)) == {
        "grad-cam",
        "score-cam",
        "eigen-cam",
    }


@pytest.mark.parametrize("method", ["score-cam", "ablation-cam"])
def test_the_network_is_left_as_it_was_also_after_an_error(images, method):
    net = DeepNet().train()
    net.second.eval()
    seen = observe(net, images, "second", gradient=False)
    before = state(net)
    cams.raw(seen, method)
    assert unchanged(net, before)

    class StopError(Exception):
        pass

    def explode(*_):
        raise StopError

    handle = net.hidden.register_forward_hook(explode)
    before = state(net)
    with pytest.raises(StopError):
        cams.raw(seen, method)
    assert unchanged(net, before)
    handle.remove()


@pytest.mark.usefixtures("as_users_run")
def test_what_cannot_be_run_again_is_named(images):
    by_hand = Observation(torch.rand(1, 2, 3, 3), None, torch.zeros(1, 2), torch.zeros(1, dtype=torch.long), None)
    for method in ("score-cam", "ablation-cam"):
        with pytest.raises(ValueError, match="made by observe"):
            cams.raw(by_hand, method)
    seen = observe(DeepNet(), images, "second", gradient=False)
    with pytest.raises(ValueError, match=r"tolerance must lie in \[0, 1\), got 2.0"):
        score_cam(seen, tolerance=2.0)
