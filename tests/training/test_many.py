"""Many networks trained as one: the losses of a plain loop, and nothing passes from one network to another."""

from functools import partial

import pytest
import torch

from featlib.data.boolean import Tasks
from featlib.models.mlp import MLP, MLPConfig
from featlib.training import many
from featlib.training.many import adam, momentum, one_by_one, train

TASKS = Tasks([("lin", "xor"), ("lin", "and_2")], seeds=[0, 1, 2], bits=8)
SMALL = MLPConfig(inputs=8, widths=(12, 9), outputs=2)


def stack():
    return MLP(SMALL, TASKS.row_seeds).double()


def doubled(step, weight=None):
    x, y = TASKS.batch(step, 16)
    parts = (x.double(), y.double())
    return parts if weight is None else (*parts, weight(step).double())


OPTIMISERS = {
    "sgd": (partial(momentum, learning_rate=0.1, momentum=0.0), lambda n: torch.optim.SGD(n.parameters(), lr=0.1)),
    "momentum": (momentum, lambda n: torch.optim.SGD(n.parameters(), lr=0.05, momentum=0.9)),
    "adam": (adam, lambda n: torch.optim.Adam(n.parameters(), lr=1e-3)),
}
WEIGHTS = {
    "all alike": None,
    "first feature only": lambda step: torch.tensor([[[1.0, 0.0]]]),
    "some labels missing": lambda step: (torch.arange(16) % 3 != step % 3).float()[None, :, None],
}


@pytest.mark.parametrize("weight", WEIGHTS)
@pytest.mark.parametrize("name", OPTIMISERS)
@pytest.mark.parametrize("cache", [1, 20_000, 10**9])
def test_losses_are_those_of_a_loop(monkeypatch, name, weight, cache):
    monkeypatch.setattr(many, "CACHE", cache)
    ours, theirs = OPTIMISERS[name]
    model, batches = stack(), partial(doubled, weight=WEIGHTS[weight])
    expected = one_by_one([model.twin(index).double() for index in range(len(model))], theirs, batches, 50)
    history = train(model, ours(model), batches, 50, every=1)
    assert history.steps == list(range(1, 51))
    torch.testing.assert_close(history.loss, expected, rtol=1e-5, atol=1e-7)
    assert history.loss[-1].mean() < history.loss[0].mean()


@pytest.mark.parametrize("weight", [None, lambda step: (torch.arange(16) % 2).double()[None, :, None]])
def test_classes_are_learned_as_in_a_loop(weight):
    model = MLP(MLPConfig(inputs=8, widths=(12,), outputs=4, classes=True), TASKS.row_seeds).double()

    def batches(step):
        x, y = doubled(step)
        which = (2 * y[..., 0] + y[..., 1]).long()
        return x, torch.nn.functional.one_hot(which, 4).double(), *([] if weight is None else [weight(step)])

    theirs = OPTIMISERS["adam"][1]
    twins = [model.twin(index).double() for index in range(len(model))]
    expected = one_by_one(twins, theirs, batches, 40, classes=True)
    history = train(model, adam(model), batches, 40, every=1)
    torch.testing.assert_close(history.loss, expected, rtol=1e-5, atol=1e-7)
    x, y, *_ = batches(99)
    logits = model.twin(0).double()(x[0])
    plain = torch.nn.functional.cross_entropy(logits, y[0].argmax(-1))
    torch.testing.assert_close(many.cross_entropy(logits, y[0], None, True).sum(), plain)


def test_gradients_with_topk_are_automatic_ones():
    model = MLP(MLPConfig(inputs=8, widths=(12, 9), outputs=2, topk=3), TASKS.row_seeds).double()
    x, y = doubled(0)
    many.cross_entropy(model(x), y, None, False).sum().backward()
    wanted = [parameter.grad.clone() for parameter in model.parameters()]
    with torch.no_grad():
        many._gradients(model, many._parts(model, x), x, y, None, 0.0)
    for ours, parameter in zip(wanted, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, ours)
    assert all(int((layer > 0).sum(-1).max()) == 3 for layer in model.hidden(x))


def test_single_precision_agrees_to_five_digits():
    model = MLP(SMALL, TASKS.row_seeds)
    twins = [model.twin(index) for index in range(len(model))]
    expected = one_by_one(twins, OPTIMISERS["sgd"][1], lambda step: TASKS.batch(step, 16), 50)
    history = train(model, OPTIMISERS["sgd"][0](model), lambda step: TASKS.batch(step, 16), 50, every=1)
    torch.testing.assert_close(history.loss, expected, rtol=1e-5, atol=1e-5)


def test_gradients_with_dropout_are_those_of_the_same_masks():
    """The hand-written backward pass against automatic gradients through the very layers that were drawn."""
    model = stack()
    x, y = doubled(0)
    torch.manual_seed(5)
    with torch.no_grad():
        many._gradients(model, many._parts(model, x), x, y, None, 0.4)
    found = [parameter.grad.clone() for parameter in model.parameters()]
    model.zero_grad()
    torch.manual_seed(5)
    layer = x
    for weight, bias in zip(model.weights[:-1], model.biases[:-1], strict=True):
        layer = torch.nn.functional.dropout((layer @ weight.mT + bias).relu(), 0.4)
    logits = layer @ model.weights[-1].mT + model.biases[-1]
    loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, y, reduction="none")
    loss.mean(1).sum().backward()
    for ours, parameter in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(ours, parameter.grad)


def test_networks_do_not_see_each_other():
    together, alone = stack(), MLP(SMALL, [TASKS.row_seeds[4]]).double()
    train(together, adam(together), doubled, 20)
    train(alone, adam(alone), lambda step: [part[4:5] for part in doubled(step)], 20)
    for ours, theirs in zip(together.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(ours[4], theirs[0])


def test_two_phases_with_one_optimiser_are_one():
    whole, parts = stack(), stack()
    train(whole, adam(whole), doubled, 30)
    optimiser = adam(parts)
    train(parts, optimiser, doubled, 12)
    history = train(parts, optimiser, doubled, 18, first=12)
    assert history.steps == [30]
    for ours, theirs in zip(parts.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_unlabelled_feature_moves_nothing():
    model = stack()
    before = model.weights[-1].clone()
    train(model, momentum(model), partial(doubled, weight=WEIGHTS["first feature only"]), 5)
    assert torch.equal(model.weights[-1][:, 1], before[:, 1])
    assert not torch.equal(model.weights[-1][:, 0], before[:, 0])


def test_records_and_watching():
    model = stack()
    history = train(model, adam(model), doubled, 25, every=10, watch=lambda step: -step)
    assert history.steps == [10, 20, 25]
    assert history.watched == [-10, -20, -25]
    assert history.loss.shape == (3, 6, 2)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({"dropout": 1.0}, "dropout must lie"), ({"steps": 0}, "positive"), ({"every": 0}, "positive")],
)
def test_settings_that_cannot_be(wrong, message):
    model = stack()
    with pytest.raises(ValueError, match=message):
        train(model, adam(model), doubled, **{"steps": 5, **wrong})


def test_labels_that_do_not_fit():
    model = stack()
    with pytest.raises(ValueError, match=r"labels \(6, 16, 1\) do not fit 6 networks with 2 outputs"):
        train(model, adam(model), lambda step: (doubled(step)[0], doubled(step)[1][..., :1]), 1)
