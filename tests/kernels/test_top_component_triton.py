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
from featlib.kernels import top_component
from featlib.kernels.top_component import triton as path
from featlib.kernels.top_component.reference import top_component_reference
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
generator = torch.Generator().manual_seed(0)

def maps_of(shape):
    return (torch.rand(shape, generator=generator) ** 2).to(DEVICE)

def far(ours, theirs):
    return float((ours.double() - theirs).norm() / theirs.norm())

solved = []
real = torch.linalg.eigh
def count(matrix):
    solved.append(len(matrix))
    return real(matrix)
torch.linalg.eigh = count
"""

CASES = {
    "equals_the_reference_in_both_forms": """
for shape in [(3, 70, 7, 7), (2, 130, 3, 5), (2, 5, 9, 8), (1, 1, 4, 4), (2, 17, 1, 1), (2, 16, 4, 4), (1, 90, 11, 11)]:
    maps = maps_of(shape)
    for centre in (False, True):
        if centre and shape[2:] == (1, 1):
            continue
        ours, sigma = top_component(maps, centre=centre, method="triton")
        theirs, values = top_component_reference(maps, centre=centre)
        assert far(ours, theirs) < 3e-4, (shape, centre, far(ours, theirs))
        assert far(sigma, values) < 1e-5, (shape, centre)
""",
    "gets_there_without_the_eigensolver": """
patterns = torch.rand(4, 49, generator=generator) * 0.3 ** torch.arange(4)[:, None]
maps = (torch.rand(2, 80, 4, generator=generator) @ patterns).reshape(2, 80, 7, 7).to(DEVICE)
ours, _ = top_component(maps, method="triton")
assert not solved
assert far(ours, top_component_reference(maps)[0]) < 1e-5
""",
    "falls_back": """
left, _ = torch.linalg.qr(torch.randn(40, 40, generator=generator))
values = torch.linspace(1.0, 0.1, 40)
values[1] = 0.9999
maps = ((left * values) @ left.T)[None].to(DEVICE)
top_component(maps, method="triton")
assert solved == [1]
""",
    "zero_rank_one_and_strided": """
maps = maps_of((3, 40, 6, 10))
maps[0] = 0
maps[1] = torch.rand(40, 1, 1, generator=generator).to(DEVICE) * maps[1, :1]
maps = maps.permute(0, 1, 3, 2)[:, ::2, 1::2]
assert not maps.is_contiguous()
scores, sigma = top_component(maps, method="triton")
assert (scores[0] == 0).all() and sigma[0] == 0
assert far(scores, top_component_reference(maps)[0]) < 1e-4
""",
    "gradient": """
ours = maps_of((2, 12, 3, 3)).requires_grad_()
theirs = ours.detach().double().requires_grad_()
weight = torch.randn(2, 3, 3, generator=generator).to(DEVICE)
(top_component(ours, method="triton")[0] * weight).sum().backward()
(top_component_reference(theirs)[0] * weight).sum().backward()
assert far(ours.grad, theirs.grad) < 1e-3
""",
    "refuses_large_sides": """
try:
    top_component(maps_of((1, 200, 12, 12)), method="triton")
except ValueError as error:
    assert "side up to 128" in str(error)
else:
    raise AssertionError("took a side of 144")
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
        "import torch; from featlib.kernels import top_component; top_component(torch.rand(1, 5, 6), method='triton')"
    )
    done = run(code, interpret=False)
    assert "needs maps on a GPU" in done.stderr.splitlines()[-1]


def test_without_triton_it_says_so(monkeypatch):
    from featlib.kernels import top_component as function

    monkeypatch.setattr("featlib.kernels.optional.has_triton", lambda: False)
    with pytest.raises(RuntimeError, match="triton is not installed: pip install triton"):
        function(torch.rand(1, 5, 6), method="triton")
