"""The perceptron with ReLU and top-k: against numpy, torch's own layers, and its equation."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from featlib.kernels import sparse_mlp
from featlib.measures import activation_density
from featlib.models import build
from featlib.models.relu_mlp import ReluMLP, TopKReLU, use_kernel


def doubled(*sizes, **options):
    """A network in float64 whose biases are not zero."""
    torch.manual_seed(0)
    return ReluMLP(*sizes, **options).double()


def kept_by_numpy(z, k):
    """The k largest of one rectified token, by partition; there are no ties in it."""
    a = np.maximum(z, 0)
    places = np.argpartition(-a, k - 1)[:k]
    kept = np.zeros_like(a)
    kept[places] = a[places]
    return kept


@pytest.mark.parametrize("k", [1, 3, 7, 39])
def test_topk_equals_numpys_partition(k):
    z = np.random.default_rng(0).normal(size=(4, 9, 40))
    expected = np.apply_along_axis(kept_by_numpy, -1, z, k)
    np.testing.assert_array_equal(TopKReLU(k)(torch.tensor(z)), expected)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(-2, 3), min_size=1, max_size=12),
    st.integers(1, 14),
)
def test_ties_stay_by_the_lowest_index(values, k):
    """Few different values, so that nearly everything is a tie; Python's sort keeps equal values in their order."""
    order = sorted(range(len(values)), key=lambda place: -max(values[place], 0))
    expected = [float(max(value, 0)) if place in order[:k] else 0.0 for place, value in enumerate(values)]
    found = TopKReLU(k)(torch.tensor(values, dtype=torch.float32))
    assert found.tolist() == expected
    assert int((found > 0).sum()) == min(k, sum(value > 0 for value in values))


def test_topk_of_all_units_is_the_plain_network_bit_for_bit():
    torch.manual_seed(0)
    plain = ReluMLP(24, 96)
    torch.manual_seed(0)
    kept = ReluMLP(24, 96, topk=96)
    x = torch.randn(5, 7, 24)
    results = []
    for mlp in (plain, kept):
        y = mlp(x)
        y.square().sum().backward()
        results.append([y.detach(), *(parameter.grad for parameter in mlp.parameters())])
    assert all(torch.equal(*pair) for pair in zip(*results, strict=True))
    assert isinstance(plain.act, torch.nn.ReLU)
    assert isinstance(kept.act, TopKReLU)


