"""The Triton selection."""

import pytest
from triton_runner import needs_triton, passes, without_gpu_says

BODY = """
from featlib.kernels import topk_mlp
from featlib.kernels.topk_mlp.select import select
from featlib.kernels.topk_mlp.triton import select_triton
from featlib.kernels.topk_mlp.reference import topk_mlp_reference

def selects(before, k):
    values, index = select_triton(before, k)
    expected, where = select(before, k)
    assert (index.diff(dim=1) > 0).all()
    order = where.sort(dim=1)
    assert torch.equal(values, expected.gather(1, order.indices))
    positive = values > 0
    assert torch.equal(index[positive], order.values[positive])
"""

CASES = {
    "selects_as_torch_does": """
for tokens, d_ff, k in [(3, 50, 7), (2, 64, 1), (1, 33, 32), (4, 2, 1), (2, 300, 150)]:
    before = normal(tokens, d_ff) + 3  # so that k fire everywhere
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        selects(before.to(dtype), k)
assert select_triton(normal(0, 9), 3)[0].shape == (0, 3)
""",
    "ties_zeros_infinities_and_signs": """
inf = float("inf")
rows = [[1, 2, 2, 2, 2, 0], [3, 1, 3, 1, 3, -3], [inf, 1e-45, inf, -inf, 5, -0.0], [1e-45, 2e-45, 0, 1, 1, 1]]
rows = torch.tensor(rows)
for k in (1, 2, 3, 4, 5):
    values, index = select_triton(rows.to(DEVICE), k)
    for row, found, mine in zip(rows.clamp_min(0).tolist(), index.tolist(), values.tolist()):
        assert found == sorted(sorted(range(6), key=lambda i: (-row[i], i))[:k]), (row, k, found)
        assert mine == [row[i] for i in found]
""",
    "nan_is_kept_whatever_its_sign": """
rows = torch.tensor([[1.0, float("nan"), 3, float("inf")], [1.0, -float("nan"), 3, 2]]).to(DEVICE)
values, index = select_triton(rows, 1)
assert values.isnan().all() and (index == 1).all()
""",
    "strided_rows": """
before = (normal(40, 9) + 2).T[1::2, ::2]
assert not before.is_contiguous()
selects(before, 5)
""",
    "output_and_gradients": """
tensors = normal(6, 12), normal(90, 12), normal(90), normal(12, 90), normal(12)
for k in (4, 40):
    same(lambda *t: topk_mlp(*t, k, method="triton"), lambda *t: topk_mlp_reference(*t, k), tensors)
""",
    "refuses_float64": """
tensors = (normal(2, 3), normal(9, 3), normal(9), normal(3, 9), normal(3))
refused(TypeError, "use method='torch'", topk_mlp, *(t.double() for t in tensors), 2, method="triton")
""",
}


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_or_compiled(case):
    passes(BODY + CASES[case])


@needs_triton
def test_without_gpu_and_interpreter_it_says_so():
    without_gpu_says(
        "from featlib.kernels import topk_mlp; a = torch.rand(5, 5); topk_mlp(a, a, None, a, None, 2, method='triton')",
        "needs tokens on a GPU",
    )
