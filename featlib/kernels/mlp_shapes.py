"""What both kernels of a two-layer network ask of their arguments."""

from __future__ import annotations

from torch import Tensor


def check_mlp(x: Tensor, w_in: Tensor, b_in: Tensor | None, w_out: Tensor, b_out: Tensor | None) -> None:
    """Refuse what does not fit together, with a sentence that says what to change.

    Raises:
        ValueError: if two shapes disagree.
        TypeError: if a number is not floating point.
    """
    if w_in.ndim != 2 or w_out.ndim != 2:
        raise ValueError(f"w_in and w_out must be matrices, got {tuple(w_in.shape)} and {tuple(w_out.shape)}")
    d_ff, d_in = w_in.shape
    if x.ndim == 0 or x.shape[-1] != d_in:
        raise ValueError(f"x ends in {tuple(x.shape[-1:])} and w_in reads {d_in} numbers: w_in must be (d_ff, d)")
    if w_out.shape[1] != d_ff:
        raise ValueError(f"w_in has {d_ff} rows and w_out {w_out.shape[1]} columns: w_out must be (d, d_ff)")
    for name, bias, size in (("b_in", b_in, d_ff), ("b_out", b_out, w_out.shape[0])):
        if bias is not None and bias.shape != (size,):
            raise ValueError(f"{name} must be ({size},) or None, got {tuple(bias.shape)}")
    for name, tensor in (("x", x), ("w_in", w_in), ("w_out", w_out)):
        if not tensor.is_floating_point():
            raise TypeError(f"{name} must be floating point, got {tensor.dtype}: convert with .float()")
