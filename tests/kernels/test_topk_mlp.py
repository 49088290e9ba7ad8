"""The network that keeps k activations, against numpy's partition, a sort by hand and the plain network."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from featlib.kernels import neuron_major, topk_mlp
from featlib.kernels.chosen import chosen_products, chosen_sums
from featlib.kernels.topk_mlp import gradient
from featlib.kernels.topk_mlp.reference import topk_mlp_reference
from featlib.kernels.topk_mlp.select import select

# tokens, d, d_ff, k: some take the way over single rows (k small beside d_ff), the others the dense one
SIZES = [(7, 12, 96, 5), (3, 17, 51, 20), (8, 30, 7, 6), (2, 1, 9, 1), (1, 5, 40, 3), (5, 13, 60, 1), (4, 6, 2, 1)]


def network(tokens, d, d_ff, dtype=torch.float64, seed=0, biases=True):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, w_in, w_out = normal(tokens, d), normal(d_ff, d) / d**0.5, neuron_major(normal(d, d_ff) / d**0.5)
    tensors = x, w_in, 0.3 * normal(d_ff), w_out, normal(d)
    tensors = tensors if biases else (*tensors[:2], None, tensors[3], None)
    return tuple(None if t is None else t.to(dtype) for t in tensors)


def plain(x, w_in, b_in, w_out, b_out):
    return functional.linear(torch.relu(functional.linear(x, w_in, b_in)), w_out, b_out)


def with_mask(x, w_in, b_in, w_out, b_out, k):
    """What people write: scatter the top k into zeros, and let autograd keep everything."""
    activations = torch.relu(functional.linear(x, w_in, b_in))
    values, index = activations.topk(k, dim=-1)
    return functional.linear(torch.zeros_like(activations).scatter(-1, index, values), w_out, b_out)


@pytest.mark.parametrize("size", SIZES)
def test_forward_equals_numpys_partition(size):
    *shape, k = size
    x, w_in, b_in, w_out, b_out = (t.numpy() for t in network(*shape))
    activations = np.maximum(x @ w_in.T + b_in, 0)
    limit = np.partition(activations, -k, axis=1)[:, -k, None]
    expected = np.where(activations >= limit, activations, 0) @ w_out.T + b_out
    np.testing.assert_allclose(topk_mlp(*network(*shape), k), expected, atol=1e-12)


@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_output_and_every_gradient_equal_the_reference(size, biases):
    *shape, k = size
    found = []
    for function in (topk_mlp, topk_mlp_reference):
        tensors = [None if t is None else t.requires_grad_() for t in network(*shape, biases=biases)]
        output = function(*tensors, k)
        weight = torch.randn(output.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        (output**2 * weight).sum().backward()
        found.append([output] + [t.grad for t in tensors if t is not None])
    for mine, theirs in zip(*found, strict=True):
        torch.testing.assert_close(mine, theirs)


@pytest.mark.parametrize("size", [(3, 5, 30, 2), (3, 4, 9, 4), (2, 3, 1, 1), (2, 4, 6, 6)])
def test_gradients_against_finite_differences(size):
    *shape, k = size
    tensors = [t.requires_grad_() for t in network(*shape)]
    assert torch.autograd.gradcheck(lambda *t: topk_mlp(*t, k), tensors)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.half])
def test_all_neurons_are_the_plain_network_bit_for_bit(dtype):
    found = []
    for function in (plain, lambda *t: topk_mlp(*t, len(t[1]))):
        tensors = [t.requires_grad_() for t in network(9, 33, 70, dtype)]
        output = function(*tensors)
        output.sum().backward()
        found.append([output] + [t.grad for t in tensors])
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(*found, strict=True))


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-6), (torch.bfloat16, 1e-2), (torch.half, 2e-3)]
)
@pytest.mark.parametrize("k", [20, 300])
def test_each_precision_has_its_own_error(k, dtype, tolerance, monkeypatch):
    """Activations are whole numbers, so that all precisions keep the same neurons; and there are many pieces to sum."""
    monkeypatch.setattr(gradient, "PIECE", 600)
    generator = torch.Generator().manual_seed(0)
    x = torch.eye(16).repeat(12, 1)
    w_in = torch.randperm(600 * 16, generator=generator).view(600, 16).remainder(257) - 60.0
    w_out, weight = torch.randn(8, 600, generator=generator), torch.rand(192, 8, generator=generator)
    found = []
    for function, wide in ((topk_mlp, dtype), (topk_mlp_reference, torch.float64)):
        # the reference starts from the same rounded numbers
        tensors = [t.to(dtype).to(wide).detach().requires_grad_() for t in (x, w_in, w_out)]
        output = function(tensors[0], tensors[1], None, tensors[2], None, k)
        (output.double() * weight.to(dtype)).sum().backward()
        found.append([output.detach().double()] + [t.grad.double() for t in tensors])
    for mine, theirs in zip(*found, strict=True):
        assert float((mine - theirs).norm() / theirs.norm()) < tolerance


@pytest.mark.parametrize("wanted", range(5))
def test_one_gradient_alone(wanted):
    tensors = network(4, 10, 40)
    tensors[wanted].requires_grad_()
    (mine,) = torch.autograd.grad(topk_mlp(*tensors, 3).square().sum(), tensors[wanted])
    (theirs,) = torch.autograd.grad(with_mask(*tensors, 3).square().sum(), tensors[wanted])
    torch.testing.assert_close(mine, theirs)


# Ties, zeros and what is no number.


def rows_of(*rows):
    return torch.tensor(rows, dtype=torch.float32)


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_exactly_k_are_kept_and_the_first_of_equals(k):
    before = rows_of([1, 2, 2, 2, 2], [3, 1, 3, 1, 3], [5, 4, 3, 2, 1], [-1, 7, 7, -2, 7])
    _, index = select(before, k)
    expected = [[1, 2, 3, 4][:k], [0, 2, 4, 1][:k], [0, 1, 2, 3][:k], [1, 2, 4][:k]]
    for row, mine, theirs in zip(before, index, expected, strict=True):
        kept = [int(i) for i in mine if row[i] > 0]
        assert sorted(kept) == sorted(theirs)
        assert len(set(mine.tolist())) == k


def test_ties_in_the_network():
    """Four neurons are the same; two are kept, the first, and only they have gradients."""
    w_in = torch.ones(4, 3, requires_grad=True)
    w_out = torch.eye(4, dtype=torch.float32, requires_grad=True)
    output = topk_mlp(torch.ones(2, 3), w_in, None, w_out, None, 2)
    assert output.tolist() == [[3, 3, 0, 0]] * 2
    output.sum().backward()
    assert w_in.grad.tolist() == [[2] * 3, [2] * 3, [0] * 3, [0] * 3]
    assert w_out.grad.tolist() == [[6, 6, 0, 0]] * 4


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(-2, 3), min_size=6, max_size=6), min_size=1, max_size=5), st.integers(1, 5))
def test_selection_equals_a_sort_by_hand(rows, k):
    values, index = select(rows_of(*rows), k)
    for row, mine, found in zip(rows, index, values, strict=True):
        relu = [max(0, number) for number in row]
        expected = sorted(range(6), key=lambda i: (-relu[i], i))[:k]
        assert {int(i) for i in mine if relu[i]} == {i for i in expected if relu[i]}
        assert found.tolist() == [relu[i] for i in mine]


def test_fewer_than_k_fire():
    x, w_in, b_in, w_out, b_out = network(3, 6, 50)
    b_in = torch.full((50,), -100.0, dtype=torch.float64)
    silent = topk_mlp(x, w_in, b_in.requires_grad_(), w_out, b_out, 4)
    torch.testing.assert_close(silent, b_out.expand(3, -1), rtol=0, atol=0)
    silent.sum().backward()
    assert (b_in.grad == 0).all()


@pytest.mark.parametrize("k", [3, 30])
def test_nan_and_infinity_spread_as_in_the_plain_network(k):
    tensors = [t.clone() for t in network(3, 8, 40)]
    tensors[0][1, 2] = float("inf")  # many neurons are infinite and tie
    output = topk_mlp(*tensors, k)
    torch.testing.assert_close(output, topk_mlp_reference(*tensors, k), equal_nan=True)
    tensors[0][1, 2] = float("nan")
    output = topk_mlp(*tensors, k)
    assert output[1].isnan().all()
    assert torch.isfinite(output[[0, 2]]).all()


# Memory.


def saved_bytes(function, tensors):
    """Bytes that autograd keeps between the passes, each storage once, less what the caller holds anyway."""
    held, kept = {t.untyped_storage().data_ptr() for t in tensors}, {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in held:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = function(*tensors)
    return sum(kept.values()), output


def test_only_k_values_and_small_indices_are_kept():
    tensors = [t.requires_grad_() for t in network(64, 24, 1000, torch.float32)]
    mine, output = saved_bytes(lambda *t: topk_mlp(*t, 40), tensors)
    assert mine == 64 * 40 * (4 + 2)
    theirs, _ = saved_bytes(lambda *t: with_mask(*t, 40), tensors)
    assert theirs >= 2 * 64 * 1000 * 4  # activations and kept activations
    output.sum().backward()


def test_nothing_else_is_kept_either():
    """Counted by the allocator, so that what no hook sees is seen: all that is alive after the forward pass."""
    tensors = [t.requires_grad_() for t in network(64, 24, 1000, torch.float32)]
    alive = []
    for function in (topk_mlp, with_mask):
        with torch.autograd.profiler.profile(profile_memory=True) as profile:
            output = function(*tensors, 40)
        alive.append(sum(event.nbytes() for event in profile.kineto_results.events() if event.name() == "[memory]"))
        assert output.shape == (64, 24)
    assert alive[0] == 64 * 40 * (4 + 2) + 64 * 24 * 4
    assert alive[1] > 15 * alive[0]


def test_many_neurons_need_wider_indices():
    """Neuron 32768 is the first whose index a signed 16-bit number cannot hold."""
    for d_ff, size in ((2**15, 2), (2**15 + 1, 4)):
        w_in = torch.arange(float(d_ff))[:, None].requires_grad_()
        w_out = torch.ones(1, d_ff)
        kept, output = saved_bytes(lambda w, v: topk_mlp(torch.ones(3, 1), w, None, v, None, 2), [w_in, w_out])
        assert kept - 3 * 4 == 3 * 2 * (4 + size)
        assert output.tolist() == [[2 * d_ff - 3.0]] * 3
        output.sum().backward()
        assert w_in.grad.nonzero()[:, 0].tolist() == [d_ff - 2, d_ff - 1]


@pytest.mark.parametrize("k", [3, 30])
def test_pieces_and_layouts_do_not_matter(k, monkeypatch):
    results = []
    for numbers, many in ((1, 1), (7 * 50, 1), (2**22, 1000)):
        monkeypatch.setattr(gradient, "PIECE", numbers)
        monkeypatch.setattr(gradient, "MANY", many)
        tensors = [t.contiguous().requires_grad_() for t in network(23, 9, 50)]
        output = topk_mlp(*tensors, k)
        output.square().sum().backward()
        results.append([output] + [t.grad for t in tensors])
    for other in results[:2]:
        for mine, theirs in zip(other, results[2], strict=True):
            torch.testing.assert_close(mine, theirs)


def test_no_array_of_tokens_by_neurons_exists(monkeypatch):
    """The largest tensor that either pass makes is one piece."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Largest(TorchDispatchMode):
        numbers = 0

        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            result = function(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor) and result.layout is torch.strided:
                Largest.numbers = max(Largest.numbers, result.numel())
            return result

    monkeypatch.setattr(gradient, "PIECE", 8 * 400)
    for k in (5, 200):
        Largest.numbers = 0
        tensors = [t.requires_grad_() for t in network(300, 6, 400)]
        with Largest():
            topk_mlp(*tensors, k).sum().backward()
        assert 8 * 400 <= Largest.numbers <= max(8 * 400, 300 * k)


