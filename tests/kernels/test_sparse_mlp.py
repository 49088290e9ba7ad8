"""The network that skips zeros, against sparse matrices of scipy and torch, and the plain network in float64."""

import numpy as np
import pytest
import scipy.sparse
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from featlib.kernels import neuron_major, sparse_mlp
from featlib.kernels.sparse_mlp import gather as path
from featlib.kernels.sparse_mlp.reference import sparse_mlp_reference

SIZES = [(1, 24, 96), (3, 17, 51), (8, 30, 7), (64, 5, 33), (2, 1, 9), (5, 13, 1), (1, 1, 1)]
METHODS = ["auto", "gather", "dense"]


def network(batch, d, d_ff, dtype=torch.float64, threshold=0.8, seed=0, biases=True):
    """Tokens and weights; ``threshold`` standard deviations decide how many neurons fire."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, w_in, w_out = normal(batch, d), normal(d_ff, d) / d**0.5, normal(d, d_ff) / d_ff**0.5
    b_in, b_out = 0.1 * normal(d_ff) - threshold, normal(d)
    tensors = (x, w_in, b_in if biases else None, neuron_major(w_out), b_out if biases else None)
    return tuple(None if t is None else t.to(dtype) for t in tensors)


def plain(x, w_in, b_in, w_out, b_out):
    return functional.linear(torch.relu(functional.linear(x, w_in, b_in)), w_out, b_out)


def activations_at(density, batch=4, d_ff=300, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.random((batch, d_ff)) + 0.1) * (rng.random((batch, d_ff)) < density)


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support is in beta")
@pytest.mark.parametrize("density", [0, 0.03, 0.5, 1])
@pytest.mark.parametrize("batch", [1, 4, 64])
def test_second_product_equals_sparse_matrices(density, batch):
    activations = activations_at(density, batch).astype(np.float32)
    w_out = neuron_major(torch.from_numpy(np.random.default_rng(1).normal(size=(40, 300)).astype(np.float32)) / 17)
    mine = path.gather(torch.from_numpy(activations), w_out)
    by_scipy = scipy.sparse.csr_matrix(activations) @ w_out.numpy().T
    np.testing.assert_allclose(mine, by_scipy, atol=1e-5)
    crow = np.concatenate([[0], (activations != 0).sum(1).cumsum()])
    column, values = np.nonzero(activations)[1], activations[activations != 0]
    by_torch = torch.sparse_csr_tensor(crow, column, values, activations.shape, check_invariants=True)
    np.testing.assert_allclose(mine, by_torch @ w_out.T.contiguous(), atol=1e-5)


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_reference(size, method, biases):
    tensors = network(*size, biases=biases)
    torch.testing.assert_close(sparse_mlp(*tensors, method=method), sparse_mlp_reference(*tensors))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2), (torch.half, 1e-3)]
)
def test_each_precision_has_its_own_error(dtype, tolerance, method):
    """Half precisions sum in float32: 3,000 terms must not cost more digits than one rounding does."""
    tensors = network(2, 40, 3000, dtype, threshold=0.3)
    expected = sparse_mlp_reference(*tensors)
    output = sparse_mlp(*tensors, method=method)
    assert output.dtype == dtype
    assert float((output.double() - expected).norm() / expected.norm()) < tolerance


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(1, 4, 9), (3, 5, 7), (2, 3, 1)])
def test_gradients_against_finite_differences(size, method):
    tensors = [t.requires_grad_() for t in network(*size, threshold=0.2)]
    assert torch.autograd.gradcheck(lambda *t: sparse_mlp(*t, method=method), tensors)
    assert torch.autograd.gradgradcheck(lambda *t: sparse_mlp(*t, method=method), tensors)


@pytest.mark.parametrize("method", METHODS)
def test_every_gradient_equals_that_of_the_reference(method):
    found = []
    for function in (lambda *t: sparse_mlp(*t, method=method), sparse_mlp_reference):
        tensors = [t.requires_grad_() for t in network(6, 20, 60)]
        weight = torch.randn(6, 20, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        (function(*tensors) ** 2 * weight).sum().backward()
        found.append([t.grad for t in tensors])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("wanted", range(5))
def test_one_gradient_alone(wanted):
    tensors = network(2, 10, 30)
    tensors[wanted].requires_grad_()
    (mine,) = torch.autograd.grad(sparse_mlp(*tensors, method="gather").square().sum(), tensors[wanted])
    (theirs,) = torch.autograd.grad(plain(*tensors).square().sum(), tensors[wanted])
    torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("always", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_the_operation_keeps_the_rules_of_torch(bias, always):
    """Schema, shapes without data, gradients, and the form that torch.compile sees."""
    activations = torch.from_numpy(activations_at(0.1)).requires_grad_()
    w_out = neuron_major(torch.randn(20, 300, dtype=torch.float64)).requires_grad_()
    b_out = torch.randn(20, dtype=torch.float64, requires_grad=True) if bias else None
    torch.library.opcheck(path.second_product_op, (activations, w_out, b_out, always))


def test_the_operation_alone_has_a_gradient_at_zero_activations_too():
    activations = torch.from_numpy(activations_at(0.3, 2, 12)).requires_grad_()
    w_out = neuron_major(torch.randn(4, 12, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda a, w: path.second_product_op(a, w, None, True), (activations, w_out))


@pytest.mark.parametrize("method", METHODS)
def test_silent_and_full_layers(method):
    x, w_in, b_in, w_out, b_out = network(3, 12, 40)
    silent = sparse_mlp(x, w_in, b_in - 100, w_out, b_out, method=method)
    torch.testing.assert_close(silent, b_out.expand(3, -1), rtol=0, atol=0)
    full = (x, w_in, b_in + 100, w_out, b_out)
    torch.testing.assert_close(sparse_mlp(*full, method=method), plain(*full))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("size", [(0, 4, 6), (3, 4, 0), (3, 0, 6), (0, 4, 0)])
def test_empty_inputs(size, method):
    batch, d, d_ff = size
    tensors = torch.ones(batch, d), torch.ones(d_ff, d), torch.ones(d_ff), neuron_major(torch.ones(d, d_ff)), None
    torch.testing.assert_close(sparse_mlp(*tensors, method=method), plain(*tensors))


@pytest.mark.parametrize("method", METHODS)
def test_strided_inputs(method):
    x, w_in, b_in, w_out, b_out = network(6, 20, 60)
    strided = x[::2, 1::2], w_in[1::3, ::2], b_in[1::3], w_out[::2, 1::3], b_out[::2]
    assert not any(t.is_contiguous() for t in strided)
    torch.testing.assert_close(sparse_mlp(*strided, method=method), sparse_mlp_reference(*strided))


@pytest.mark.parametrize("where", range(5))
def test_nan_and_infinity_come_out_as_in_the_plain_network(where):
    for bad in (float("nan"), float("inf"), -float("inf")):
        tensors = [t.clone() for t in network(3, 8, 30, threshold=-9)]  # every neuron fires, so every weight counts
        tensors[where][(0,) * tensors[where].ndim] = bad
        tensors[3] = neuron_major(tensors[3])
        mine, theirs = sparse_mlp(*tensors, method="gather"), plain(*tensors)
        torch.testing.assert_close(mine, theirs, equal_nan=True)
        assert not torch.isfinite(mine).all() or bad < 0


def test_a_weight_that_is_skipped_is_not_seen():
    """The documented departure."""
    x, w_in, b_in, w_out, b_out = network(1, 8, 30)
    b_in[0], w_out[0, 0] = -100, float("nan")
    assert torch.isfinite(sparse_mlp(x, w_in, b_in, w_out, b_out, method="gather")).all()
    assert plain(x, w_in, b_in, w_out, b_out).isnan().any()


# Which way is taken.


@pytest.fixture
def gathered(monkeypatch):
    """How often the gathered product ran."""
    calls, real = [], path.gather
    monkeypatch.setattr(path, "gather", lambda *tensors: calls.append(1) or real(*tensors))
    return calls


def fire(density, batch=1, d_ff=400):
    """A network in which exactly this share of neurons fires on every token."""
    x, w_in, w_out = torch.ones(batch, 4), torch.zeros(d_ff, 4), neuron_major(torch.randn(4, d_ff))
    b_in = torch.full((d_ff,), -1.0)
    b_in[torch.randperm(d_ff)[: round(density * d_ff)]] = 1.0
    return x, w_in, b_in, w_out, None


@pytest.mark.parametrize(("batch", "highest"), [(1, 0.45), (8, 0.21), (64, 0.097)])
def test_the_crossover_is_pinned(gathered, batch, highest):
    assert path.crossover(batch) == pytest.approx(highest, abs=2e-3)
    sparse_mlp(*fire(highest - 0.01, batch))
    assert len(gathered) == 1
    sparse_mlp(*fire(highest + 0.01, batch))
    assert len(gathered) == 1


@pytest.mark.parametrize("batch", [1, 7, 8, 9, 17, 63, 64])
def test_density_is_counted_over_the_whole_batch(batch):
    """Half of the tokens have no zeros at all: whatever tokens are looked at, that is dense."""
    activations = torch.zeros(batch, 50)
    activations[: -(-batch // 2)] = 1
    assert not path.pays(activations)
    assert path.pays(activations * 0)


def test_large_batches_and_the_usual_layout_are_dense(gathered):
    x, w_in, b_in, w_out, b_out = fire(0.01, 64)
    sparse_mlp(torch.ones(65, 4), w_in, b_in, w_out, b_out)
    sparse_mlp(x, w_in, b_in, w_out.contiguous(), b_out)
    sparse_mlp(x, w_in, b_in, w_out, b_out, method="dense")
    assert not gathered
    sparse_mlp(torch.ones(65, 4), w_in, b_in, w_out.contiguous(), b_out, method="gather")
    assert len(gathered) == 1


def test_the_dense_way_is_the_plain_network_bit_for_bit():
    tensors = network(5, 33, 70, torch.float32)
    assert torch.equal(sparse_mlp(*tensors, method="dense"), plain(*tensors))


def test_autocast_is_left_to_the_dense_way(gathered):
    tensors = network(2, 20, 60, torch.float32, threshold=2)
    with torch.autocast("cpu", torch.bfloat16):
        mine, theirs = sparse_mlp(*tensors), plain(*tensors)
    torch.testing.assert_close(mine, theirs)


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(1, 9), d=st.integers(1, 6), d_ff=st.integers(1, 12), seed=st.integers(0, 10_000))
def test_order_of_neurons_and_split_of_tokens_do_not_matter(batch, d, d_ff, seed):
    x, w_in, b_in, w_out, b_out = network(batch, d, d_ff, seed=seed)
    whole = sparse_mlp(x, w_in, b_in, w_out, b_out, method="gather")
    order = torch.randperm(d_ff)
    shuffled = sparse_mlp(x, w_in[order], b_in[order], neuron_major(w_out[:, order]), b_out, method="gather")
    torch.testing.assert_close(whole, shuffled)
    one_by_one = [sparse_mlp(token[None], w_in, b_in, w_out, b_out, method="gather") for token in x]
    torch.testing.assert_close(whole, torch.cat(one_by_one))


# The layout.


def test_neuron_major_changes_only_the_layout():
    w_out = torch.randn(5, 7, requires_grad=True)
    other = neuron_major(w_out)
    assert torch.equal(other, w_out)
    assert other.t().is_contiguous()
    assert neuron_major(other).data_ptr() == other.data_ptr()
    (grad,) = torch.autograd.grad((other * torch.arange(7.0)).sum(), w_out)
    assert torch.equal(grad, torch.arange(7.0).expand(5, 7))


def test_a_layer_keeps_the_layout_through_training_and_loading():
    layer = torch.nn.Linear(30, 6)
    layer.weight = torch.nn.Parameter(neuron_major(layer.weight.detach()))
    optimizer = torch.optim.Adam(layer.parameters())
    x, w_in, b_in, _, _ = network(3, 6, 30, torch.float32)
    before = sparse_mlp(x, w_in, b_in, layer.weight, layer.bias, method="gather")
    before.sum().backward()
    optimizer.step()
    layer.load_state_dict({"weight": layer.weight * 2, "bias": layer.bias.clone()})
    after = sparse_mlp(x, w_in, b_in, layer.weight, layer.bias, method="gather")
    assert layer.weight.t().is_contiguous()
    torch.testing.assert_close(after, plain(x, w_in, b_in, layer.weight, layer.bias))
    assert not torch.allclose(before, after)


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named():
    x, w_in, b_in, w_out, b_out = network(2, 6, 10)
    for arguments, error, says in [
        ((x[:, 1:], w_in, b_in, w_out, b_out), ValueError, r"w_in must be \(d_ff, d\)"),
        ((x, w_in, b_in, w_out[:, 1:], b_out), ValueError, r"w_out must be \(d, d_ff\)"),
        ((x, w_in, b_in, w_out.T, b_out), ValueError, r"w_out must be \(d, d_ff\)"),
        ((x, w_in, b_in[1:], w_out, b_out), ValueError, r"b_in must be \(10,\) or None, got \(9,\)"),
        ((x, w_in, b_in, w_out, b_out[None]), ValueError, r"b_out must be \(6,\) or None"),
        ((x[0], w_in, b_in, w_out, b_out), ValueError, "flatten the axes in front"),
        ((x, w_in[0], b_in, w_out, b_out), ValueError, "must be matrices"),
        ((x.long(), w_in, b_in, w_out, b_out), TypeError, "x must be floating point"),
    ]:
        with pytest.raises(error, match=says):
            sparse_mlp(*arguments)
    with pytest.raises(ValueError, match="method must be one of auto, gather, dense"):
        sparse_mlp(x, w_in, b_in, w_out, b_out, method="csr")
