"""The two programs of a decoding step."""

import pytest
from triton_runner import needs_triton, passes, without_gpu_says

BODY = """
from featlib.kernels import firing, neuron_major, sparse_decode
from featlib.kernels.sparse_decode.reference import sparse_decode_reference

def network(batch, d, d_ff, out, dtype=torch.float32, threshold=0.8, biases=True):
    x, w_in, w_out = normal(batch, d), normal(d_ff, d) / d**0.5, neuron_major(normal(out, d_ff) / d_ff**0.5)
    b_in, b_out = (0.1 * normal(d_ff) - threshold, normal(out)) if biases else (None, None)
    return [None if t is None else t.to(dtype) for t in (x, w_in, b_in, w_out, b_out)]

def decodes(tensors, active=None, tolerance=1e-6):
    mine = sparse_decode(*tensors, active, method="triton")
    theirs = sparse_decode_reference(*tensors, active)
    assert mine.dtype == tensors[0].dtype
    close(mine, theirs, tolerance)
"""

CASES = {
    "whole_and_given": """
sizes = [(1, 24, 96, 24, True), (3, 17, 51, 130, True), (2, 300, 7, 5, False), (1, 1, 1, 1, True)]
for batch, d, d_ff, out, biases in sizes:
    tensors = network(batch, d, d_ff, out, biases=biases)
    decodes(tensors)
    half = torch.arange(0, d_ff, 2, device=DEVICE)
    decodes(tensors, half)
    decodes(tensors, half.int())
    rows = [torch.randperm(d_ff, generator=generator)[: len(half)].sort().values for _ in range(batch)]
    decodes(tensors, torch.stack(rows).to(DEVICE))
    decodes(tensors, firing(*tensors[:3]))
""",
    "more_columns_than_all_splits_take_at_once": """
tensors = network(1, 4, 300, 3, threshold=-9)  # all fire: 300 columns, 8 programs of 16 at a time
decodes(tensors)
decodes(tensors, torch.arange(300, device=DEVICE))
""",
    "half_precisions": """
for dtype, tolerance in ((torch.bfloat16, 1e-2), (torch.float16, 1e-3)):
    tensors = network(2, 40, 200, 12, dtype, threshold=0.3)
    decodes(tensors, None, tolerance)
    decodes(tensors, torch.arange(50, 150, device=DEVICE), tolerance)
""",
    "strided": """
x, w_in, b_in, w_out, b_out = network(6, 20, 60, 20)
strided = [x[::2, 1::2], w_in[1::3, ::2], b_in[1::3], w_out[::2, 1::3], b_out[::2]]
assert not any(t.is_contiguous() for t in strided)
decodes(strided)
decodes(strided, torch.arange(20, device=DEVICE)[::2])
decodes([x, w_in, b_in, w_out.contiguous(), b_out])
""",
    "silent_empty_and_full": """
x, w_in, b_in, w_out, b_out = network(2, 12, 40, 6)
assert torch.equal(sparse_decode(x, w_in, b_in - 100, w_out, b_out, method="triton"), b_out.expand(2, -1))
decodes([x, w_in, b_in + 100, w_out, b_out])
none = torch.zeros(0, dtype=torch.int64, device=DEVICE)
assert torch.equal(sparse_decode(x, w_in, b_in, w_out, b_out, none, method="triton"), b_out.expand(2, -1))
assert sparse_decode(x[:0], w_in, b_in, w_out, b_out, method="triton").shape == (0, 6)
assert sparse_decode(x, w_in[:0], b_in[:0], w_out[:, :0], None, method="triton").tolist() == [[0.0] * 6] * 2
decodes([x[:, :0], w_in[:, :0], b_in + 1, w_out, b_out])
""",
    "nan_and_infinity_come_out_as_in_the_plain_network": """
everything = torch.arange(30, device=DEVICE)
for where in range(5):
    for bad in (float("nan"), float("inf"), -float("inf")):
        tensors = [t.clone() for t in network(1, 8, 30, 4, threshold=-9)]
        tensors[where][(0,) * tensors[where].ndim] = bad
        x, w_in, b_in, w_out, b_out = tensors
        plain = torch.nn.functional.linear(torch.relu(torch.nn.functional.linear(x, w_in, b_in)), w_out, b_out)
        for active in (None, everything):
            mine = sparse_decode(*tensors, active, method="triton")
            torch.testing.assert_close(mine, plain, equal_nan=True, atol=1e-4, rtol=1e-4)
""",
    "an_unchecked_set_reads_nothing_foreign": """
tensors = network(1, 8, 30, 4)
inside = sparse_decode(*tensors, torch.tensor([3, 9], device=DEVICE), method="triton")
wrong = torch.tensor([-5, 3, 9, 30, 2**31 - 1], device=DEVICE)
assert torch.equal(sparse_decode(*tensors, wrong, method="triton", check=False), inside)
""",
    "refuses_float64_and_gradients": """
tensors = network(1, 3, 9, 3)
refused(TypeError, "use method='torch'", sparse_decode, *(t.double() for t in tensors), method="triton")
learning = [t.requires_grad_() for t in network(1, 3, 9, 3)]
refused(ValueError, "has no gradient", sparse_decode, *learning, method="triton")
with torch.no_grad():
    sparse_decode(*tensors, method="triton")
""",
}


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_or_compiled(case):
    passes(BODY + CASES[case])


@needs_triton
def test_without_gpu_and_interpreter_it_says_so():
    without_gpu_says(
        "from featlib.kernels import sparse_decode as f; a = torch.rand(5, 5); f(a, a, None, a, None, method='triton')",
        "needs tokens on a GPU",
    )
