"""A step of decoding: against float64 sums written out, the dense network, and its equation's gradients."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from featlib.kernels import firing, neuron_major, sparse_decode
from featlib.kernels.sparse_decode import subset as path
from featlib.kernels.sparse_decode.reference import sparse_decode_reference

SIZES = [(1, 24, 96), (3, 17, 51), (8, 30, 7), (2, 1, 9), (5, 13, 1), (1, 1, 1)]
SETS = ["whole", "shared", "each"]


def network(batch, d, d_ff, dtype=torch.float64, threshold=0.8, seed=0, biases=True, out=None):
    """Tokens and weights; ``threshold`` standard deviations decide how many neurons fire."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    out = d if out is None else out
    x, w_in, w_out = normal(batch, d), normal(d_ff, d) / d**0.5, normal(out, d_ff) / d_ff**0.5
    b_in, b_out = 0.1 * normal(d_ff) - threshold, normal(out)
    tensors = (x, w_in, b_in if biases else None, neuron_major(w_out), b_out if biases else None)
    return tuple(None if t is None else t.to(dtype) for t in tensors)


def dense(x, w_in, b_in, w_out, b_out):
    return functional.linear(torch.relu(functional.linear(x, w_in, b_in)), w_out, b_out)


def some(kind, batch, d_ff, seed=3):
    """A set of about half of the neurons, in each of the two forms."""
    if kind == "whole":
        return None
    generator = torch.Generator().manual_seed(seed)
    rows = [torch.randperm(d_ff, generator=generator)[: -(-d_ff // 2)].sort().values for _ in range(batch)]
    return torch.stack(rows) if kind == "each" else rows[0]


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("size", SIZES)
def test_equals_reference(size, kind, biases):
    tensors, active = network(*size, biases=biases), some(kind, size[0], size[2])
    torch.testing.assert_close(sparse_decode(*tensors, active), sparse_decode_reference(*tensors, active))


@pytest.mark.parametrize("kind", ["shared", "each"])
def test_pieces_make_no_difference(kind, monkeypatch):
    tensors, active = network(3, 40, 200, out=25), some(kind, 3, 200)
    expected = sparse_decode_reference(*tensors, active)
    for piece in (1, 7 * 40, 10**6):  # rows one by one, a last piece that is smaller, and all at once
        monkeypatch.setattr(path, "PIECE", piece)
        torch.testing.assert_close(sparse_decode(*tensors, active), expected)


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 1e-2), (torch.half, 1e-3)]
)
def test_each_precision_has_its_own_error(dtype, tolerance, kind, monkeypatch):
    """In pieces too: the sum over them must not be in half precision."""
    monkeypatch.setattr(path, "PIECE", 40 * 64)
    tensors, active = network(2, 40, 3000, dtype, threshold=0.3), some(kind, 2, 3000)
    expected = sparse_decode_reference(*tensors, active)
    output = sparse_decode(*tensors, active)
    assert output.dtype == dtype
    assert float((output.double() - expected).norm() / expected.norm()) < tolerance


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("kind", ["shared", "each"])
def test_with_every_neuron_that_fires_it_is_the_dense_network(kind, batch):
    tensors = network(batch, 24, 300, threshold=1.5)
    active = firing(*tensors[:3])
    assert 0 < len(active) < 150
    if kind == "each":
        active = active.expand(batch, -1)
    torch.testing.assert_close(sparse_decode(*tensors, active), dense(*tensors))
    lost = sparse_decode(*tensors, active[..., 1:])
    assert not torch.allclose(lost, dense(*tensors)), "a neuron that fires was left out, and must be missed"


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 5), d=st.integers(1, 6), d_ff=st.integers(1, 12), seed=st.integers(0, 10_000),
       more=st.sets(st.integers(0, 11)))  # fmt: skip
def test_neurons_too_many_change_nothing(batch, d, d_ff, seed, more):
    tensors = network(batch, d, d_ff, seed=seed)
    extra = torch.tensor([i for i in sorted(more) if i < d_ff], dtype=torch.int64)
    active = torch.cat([firing(*tensors[:3]), extra]).unique()
    torch.testing.assert_close(sparse_decode(*tensors, active), dense(*tensors))


