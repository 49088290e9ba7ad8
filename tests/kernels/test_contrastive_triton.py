"""The Triton denominators and their gradient."""

import pytest
from triton_runner import needs_triton, passes, without_gpu_says

BODY = """
from featlib.kernels import info_nce, supcon
from featlib.kernels.contrastive.reference import info_nce_reference, supcon_reference

def unit(*shape):
    return torch.nn.functional.normalize(normal(*shape), dim=1)

def supcon_same(z, y, temperature):
    same(lambda z: supcon(z, y, temperature, method="triton"), lambda z: supcon_reference(z, y, temperature), [z])
"""

CASES = {
    "value_and_gradient_at_odd_sizes": """
for batch, d in [(2, 1), (33, 7), (70, 20), (65, 130)]:
    y = torch.randint(3, (batch,), generator=generator).to(DEVICE)
    supcon_same(unit(batch, d), y, 0.5)
""",
    "small_temperatures_and_long_rows": """
y = torch.arange(40).to(DEVICE) % 4
supcon_same(unit(40, 6), y, 0.01)
supcon_same(10 * unit(40, 6), y, 0.5)
""",
    "two_views": """
views = unit(21, 9), unit(21, 9)
same(lambda a, b: info_nce(a, b, 0.2, method="triton"), lambda a, b: info_nce_reference(a, b, 0.2), views)
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
    refused(RuntimeError, "use 'auto'", supcon, z, y, method="triton")
""",
}


@needs_triton
@pytest.mark.parametrize("case", CASES)
def test_interpreted_or_compiled(case):
    passes(BODY + CASES[case])


@needs_triton
def test_without_gpu_and_interpreter_it_says_so():
    without_gpu_says(
        "from featlib.kernels import supcon; supcon(torch.eye(4), torch.tensor([0, 0, 1, 1]), method='triton')",
        "needs rows on a GPU",
    )
