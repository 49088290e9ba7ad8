"""Projection heads against torch's own layers and their equations; sizes at the paper's scale."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from featlib.models import build
from featlib.models.heads import MLP, FixedReweight, Linear, SReLU, soft_threshold


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_sizes_of_the_paper():
    """ResNet-50 without a classifier, heads of 2048 units, a classifier for two classes."""
    with torch.device("meta"):
        sizes = [count(head) for head in (MLP(2048), MLP(2048, depth=2), Linear(2048, 2), FixedReweight(2048))]
    with torch.device("meta"):
        assert FixedReweight(2048)(torch.empty(3, 2048)).shape == (3, 2048)
    assert sizes == [8_392_704, 12_589_056, 4_098, 0]
    trunk = build("resnet50", device="meta")
    assert count(trunk) - count(trunk.classifier) == 23_508_032


def as_torch(head, seed=None):
    """The same MLP of plain modules."""
    modules = []
    for layer in head.layers:
        weight, bias = (t if seed is None else t[seed] for t in (layer.weight, layer.bias))
        plain = nn.Linear(weight.shape[1], weight.shape[0])
        plain.load_state_dict({"weight": weight, "bias": bias.reshape(-1)})
        modules += [plain, nn.ReLU()]
    return nn.Sequential(*modules[:-1])


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_mlp_equals_torchs_layers(depth):
    head, r = MLP(5, 7, 3, depth), torch.randn(2, 4, 5)
    torch.testing.assert_close(head(r), as_torch(head)(r))
    stack, many = MLP(5, 7, 3, depth, seeds=[3, 4]), torch.randn(2, 6, 5)
    expected = torch.stack([as_torch(stack, seed)(many[seed]) for seed in (0, 1)])
    torch.testing.assert_close(stack(many), expected)


def test_a_head_depends_on_its_own_seed_alone():
    alone, together = MLP(4, seeds=[5]), MLP(4, seeds=[2, 5])
    for a, b in zip(alone.parameters(), together.parameters(), strict=True):
        assert torch.equal(a[0], b[1])
        assert not torch.equal(b[0], b[1])
    first, second = (layer.weight[0] for layer in alone.layers)
    assert not torch.equal(first, second)
    drawn = torch.rand(4, 4, generator=torch.Generator().manual_seed(5))
    assert not torch.allclose(first, (2 * drawn - 1) / 2)


def test_linear_starts_as_torchs_does():
    head = Linear(400, 300, seeds=[0])
    for t in head.parameters():
        assert float(t.detach().abs().max()) <= 400**-0.5
        assert float(t.detach().std()) == pytest.approx(400**-0.5 / 3**0.5, rel=0.1)
    assert Linear(3, bias=False).bias is None
    assert Linear(3)(torch.zeros(2, 3)).shape == (2, 3)


@given(st.floats(-10, 10), st.floats(0, 5))
def test_soft_threshold_by_cases(x, b):
    expected = x - b if x > b else x + b if x < -b else 0.0
    found = float(soft_threshold(torch.tensor(x, dtype=torch.float64), b))
    assert found == pytest.approx(expected, abs=1e-12)
    assert found == 0 or abs(x) > b


def test_srelu_starts_as_the_threshold_alone_and_learns_it():
    head, r = SReLU(4, 0.5, seeds=[0, 1]), torch.randn(2, 9, 4)
    torch.testing.assert_close(head(r), soft_threshold(r, 0.5))
    head(r).square().sum().backward()
    assert (head.threshold.grad != 0).all()
    assert SReLU(3)(torch.ones(2, 3)).shape == (2, 3)


def test_a_feature_below_the_threshold_has_no_gradient():
    r = torch.tensor([[2.0, 0.3], [-2.0, -0.3]])
    head = SReLU(2, 0.5)
    head(r).square().sum().backward()
    assert (head.weight.grad[1] == 0).all()
    assert (head.weight.grad[0] != 0).all()


def test_fixed_head_is_a_power_series():
    head = FixedReweight(4, 2.0)
    assert head(torch.ones(3, 1, 4))[0, 0].tolist() == [1, 0.5, 0.25, 0.125]
    torch.testing.assert_close(FixedReweight(5, 1.0)(torch.ones(2, 5)), torch.ones(2, 5))
    late = FixedReweight(2048).gain
    assert 0 <= float(late[-1]) < 1e-43
    assert int((late > 1e-4).sum()) < 200


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: MLP(3, depth=0), "at least one hidden layer"),
        (lambda: MLP(3, seeds=[]), "no seeds"),
        (lambda: SReLU(3, -1.0), "negative"),
        (lambda: FixedReweight(3, 0.9), "1 or more"),
    ],
)
def test_bad_settings_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
