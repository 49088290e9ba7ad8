"""Products and sums over rows that each token chooses for itself; on a CPU, without forming those it did not choose."""

from __future__ import annotations

import warnings
from functools import cache

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional

__all__ = ["chosen_products", "chosen_sums", "few", "spread"]

SPARSE = 0.08
"""Share of chosen rows up to which choosing first beats a dense product of many tokens, on one thread."""


def chosen_products(
    x: Float[Tensor, "tokens d"], rows: Float[Tensor, "n d"], index: Int[Tensor, "tokens k"]
) -> Float[Tensor, "tokens k"]:
    r"""Products :math:`z_{tj} = x_t^\top r_{\mathrm{index}(t, j)}` of each token with its own rows, without gradient.

    ``index`` must lie within the rows: nothing below looks.
    """
    direct = few(x, index.shape[1], len(rows)) and rows.is_contiguous()
    if not direct or x.dtype not in {torch.float32, torch.float64}:
        return (x @ rows.T).gather(1, index)
    _quiet()
    tokens, k = index.shape
    pattern = torch.sparse_csr_tensor(
        torch.arange(0, tokens * k + 1, k), index.reshape(-1), x.new_zeros(tokens * k), (tokens, len(rows)),
        check_invariants=False,
    )  # fmt: skip
    products: Tensor = torch.sparse.sampled_addmm(pattern, x, rows.T, beta=0.0).values()
    return products.view(tokens, k)


def chosen_sums(
    values: Float[Tensor, "tokens k"], rows: Float[Tensor, "n d"], index: Int[Tensor, "tokens k"]
) -> Float[Tensor, "tokens d"]:
    r"""Sums :math:`y_t = \sum_j \mathrm{values}_{tj}\, r_{\mathrm{index}(t, j)}`, without gradient."""
    if few(values, index.shape[1], len(rows)) and rows.is_contiguous():
        return functional.embedding_bag(index, rows, mode="sum", per_sample_weights=values)
    return spread(values, index, len(rows)) @ rows


def spread(values: Float[Tensor, "tokens k"], index: Int[Tensor, "tokens k"], n: int) -> Float[Tensor, "tokens n"]:
    """Zeros but for the given values."""
    return values.new_zeros(len(values), n).scatter_(1, index, values)


def few(x: Tensor, k: int, n: int) -> bool:
    """Whether ``k`` of ``n`` rows for each token are so few that going to each beats a product with all of them."""
    return x.device.type == "cpu" and x.numel() > 0 and 0 < k <= SPARSE * n


@cache
def _quiet() -> None:
    """Let torch say once, unheard, that its CSR format is in beta: to the users of a network it means nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.sparse_csr_tensor(torch.tensor([0, 0]), torch.tensor([], dtype=torch.int64), torch.tensor([]), (1, 1))