# Shapes, layouts, surroundings.


@pytest.mark.parametrize("shape", [(6,), (0, 6), (2, 0, 6), (2, 3, 6), (1, 2, 3, 6)])
def test_any_axes_in_front(shape):
    x = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    tensors = network(1, 6, 50)[1:]
    output = topk_mlp(x, *tensors, 3)
    assert output.shape == shape
    torch.testing.assert_close(output, topk_mlp_reference(x, *tensors, 3))
    output.sum().backward()
    assert x.grad.shape == shape


@pytest.mark.parametrize("k", [2, 15])
def test_strided_inputs(k):
    x, w_in, b_in, w_out, b_out = network(6, 20, 90)
    strided = [x[::2, 1::2], w_in[1::3, ::2], b_in[1::3], w_out[::2, 1::3], b_out[::2]]
    assert not any(t.is_contiguous() for t in strided)
    leaves = [t.detach().clone(memory_format=torch.preserve_format).requires_grad_() for t in strided]
    mine, theirs = topk_mlp(*strided, k), topk_mlp_reference(*leaves, k)
    torch.testing.assert_close(mine, theirs)
    for t in strided:
        t.requires_grad_()
    gradients = [torch.autograd.grad(f(*ts, k).sin().sum(), ts) for f, ts in ((topk_mlp, strided), (with_mask, leaves))]
    for mine, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_autocast_casts_as_for_the_plain_network():
    tensors = [t.requires_grad_() for t in network(5, 20, 300, torch.float32)]
    with torch.autocast("cpu", torch.bfloat16):
        mine, theirs = topk_mlp(*tensors, 8), with_mask(*tensors, 8)
    assert mine.dtype == theirs.dtype == torch.bfloat16
    torch.testing.assert_close(mine, theirs, rtol=0.05, atol=0.05)
    mine.sum().backward()
    assert all(t.grad.dtype == torch.float32 for t in tensors)