def test_firing_is_the_union_over_tokens():
    x, w_in, b_in, _, _ = network(3, 20, 90, threshold=1.3)
    one_by_one = torch.cat([firing(token[None], w_in, b_in) for token in x]).unique()
    assert torch.equal(firing(x, w_in, b_in), one_by_one)
    assert torch.equal(firing(x, w_in, b_in), ((x @ w_in.T + b_in) > 0).any(0).nonzero()[:, 0])
    assert firing(x[:0], w_in, b_in).tolist() == []
    b_in[7] = float("nan")
    assert 7 in firing(x, w_in, b_in)


@pytest.mark.parametrize("kind", SETS)
def test_gradients_against_finite_differences(kind):
    tensors, active = [t.requires_grad_() for t in network(3, 5, 8, threshold=0.2)], some(kind, 3, 8)
    assert torch.autograd.gradcheck(lambda *t: sparse_decode(*t, active), tensors)
    assert torch.autograd.gradgradcheck(lambda *t: sparse_decode(*t, active), tensors)


@pytest.mark.parametrize("kind", SETS)
def test_every_gradient_equals_that_of_the_reference(kind):
    found, active = [], some(kind, 6, 60)
    for function in (sparse_decode, sparse_decode_reference):
        tensors = [t.requires_grad_() for t in network(6, 20, 60)]
        weight = torch.randn(6, 20, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        (function(*tensors, active) ** 2 * weight).sum().backward()
        found.append([t.grad for t in tensors])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_gradients_of_the_firing_set_are_the_dense_networks():
    tensors = [t.requires_grad_() for t in network(3, 12, 90, threshold=1.2)]
    active = firing(*(t.detach() for t in tensors[:3]))
    mine = torch.autograd.grad(sparse_decode(*tensors, active).square().sum(), tensors)
    theirs = torch.autograd.grad(dense(*tensors).square().sum(), tensors)
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("size", [(0, 4, 6), (3, 4, 0), (3, 0, 6), (0, 4, 0)])
def test_empty_inputs(size, kind):
    batch, d, d_ff = size
    tensors = torch.ones(batch, d), torch.ones(d_ff, d), torch.ones(d_ff), neuron_major(torch.ones(d, d_ff)), None
    active = {"whole": None, "shared": torch.arange(d_ff), "each": torch.arange(d_ff).expand(batch, -1)}[kind]
    torch.testing.assert_close(sparse_decode(*tensors, active), dense(*tensors))


@pytest.mark.parametrize("shape", [(0,), (3, 0)])
def test_the_empty_set_leaves_the_bias(shape):
    tensors = network(3, 12, 40)
    found = sparse_decode(*tensors, torch.zeros(shape, dtype=torch.int64))
    assert torch.equal(found, tensors[4].expand(3, -1))


@pytest.mark.parametrize("kind", SETS)
def test_strided_inputs_and_other_indices(kind):
    x, w_in, b_in, w_out, b_out = network(6, 20, 60)
    strided = x[::2, 1::2], w_in[1::3, ::2], b_in[1::3], w_out[::2, 1::3], b_out[::2]
    assert not any(t.is_contiguous() for t in strided)
    active = some(kind, 3, 20)
    expected = sparse_decode_reference(*strided, active)
    torch.testing.assert_close(sparse_decode(*strided, active), expected)
    if active is not None:
        every_other = torch.repeat_interleave(active, 2, -1)[..., ::2]
        torch.testing.assert_close(sparse_decode(*strided, every_other.int()), expected)


@pytest.mark.parametrize("kind", ["shared", "each"])
def test_the_usual_layout_gives_the_same(kind):
    x, w_in, b_in, w_out, b_out = network(2, 20, 60)
    active = some(kind, 2, 60)
    mine = sparse_decode(x, w_in, b_in, w_out.contiguous(), b_out, active)
    torch.testing.assert_close(mine, sparse_decode_reference(x, w_in, b_in, w_out, b_out, active))


def test_inputs_are_not_changed():
    tensors, active = network(2, 20, 60), some("shared", 2, 60)
    before = [t.clone() for t in (*tensors, active)]
    sparse_decode(*tensors, active)
    assert all(torch.equal(a, b) for a, b in zip((*tensors, active), before, strict=True))


@pytest.mark.parametrize("kind", SETS)
@pytest.mark.parametrize("where", range(5))
def test_nan_and_infinity_come_out_as_in_the_plain_network(where, kind):
    everything = {"whole": None, "shared": torch.arange(30), "each": torch.arange(30).expand(3, -1)}[kind]
    for bad in (float("nan"), float("inf"), -float("inf")):
        tensors = [t.clone() for t in network(3, 8, 30, threshold=-9)]  # every neuron fires, so every weight counts
        tensors[where][(0,) * tensors[where].ndim] = bad
        tensors[3] = neuron_major(tensors[3])
        mine, theirs = sparse_decode(*tensors, everything), dense(*tensors)
        torch.testing.assert_close(mine, theirs, equal_nan=True)
        assert not torch.isfinite(mine).all() or bad < 0


@pytest.mark.parametrize("kind", ["shared", "each"])
def test_what_is_outside_of_the_set_is_not_seen(kind):
    tensors, active = [t.clone() for t in network(2, 8, 30)], torch.arange(1, 30)
    active = active if kind == "shared" else active.expand(2, -1)
    expected = sparse_decode(*tensors, active)
    for tensor, place in ((tensors[1], 0), (tensors[2], 0), (tensors[3], (slice(None), 0))):
        tensor[place] = float("nan")
    assert torch.equal(sparse_decode(*tensors, active), expected)


def test_autocast_is_followed():
    tensors, active = network(2, 20, 60, torch.float32), some("shared", 2, 60)
    with torch.autocast("cpu", torch.bfloat16):
        mine = sparse_decode(*tensors, active)
    assert mine.dtype == torch.bfloat16
    torch.testing.assert_close(mine.float(), sparse_decode(*tensors, active), atol=0.05, rtol=0.05)


def test_fast_and_differentiable_paths_agree():
    tensors, active = network(3, 20, 60), some("each", 3, 60)
    torch.testing.assert_close(path.given(*tensors, active), path.plain(*tensors, active))


@pytest.mark.usefixtures("as_users_run")
def test_a_wrong_set_is_named():
    tensors = network(2, 6, 10)
    for active, error, says in [
        (torch.ones(10, dtype=torch.bool), TypeError, r"convert with mask\.nonzero"),
        (torch.arange(3.0), TypeError, r"got torch\.float32: convert with \.long"),
        (torch.tensor(3), ValueError, r"active must be \(n,\) or \(2, n\), a row for each token; got \(\)"),
        (torch.zeros(3, 4, dtype=torch.int64), ValueError, r"\(2, n\), a row for each token; got \(3, 4\)"),
        (torch.tensor([2, 2]), ValueError, r"ascend without repeats.*use active\.unique\(\)"),
        (torch.tensor([4, 1]), ValueError, "ascend without repeats"),
        (torch.tensor([[0, 1], [3, 2]]), ValueError, r"use active\.sort\(-1\)"),
        (torch.tensor([2, 10]), ValueError, "active holds 2 to 10, but neurons are 0 to 9"),
        (torch.tensor([[0, 1], [-1, 2]]), ValueError, "active holds -1 to 2"),
        (torch.zeros(3, dtype=torch.int64, device="meta"), ValueError, "active is on meta and x on cpu"),
    ]:
        with pytest.raises(error, match=says):
            sparse_decode(*tensors, active)
    with pytest.raises((IndexError, RuntimeError)):
        sparse_decode(*tensors, torch.tensor([2, 10]), check=False)


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named(monkeypatch):
    x, w_in, b_in, w_out, b_out = network(2, 6, 10)
    for arguments, error, says in [
        ((x[:, 1:], w_in, b_in, w_out, b_out), ValueError, r"w_in must be \(d_ff, d\)"),
        ((x, w_in, b_in, w_out.T, b_out), ValueError, r"w_out must be \(d, d_ff\)"),
        ((x[0], w_in, b_in, w_out, b_out), ValueError, "flatten the axes in front"),
        ((x.long(), w_in, b_in, w_out, b_out), TypeError, "x must be floating point"),
    ]:
        with pytest.raises(error, match=says):
            sparse_decode(*arguments)
    with pytest.raises(ValueError, match="method must be one of auto, torch, triton"):
        sparse_decode(x, w_in, b_in, w_out, b_out, method="gather")
    monkeypatch.setattr("featlib.kernels.optional.has_triton", lambda: False)
    with pytest.raises(RuntimeError, match="triton is not installed"):
        sparse_decode(x, w_in, b_in, w_out, b_out, method="triton")
