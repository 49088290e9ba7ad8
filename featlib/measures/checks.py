"""What the measures of representations refuse, each with one line that says what to change."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["check_finite", "check_representation", "check_side", "check_test_set", "check_whole", "like"]


def check_representation(phi: Tensor, name: str = "phi") -> None:
    """Require (seeds..., examples, units) in floating point, with two examples or more.

    Raises:
        TypeError: for another type.
        ValueError: for another shape.
    """
    if not phi.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {phi.dtype}: convert with .float()")
    if phi.ndim < 2 or phi.shape[-2] < 2 or phi.shape[-1] < 1:
        raise ValueError(f"{name} must be (seeds..., examples, units), 2 examples or more, got {tuple(phi.shape)}")


def check_side(phi: Tensor, side: Tensor, name: str) -> None:
    """Require a table, (examples, columns) or (seeds..., examples, columns), of the examples of ``phi``.

    Raises:
        ValueError: if it is not.
    """
    if side.ndim < 2 or side.shape[-1] < 1:
        raise ValueError(f"the {name} must be (examples, columns), got {tuple(side.shape)}: add the missing axis")
    if side.shape[-2] != phi.shape[-2] or side.shape[:-2] not in {(), phi.shape[:-2]}:
        raise ValueError(
            f"the {name} is there for {tuple(side.shape[:-1])} examples, phi for {tuple(phi.shape[:-1])}: "
            "give one value an example, for all seeds or for each"
        )


def check_whole(values: Tensor, name: str) -> None:
    """Require whole numbers or truth values.

    Raises:
        TypeError: for another type.
    """
    if values.is_floating_point() or values.is_complex():
        raise TypeError(f"the {name} must be whole numbers or truth values, got {values.dtype}: convert with .long()")


def check_test_set(
    phi: Tensor, side: Tensor, phi_test: Tensor | None, side_test: Tensor | None, name: str
) -> tuple[Tensor, Tensor]:
    """Require both parts of a test set that fit each other and the fitting set.

    Raises:
        ValueError: if one is missing or the shapes do not fit.
    """
    if phi_test is None or side_test is None:
        raise ValueError(f"to score on a test set give both phi_test and the {name} there, or neither")
    check_representation(phi_test, "phi_test")
    check_side(phi_test, side_test, f"{name} of the test set")
    if phi_test.shape[:-2] != phi.shape[:-2] or phi_test.shape[-1] != phi.shape[-1]:
        raise ValueError(f"phi_test {tuple(phi_test.shape)} must have the seeds and units of phi {tuple(phi.shape)}")
    if side_test.shape[-1] != side.shape[-1]:
        raise ValueError(f"the {name} has {side_test.shape[-1]} columns in the test set, {side.shape[-1]} to fit")
    return phi_test, side_test


def check_finite(values: Tensor, name: str) -> None:
    """Require numbers; name the seeds that have others.

    Raises:
        ValueError: for NaN or infinity.
    """
    bad = ~torch.isfinite(values).flatten(-2).all(-1)
    if bool(bad.any()):
        where = f" of seed(s) {bad.flatten().nonzero().flatten().tolist()[:5]}" if bad.ndim else ""
        raise ValueError(f"{name}{where} holds NaN, infinity or numbers too large to square")


def like(result: Tensor, phi: Tensor) -> Tensor:
    """A result of sums in float64, as float64 for a float64 input and as float32 for any other."""
    return result.to(torch.float64 if phi.dtype == torch.float64 else torch.float32)
