"""The Triton path of the top component."""

import pytest
import torch
from triton_runner import needs_triton, passes, without_gpu_says

BODY = """
from featlib.kernels import top_component
from featlib.kernels.top_component.reference import top_component_reference

def maps_of(shape):
    return uniform(*shape) ** 2

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
        close(ours, theirs, 3e-4, about=(shape, centre))
        close(sigma, values, 1e-5, about=(shape, centre))
""",
    "gets_there_without_the_eigensolver": """
patterns = uniform(4, 49) * 0.3 ** torch.arange(4, device=DEVICE)[:, None]
maps = (uniform(2, 80, 4) @ patterns).reshape(2, 80, 7, 7)
ours, _ = top_component(maps, method="triton")
assert not solved
close(ours, top_component_reference(maps)[0], 1e-5)
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
maps[1] = uniform(40, 1, 1) * maps[1, :1]
maps = maps.permute(0, 1, 3, 2)[:, ::2, 1::2]
assert not maps.is_contiguous()
scores, sigma = top_component(maps, method="triton")
assert (scores[0] == 0).all() and sigma[0] == 0
close(scores, top_component_reference(maps)[0], 1e-4)
""",
    "gradient": """
maps = maps_of((2, 12, 3, 3))
same(lambda x: top_component(x, method="triton")[0], lambda x: top_component_reference(x)[0], [maps], 1e-3)
""",
    "refuses_large_sides": """
refused(ValueError, "side up to 128", top_component, maps_of((1, 200, 12, 12)), method="triton")
""",
}


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_or_compiled(case):
    passes(BODY + CASES[case])


@needs_triton
def test_without_gpu_and_interpreter_it_says_so():
    without_gpu_says(
        "from featlib.kernels import top_component; top_component(torch.rand(1, 5, 6), method='triton')",
        "needs maps on a GPU",
    )


def test_without_triton_it_says_so(monkeypatch):
    from featlib.kernels import top_component as function

    monkeypatch.setattr("featlib.kernels.optional.has_triton", lambda: False)
    with pytest.raises(RuntimeError, match="triton is not installed: pip install triton"):
        function(torch.rand(1, 5, 6), method="triton")
