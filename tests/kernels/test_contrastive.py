"""Contrastive losses without the matrix of similarities, against loops in float64, the dense forms and each other."""

import copy
import math
from itertools import accumulate

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pytorch_metric_learning.losses import NTXentLoss, SelfSupervisedLoss, SupConLoss
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from featlib.kernels import info_nce, supcon
from featlib.kernels.contrastive import tiles
from featlib.kernels.contrastive.partition import _backward, _forward
from featlib.kernels.contrastive.reference import info_nce_reference, supcon_reference
from featlib.training import losses

SIZES = [(2, 1), (3, 5), (13, 7), (40, 3), (67, 33)]
TEMPERATURES = [0.5, 0.07, 0.01]  # the last is too small for one shift: rows keep maxima of their own


def unit(batch, d, seed=0, dtype=torch.float64):
    z = torch.randn(batch, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return functional.normalize(z, dim=-1).to(dtype)


def some_labels(batch, classes=3, seed=1):
    return torch.randint(classes, (batch,), generator=torch.Generator().manual_seed(seed))


def with_gradients(function, *leaves):
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    value = function(*leaves)
    return [value.detach(), *torch.autograd.grad(value, leaves)]


def close(mine, theirs, tolerance):
    for a, b in zip(mine, theirs, strict=True):
        scale = float(b.double().norm()) or 1.0
        assert float((a.double() - b.double()).norm()) <= tolerance * scale


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 8)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("size", SIZES)
def test_supcon_equals_a_loop_over_anchors_and_positives(size, temperature):
    z, y = unit(*size), some_labels(size[0])
    mine = with_gradients(lambda z: supcon(z, y, temperature), z)
    close(mine, with_gradients(lambda z: supcon_reference(z, y, temperature), z), 1e-10)
    close(mine, with_gradients(lambda z: losses.supcon(z, y, temperature), z), 1e-10)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("size", SIZES)
def test_info_nce_equals_a_loop_over_rows(size, temperature):
    views = unit(*size), unit(*size, seed=1)
    mine = with_gradients(lambda a, b: info_nce(a, b, temperature), *views)
    close(mine, with_gradients(lambda a, b: info_nce_reference(a, b, temperature), *views), 1e-10)
    close(mine, with_gradients(lambda a, b: losses.info_nce(a, b, temperature), *views), 1e-10)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_single_precision_against_the_dense_form_in_double(temperature):
    z, y = unit(1100, 48), some_labels(1100, 20)
    mine = with_gradients(lambda z: supcon(z, y, temperature), z.float())
    close(mine, with_gradients(lambda z: losses.supcon(z, y, temperature), z), 1e-5)
    views = z[:550], z[550:]
    mine = with_gradients(lambda a, b: info_nce(a, b, temperature), *(v.float() for v in views))
    close(mine, with_gradients(lambda a, b: losses.info_nce(a, b, temperature), *views), 1e-5)


def rows_of_any_length(batch, d, seed=0):
    """The library normalises by itself: so do we, and both gradients pass through it."""
    return torch.randn(batch, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("temperature", TEMPERATURES)
@pytest.mark.parametrize("classes", [3, 30])  # of thirty, some have one row: it is nobody's positive
def test_supcon_equals_pytorch_metric_learning(temperature, classes):
    rows, y = rows_of_any_length(67, 33), some_labels(67, classes)
    mine = with_gradients(lambda rows: supcon(functional.normalize(rows), y, temperature), rows)
    close(mine, with_gradients(lambda rows: SupConLoss(temperature=temperature)(rows, y), rows), 1e-9)


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_info_nce_equals_pytorch_metric_learning(temperature):
    views = rows_of_any_length(31, 17), rows_of_any_length(31, 17, seed=1)
    mine = with_gradients(lambda a, b: info_nce(functional.normalize(a), functional.normalize(b), temperature), *views)
    theirs = SelfSupervisedLoss(NTXentLoss(temperature=temperature))
    close(mine, with_gradients(theirs, *views), 1e-9)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half])
