"""The Triton path, under the interpreter where there is no GPU: the flag must be set before triton is imported, so each
test body runs in a process of its own."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="triton is not installed (pip install triton)")

BODY = """
import torch
from featlib.kernels import tv_prox
from featlib.kernels.tv_prox import tv_dual
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
generator = torch.Generator().manual_seed(0)

def rand(*shape):
    return torch.rand(*shape, generator=generator).to(DEVICE)
"""

CASES = {
    "the_same_as_torch_step_by_step": """
for shape in [(2, 1, 7, 11), (1, 3, 17, 70), (1, 1, 1, 5), (2, 2, 20, 1)]:
    y = rand(*shape)
    for weight in (0.05, torch.linspace(0.0, 0.3, shape[0]).to(DEVICE)):
        for n in (0, 1, 4):
            mine, theirs = tv_dual(y), tv_dual(y)
            a = tv_prox(y, weight, n, dual=mine, method="triton")
            b = tv_prox(y, weight, n, dual=theirs, method="torch")
            assert (a - b).abs().max() < 1e-5, (shape, n)
""",
    "a_warm_start_in_a_view": """
y = rand(1, 2, 12, 20)
duals = [tv_dual(y), tv_dual(y)]
for dual, method in zip(duals, ("triton", "torch")):
    tv_prox(y, 0.2, 3, dual=dual, method=method)
    x = tv_prox(y[..., 2:10, 3:18], 0.02, 3, dual=dual[..., 2:10, 3:18], method=method)
# what lies beyond the last row or column of a window is never read, and is all that may differ
inner = [dual[..., 2:9, 3:17] for dual in duals]
assert (inner[0] - inner[1]).abs().max() < 1e-5
""",
    "refuses_float64": """
try:
    tv_prox(rand(1, 1, 4, 4).double(), 0.1, method="triton")
except TypeError as error:
    assert "use method='torch'" in str(error)
else:
    raise AssertionError("rounded float64")
""",
}


def run(code, interpret):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment.pop("TRITON_INTERPRET", None)
    if interpret:
        environment["TRITON_INTERPRET"] = "1"
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_or_compiled(case):
    done = run(BODY + CASES[case], interpret=not torch.cuda.is_available())
    assert done.returncode == 0, done.stderr[-1500:]


@needs_triton
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to run on")
def test_without_gpu_and_interpreter_it_says_so():
    code = "import torch; from featlib.kernels import tv_prox; tv_prox(torch.rand(1, 1, 5, 5), 0.1, method='triton')"
    done = run(code, interpret=False)
    assert "needs images on a GPU" in done.stderr.splitlines()[-1]