def test_shapes_without_data():
    tensors = [t.to("meta") for t in network(5, 20, 300)]
    assert topk_mlp(*tensors, 8).shape == (5, 20)


@pytest.mark.parametrize("k", [3, 30])
def test_rows_that_each_token_chooses(k):
    """The two helpers against plain indexing, where few rows are chosen and where many are, in both layouts."""
    generator = torch.Generator().manual_seed(0)
    x, rows = torch.randn(5, 7, generator=generator), torch.randn(60, 7, generator=generator)
    index = torch.stack([torch.randperm(60, generator=generator)[:k] for _ in range(5)])
    values = torch.randn(5, k, generator=generator)
    for layout in (rows, rows.T.contiguous().T):
        torch.testing.assert_close(chosen_products(x, layout, index), torch.einsum("td,tkd->tk", x, rows[index]))
        torch.testing.assert_close(chosen_sums(values, layout, index), torch.einsum("tk,tkd->td", values, rows[index]))


@settings(max_examples=30, deadline=None)
@given(tokens=st.integers(1, 5), d_ff=st.integers(2, 40), data=st.data(), seed=st.integers(0, 10_000))
def test_more_kept_never_fits_the_plain_network_worse(tokens, d_ff, data, seed):
    """With V the identity the error is the length of what was dropped."""
    k = data.draw(st.integers(1, d_ff - 1))
    x, w_in, b_in, _, _ = network(tokens, 4, d_ff, seed=seed)
    identity = torch.eye(d_ff, dtype=torch.float64)
    whole = plain(x, w_in, b_in, identity, None)
    fewer, more = ((topk_mlp(x, w_in, b_in, identity, None, n) - whole).norm(dim=1) for n in (k, k + 1))
    assert (more <= fewer).all()
    assert ((topk_mlp(x, w_in, b_in, identity, None, k) > 0).sum(1) <= k).all()


@pytest.mark.usefixtures("as_users_run")
def test_bad_input_is_named(monkeypatch):
    tensors = network(2, 6, 10)
    for k in (0, 11, -1):
        with pytest.raises(ValueError, match=f"k must be between 1 and d_ff = 10, got {k}"):
            topk_mlp(*tensors, k)
    with pytest.raises(ValueError, match="method must be one of auto, torch, triton"):
        topk_mlp(*tensors, 3, method="sort")
    with pytest.raises(ValueError, match=r"w_in must be \(d_ff, d\)"):
        topk_mlp(tensors[0][:, 1:], *tensors[1:], 3)
    with pytest.raises(TypeError, match="x must be floating point"):
        topk_mlp(tensors[0].long(), *tensors[1:], 3)
    monkeypatch.setattr("featlib.kernels.optional.has_triton", lambda: False)
    with pytest.raises(RuntimeError, match="pip install triton"):
        topk_mlp(*tensors, 3, method="triton")