def test_half_precisions_are_computed_in_single(dtype):
    z, y = unit(90, 16, dtype=dtype), some_labels(90)
    mine = with_gradients(lambda z: supcon(z, y, 0.1), z)
    assert all(t.dtype == dtype for t in mine)
    close(mine, with_gradients(lambda z: losses.supcon(z, y, 0.1), z.double()), 1e-2)


def test_autocast_changes_nothing():
    z, y = unit(30, 16, dtype=torch.float32), some_labels(30)
    plain = with_gradients(lambda z: supcon(z, y, 0.1), z)
    with torch.autocast("cpu", torch.bfloat16):
        inside = with_gradients(lambda z: supcon(z, y, 0.1), z)
    assert all(torch.equal(a, b) for a, b in zip(plain, inside, strict=True))


@pytest.mark.usefixtures("small_tiles")
@pytest.mark.parametrize("temperature", [0.5, 0.01])
def test_gradients_against_finite_differences(temperature):
    z, y = unit(11, 4).requires_grad_(), some_labels(11)
    assert torch.autograd.gradcheck(lambda z: supcon(z, y, temperature), z, eps=1e-7, atol=1e-5)
    views = [v.clone().requires_grad_() for v in (unit(6, 3), unit(6, 3, seed=1))]
    assert torch.autograd.gradcheck(lambda a, b: info_nce(a, b, temperature), views, eps=1e-7, atol=1e-5)


@pytest.mark.parametrize("strided", [False, True])
def test_torch_knows_the_operation(strided):
    z = unit(9, 6)[:, ::2] if strided else unit(9, 6)
    torch.library.opcheck(_forward, (z.clone().requires_grad_(), 0.5, "torch"))
    lam = _forward(z, 0.5, "torch")
    torch.library.opcheck(_backward, (z, lam, torch.rand(9, dtype=z.dtype), 0.5, "torch"))


# What the losses are.


def test_distinct_labels_in_two_views_make_supcon_info_nce():
    a, b = unit(12, 5), unit(12, 5, seed=1)
    pairs = torch.arange(100, 112).repeat(2)
    torch.testing.assert_close(supcon(torch.cat([a, b]), pairs, 0.3), info_nce(a, b, 0.3))


def test_equal_rows_give_the_logarithm_of_the_number_of_others():
    z = unit(1, 6).expand(10, 6)
    assert float(supcon(z, some_labels(10))) == pytest.approx(math.log(9))


@settings(max_examples=30, deadline=None)
@given(batch=st.integers(2, 20), classes=st.integers(1, 4), seed=st.integers(0, 1000))
def test_order_names_and_rotations_do_not_matter(batch, classes, seed):
    z, y = unit(batch, 4, seed), some_labels(batch, classes, seed)
    order = torch.randperm(batch, generator=torch.Generator().manual_seed(seed))
    turn = torch.linalg.qr(unit(4, 4, seed + 1))[0]
    torch.testing.assert_close(supcon(z[order] @ turn, -7 * y[order] + 3), supcon(z, y))


def test_anchors_without_a_positive_do_not_count():
    """They are negatives of the others all the same."""
    z, y = unit(6, 4), torch.tensor([0, 0, 1, 1, 2, 3])
    each = [float(supcon_reference(z, torch.where(y == k, 0, torch.arange(6) + 9))) for k in (0, 1)]
    assert float(supcon(z, y)) == pytest.approx(sum(each) / 2)


@pytest.mark.parametrize("batch", [0, 1, 5])
def test_no_positive_at_all_is_no_loss(batch):
    value, gradient = with_gradients(lambda z: supcon(z, torch.arange(batch)), unit(batch, 3))
    assert float(value) == 0
    assert torch.equal(gradient, torch.zeros(batch, 3, dtype=torch.float64))


