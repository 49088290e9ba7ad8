"""What a case of a Triton test has at hand, in the process that it runs in (:mod:`triton_runner`)."""

import torch

__all__ = ["DEVICE", "close", "generator", "normal", "refused", "same", "torch", "uniform"]

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
generator = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(*shape, generator=generator).to(DEVICE)


def uniform(*shape):
    return torch.rand(*shape, generator=generator).to(DEVICE)


def close(ours, theirs, tolerance, floor=0.0, about=()):
    """Ours is as far from theirs as the tolerance allows, relative to the norm of theirs."""
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape, about)
    ours, theirs = ours.detach().double(), theirs.detach().double()
    far, length = float((ours - theirs).norm()), float(theirs.norm())
    assert far <= tolerance * length + floor, (far, length, about)


def same(ours, theirs, leaves, tolerance=1e-5):
    """A function in float32 agrees with its reference in float64: the result, and the gradient of every argument."""
    leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]
    doubles = [leaf.detach().double().requires_grad_() for leaf in leaves]
    mine, reference = ours(*leaves), theirs(*doubles)
    close(mine, reference, tolerance, floor=1e-6, about="result")
    weight = normal(*reference.shape) if reference.ndim else torch.ones((), device=DEVICE)
    found = torch.autograd.grad(mine, leaves, weight)
    expected = torch.autograd.grad(reference, doubles, weight.double())
    for number, pair in enumerate(zip(found, expected, strict=True)):
        close(*pair, tolerance, floor=1e-7, about=f"gradient {number}")


def refused(error, says, function, *arguments, **options):
    """The call raises this error, which says this."""
    said = "nothing: it ran"
    try:
        function(*arguments, **options)
    except error as found:
        said = str(found)
    assert says in said, said
