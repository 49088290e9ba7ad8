"""The Triton denominators and their gradient, under the interpreter where there is no GPU: the flag must be set before
triton is imported, so each test body runs in a process of its own."""

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
from torch.nn import functional
from featlib.kernels import info_nce, supcon
from featlib.kernels.contrastive.reference import info_nce_reference, supcon_reference
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
generator = torch.Generator().manual_seed(0)

def unit(*shape):
    return functional.normalize(torch.randn(*shape, generator=generator), dim=1).to(DEVICE)

def same(mine, theirs, *leaves):
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    a, b = mine(*leaves), theirs(*doubles)
    assert abs(float(a) - float(b)) < 1e-5 * abs(float(b)) + 1e-6, (a, b)
    for x, y in zip(torch.autograd.grad(a, leaves), torch.autograd.grad(b, doubles)):
        assert float((x.double() - y).norm()) < 1e-5 * float(y.norm()) + 1e-7
"""

CASES = {
    "value_and_gradient_at_odd_sizes": """
for batch, d in [(2, 1), (33, 7), (70, 20), (65, 130)]:
    y = torch.randint(3, (batch,), generator=generator).to(DEVICE)
    same(lambda z: supcon(z, y, 0.5, method="triton"), lambda z: supcon_reference(z, y, 0.5), unit(batch, d))
""",
    "small_temperatures_and_long_rows": """
y = torch.arange(40).to(DEVICE) % 4
same(lambda z: supcon(z, y, 0.01, method="triton"), lambda z: supcon_reference(z, y, 0.01), unit(40, 6))
same(lambda z: supcon(z, y, 0.5, method="triton"), lambda z: supcon_reference(z, y, 0.5), 10 * unit(40, 6))
""",
    "two_views": """
views = unit(21, 9), unit(21, 9)
same(lambda a, b: info_nce(a, b, 0.2, method="triton"), lambda a, b: info_nce_reference(a, b, 0.2), *views)
""",
    "strided_and_alone": """
y = torch.arange(16).to(DEVICE) // 2
wide = unit(32, 24)
strided = wide[::2, 1::3]
assert not strided.is_contiguous()
found = supcon(strided, y, method="triton")
assert abs(float(found) - float(supcon_reference(strided, y))) < 1e-5
for batch in (0, 1):
    z = unit(1, 3)[:batch].requires_grad_()
    loss = supcon(z, torch.arange(batch).to(DEVICE), method="triton")
    loss.backward()
    assert float(loss) == 0 and bool((z.grad == 0).all())
""",
    "what_it_cannot_hold_is_refused": """
y = torch.arange(4).to(DEVICE)
for z in (unit(4, 257), unit(4, 3).double()):
    try:
        supcon(z, y, method="triton")
    except RuntimeError as error:
        assert "use 'auto'" in str(error)
    else:
        raise AssertionError("ran")
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
    code = (
        "import torch; from featlib.kernels import supcon; "
        "supcon(torch.eye(4), torch.tensor([0, 0, 1, 1]), method='triton')"
    )
    done = run(code, interpret=False)
    assert "needs rows on a GPU" in done.stderr.splitlines()[-1]