def test_rows_are_taken_as_they_are():
    z, y = 40 * unit(20, 6), some_labels(20)
    close(with_gradients(lambda z: supcon(z, y), z), with_gradients(lambda z: supcon_reference(z, y), z), 1e-10)
    assert float(supcon(z, y)) != pytest.approx(float(supcon(functional.normalize(z), y)))


def test_far_rows_overflow_nothing():
    z, y = 1e4 * unit(30, 6, dtype=torch.float32), some_labels(30)
    value, gradient = with_gradients(lambda z: supcon(z, y, 0.1), z)
    assert torch.isfinite(value)
    assert torch.isfinite(gradient).all()


def test_nan_is_not_hidden():
    z = unit(20, 6)
    z[3, 2] = math.nan
    assert supcon(z, some_labels(20)).isnan()


def test_strided_rows_and_a_scaled_gradient():
    wide = unit(24, 12)
    strided, y = wide.T.contiguous().T[::2, 1::3], some_labels(12)
    assert not strided.is_contiguous()
    torch.testing.assert_close(supcon(strided, y), supcon_reference(strided, y))
    leaf = strided.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(3 * supcon(leaf, y), leaf)
    expected = with_gradients(lambda z: supcon_reference(z, y), strided)[1]
    torch.testing.assert_close(gradient, 3 * expected)


# Memory.


class Largest(TorchDispatchMode):
    """Numbers of the largest tensor that appears."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return result


@pytest.mark.parametrize("temperature", [0.5, 0.01])
def test_no_matrix_of_similarities_exists(temperature, monkeypatch):
    monkeypatch.setattr(tiles, "SIDE", 16)
    z, y = unit(400, 6).requires_grad_(), some_labels(400)
    with Largest() as mine:
        lam = tiles.forward(z.detach(), temperature)
        tiles.backward(z.detach(), lam, torch.ones_like(lam), temperature)
    assert mine.numbers == 400 * 6
    with Largest() as dense:
        losses.supcon(z, y, temperature).backward()
    assert dense.numbers >= 400 * 400


def peak(function, z):
    leaf = z.clone().requires_grad_()
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        function(leaf).backward()
    events = [event for event in profile.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


def test_memory_grows_with_the_batch_and_not_with_its_square(monkeypatch):
    """Counted by the allocator over both passes."""
    monkeypatch.setattr(tiles, "SIDE", 64)
    peaks = {}
    for batch in (500, 2000):
        z, y = unit(batch, 32, dtype=torch.float32), some_labels(batch)
        peaks[batch] = peak(lambda z, y=y: supcon(z, y), z)
        assert peaks[batch] < 8 * batch * 32 * 4 + 8 * 64 * 64 * 4
    assert peaks[2000] < 4.5 * peaks[500]
    assert peak(lambda z: losses.supcon(z, y), z) > 2000 * 2000 * 4


# Errors.


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda z, y: supcon(z, y[:-1]), ValueError, "labels"),
        (lambda z, y: supcon(z[0], y), ValueError, "batch, d"),
        (lambda z, y: supcon(z, y, 0.0), ValueError, "temperature must be positive"),
        (lambda z, y: supcon(z, y, method="fast"), ValueError, "auto, torch, triton"),
        (lambda z, y: supcon(z.long(), y), TypeError, "z.float"),
        (lambda z, y: supcon(z, y.float()), TypeError, "labels.long"),
        (lambda z, y: supcon(z, y, method="triton"), RuntimeError, "use 'auto'|use method='auto'"),
        (lambda z, y: info_nce(z, z[:-1]), ValueError, "shape"),
        (lambda z, y: info_nce(z, z.float()), TypeError, "dtype"),
        (lambda z, y: info_nce(z[:0], z[:0]), ValueError, "no rows"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call(unit(6, 3), some_labels(6))


def test_a_copy_of_the_inputs_is_left_alone():
    z, y = unit(9, 4), some_labels(9)
    before = copy.deepcopy((z, y))
    supcon(z, y)
    assert torch.equal(z, before[0])
    assert torch.equal(y, before[1])