def test_gradients_pass_only_where_a_value_stays():
    z = torch.tensor([[4.0, -1.0, 2.0, 3.0, 2.0], [0.5, -2.0, -1.0, -3.0, -0.5]], requires_grad=True)
    weights = torch.arange(1.0, 11).reshape(2, 5)
    (TopKReLU(3)(z) * weights).sum().backward()
    assert z.grad.tolist() == [[1, 0, 3, 4, 0], [6, 0, 0, 0, 0]]
    z = torch.randn(3, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(TopKReLU(2), z)


def test_each_token_is_judged_by_itself():
    z = torch.randn(6, 5, 30)
    together = TopKReLU(4)(z)
    assert torch.equal(together[2, 3], TopKReLU(4)(z[2, 3]))
    assert int((together > 0).sum(-1).max()) == 4


def test_a_fault_does_not_look_like_silence():
    z = torch.tensor([[1.0, torch.nan, 3.0, 2.0], [1.0, 2.0, 3.0, 4.0], [torch.inf, 1.0, 2.0, -torch.inf]])
    found = TopKReLU(2)(z)
    assert torch.isnan(found[0]).any()
    assert found[1].tolist() == [0, 0, 3, 4]
    assert found[2].tolist() == [torch.inf, 0, 2, 0]
    assert torch.isnan(TopKReLU(1)(torch.full((3,), torch.nan))).all()


@pytest.mark.parametrize("bias", [True, False])
def test_the_network_equals_its_equation(bias):
    mlp = doubled(6, 20, topk=5, bias=bias, out=4)
    x = torch.randn(3, 6, dtype=torch.float64)
    parameters = {name: value.detach().numpy() for name, value in mlp.named_parameters()}
    assert set(parameters) == ({"w_in", "b_in", "w_out", "b_out"} if bias else {"w_in", "w_out"})
    for token, y in zip(x.numpy(), mlp(x).detach().numpy(), strict=True):
        a = kept_by_numpy(parameters["w_in"] @ token + parameters.get("b_in", 0), 5)
        np.testing.assert_allclose(y, parameters["w_out"] @ a + parameters.get("b_out", 0), rtol=1e-12)


def test_it_starts_as_torchs_linear_layers_do():
    torch.manual_seed(3)
    mlp = ReluMLP(400, 900).requires_grad_(False)
    for weight, bias, fan_in in ((mlp.w_in, mlp.b_in, 400), (mlp.w_out, mlp.b_out, 900)):
        theirs = torch.nn.Linear(fan_in, 500)
        for ours, peer in ((weight, theirs.weight), (bias, theirs.bias)):
            assert float(ours.abs().max()) == pytest.approx(fan_in**-0.5, rel=0.02)
            assert float(ours.std()) == pytest.approx(float(peer.detach().std()), rel=0.06)


@pytest.mark.parametrize(("init", "gain"), [("he", 2), ("lecun", 1)])
def test_normal_starts(init, gain):
    torch.manual_seed(0)
    mlp = ReluMLP(300, 700, init=init, out=50).requires_grad_(False)
    for weight, fan_in in ((mlp.w_in, 300), (mlp.w_out, 700)):
        assert float(weight.var()) == pytest.approx(gain / fan_in, rel=0.03)
        assert float(weight.abs().max()) > 3 * (gain / fan_in) ** 0.5  # normal, not uniform
    assert not mlp.b_in.any()
    assert not mlp.b_out.any()


def test_starts_follow_the_seed():
    first, again, other = (torch.manual_seed(seed) and ReluMLP(8, 16) for seed in (0, 0, 1))
    assert torch.equal(first.w_in, again.w_in)
    assert torch.equal(first.b_out, again.b_out)
    assert not torch.equal(first.w_in, other.w_in)


def test_activations_are_seen_by_a_hook():
    mlp, seen = doubled(6, 20, topk=3), []
    mlp.act.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    x = torch.randn(2, 4, 6, dtype=torch.float64)
    y = mlp(x)
    torch.testing.assert_close(y, functional.linear(seen[0], mlp.w_out, mlp.b_out))
    assert seen[0].shape == (2, 4, 20)
    assert int((seen[0] > 0).sum(-1).max()) <= 3


def test_what_watches_relus_sees_the_limit():
    mlp = ReluMLP(6, 12, topk=3)
    with activation_density(mlp) as density:
        mlp(torch.randn(5, 6))
    assert density.layers["act"].max_active <= 3


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(6,), (5, 6), (2, 3, 6), (0, 3, 6)])
def test_a_kernel_takes_the_place_of_the_whole_network(bias, shape):
    mlp, calls = doubled(6, 20, bias=bias, out=4), []

    def kernel(x, w_in, b_in, w_out, b_out):
        calls.append(x.shape)
        return functional.linear(functional.linear(x, w_in, b_in).relu(), w_out, b_out)

    x = torch.randn(shape, dtype=torch.float64)
    plain = mlp(x)
    mlp.kernel = kernel
    torch.testing.assert_close(mlp(x), plain)
    assert calls == [(x.numel() // 6, 6)]
    assert set(mlp.state_dict()) == set(ReluMLP(6, 20, bias=bias, out=4).state_dict())


@pytest.mark.usefixtures("as_users_run")
def test_errors():
    for topk in (0, 21):
        with pytest.raises(ValueError, match=r"topk must lie in 1\.\.20"):
            ReluMLP(6, 20, topk=topk)
    with pytest.raises(ValueError, match="init must be one of pytorch, he, lecun; got 'xavier'"):
        ReluMLP(6, 20, init="xavier")
    with pytest.raises(ValueError, match="at least 1"):
        TopKReLU(0)
    assert "k=5" in repr(TopKReLU(5))


def test_use_kernel_swaps_every_perceptron_and_its_layout():
    model, ids = build("t5_tiny"), torch.randint(128, (1, 9))
    parameters, values = list(model.parameters()), [p.detach().clone() for p in model.parameters()]
    plain = model(ids, ids).detach()
    calls = []

    def kernel(*tensors):
        calls.append(tensors[3].t().is_contiguous())
        return sparse_mlp(*tensors, method="gather")

    assert use_kernel(model, kernel) == 4
    torch.testing.assert_close(model(ids, ids), plain, atol=1e-4, rtol=1e-4)
    assert calls == [True] * 4
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), values, strict=True))
    assert use_kernel(model, None) == 4
    model(ids, ids)
    assert len(calls) == 4


def test_the_kernels_layout_outlives_loading_training_and_copying():
    mlp = doubled(6, 20)
    use_kernel(mlp, sparse_mlp)
    optimizer = torch.optim.Adam(mlp.parameters())
    mlp(torch.randn(3, 6, dtype=torch.float64)).sum().backward()
    optimizer.step()
    mlp.load_state_dict({name: value.clone() for name, value in doubled(6, 20).state_dict().items()})
    for copied in (mlp, copy.deepcopy(mlp), mlp.float()):
        assert copied.w_out.t().is_contiguous()
        x = torch.randn(2, 6, dtype=copied.w_in.dtype)
        expected = functional.linear(functional.linear(x, copied.w_in, copied.b_in).relu(), copied.w_out, copied.b_out)
        torch.testing.assert_close(copied(x), expected)


@pytest.mark.usefixtures("as_users_run")
def test_use_kernel_refuses_what_it_would_change():
    with pytest.raises(ValueError, match="Linear has no ReluMLP"):
        use_kernel(torch.nn.Linear(3, 3), sparse_mlp)
    kept = ReluMLP(6, 20, topk=3)
    with pytest.raises(ValueError, match="has topk, which the kernel would ignore"):
        use_kernel(torch.nn.Sequential(ReluMLP(6, 20), kept), sparse_mlp)
    assert kept.kernel is None
    assert use_kernel(kept, None) == 1
