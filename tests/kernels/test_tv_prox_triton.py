"""The Triton path of the total-variation denoiser."""

import pytest
from triton_runner import needs_triton, passes, without_gpu_says

BODY = """
from featlib.kernels import tv_prox
from featlib.kernels.tv_prox import tv_dual
"""

CASES = {
    "the_same_as_torch_step_by_step": """
for shape in [(2, 1, 7, 11), (1, 3, 17, 70), (1, 1, 1, 5), (2, 2, 20, 1)]:
    y = uniform(*shape)
    for weight in (0.05, torch.linspace(0.0, 0.3, shape[0]).to(DEVICE)):
        for n in (0, 1, 4):
            mine, theirs = tv_dual(y), tv_dual(y)
            a = tv_prox(y, weight, n, dual=mine, method="triton")
            b = tv_prox(y, weight, n, dual=theirs, method="torch")
            assert (a - b).abs().max() < 1e-5, (shape, n)
""",
    "a_warm_start_in_a_view": """
y = uniform(1, 2, 12, 20)
duals = [tv_dual(y), tv_dual(y)]
for dual, method in zip(duals, ("triton", "torch")):
    tv_prox(y, 0.2, 3, dual=dual, method=method)
    x = tv_prox(y[..., 2:10, 3:18], 0.02, 3, dual=dual[..., 2:10, 3:18], method=method)
# what lies beyond the last row or column of a window is never read, and is all that may differ
inner = [dual[..., 2:9, 3:17] for dual in duals]
assert (inner[0] - inner[1]).abs().max() < 1e-5
""",
    "refuses_float64": """
refused(TypeError, "use method='torch'", tv_prox, uniform(1, 1, 4, 4).double(), 0.1, method="triton")
""",
}


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_or_compiled(case):
    passes(BODY + CASES[case])


@needs_triton
def test_without_gpu_and_interpreter_it_says_so():
    without_gpu_says(
        "from featlib.kernels import tv_prox; tv_prox(torch.rand(1, 1, 5, 5), 0.1, method='triton')",
        "needs images on a GPU",
    )
