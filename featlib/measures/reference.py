"""Slow, obviously right versions of the fast measures, in float64 with loops over seeds, features and units."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

__all__ = ["reference_cka", "reference_variance_explained"]


def reference_variance_explained(
    phi: Float[Tensor, "*seeds n d"],
    feature: Int[Tensor, "*#seeds n"] | Bool[Tensor, "*#seeds n"],
    phi_test: Float[Tensor, "*seeds m d"] | None = None,
    feature_test: Int[Tensor, "*#seeds m"] | Bool[Tensor, "*#seeds m"] | None = None,
) -> Float[Tensor, "*seeds"]:
    """:func:`featlib.measures.variance_explained` by a least-squares fit on indicator columns, seed by seed."""
    phi_test = phi if phi_test is None else phi_test
    feature_test = feature if feature_test is None else feature_test
    *seeds, n, d = phi.shape
    m = phi_test.shape[-2]
    fits = phi.reshape(-1, n, d).double().cpu().numpy()
    tests = phi_test.reshape(-1, m, d).double().cpu().numpy()
    codes = feature.expand(*seeds, n).reshape(-1, n).cpu().numpy()
    codes_test = feature_test.expand(*seeds, m).reshape(-1, m).cpu().numpy()
    results = []
    for fit, test, code, code_test in zip(fits, tests, codes, codes_test, strict=True):
        values = np.unique(code)
        indicators = (code[:, None] == values).astype(float)
        weights = np.linalg.lstsq(indicators, fit, rcond=None)[0]
        left = test - (code_test[:, None] == values).astype(float) @ weights
        total = test - test.mean(0)
        results.append(1 - (left**2).sum() / (total**2).sum())
    return torch.tensor(results, dtype=torch.float64).reshape(seeds)


def reference_cka(x: Float[Tensor, "n p"], y: Float[Tensor, "n q"], debiased: bool = False) -> Float[Tensor, ""]:
    """:func:`featlib.measures.linear_cka` of one seed, by matrices of examples by examples as the papers write it."""
    n = len(x)
    one = torch.ones(n, 1, dtype=torch.float64, device=x.device)
    centring = torch.eye(n, dtype=torch.float64, device=x.device) - one @ one.T / n
    kernels = [phi.double() @ phi.double().T for phi in (x, y)]
    off = [kernel - torch.diag(kernel.diagonal()) for kernel in kernels]

    def dependence(i: int, j: int) -> Tensor:
        if not debiased:
            return torch.trace(kernels[i] @ centring @ kernels[j] @ centring)
        k, m = off[i], off[j]
        means = (one.T @ k @ one) * (one.T @ m @ one) / ((n - 1) * (n - 2)) - 2 / (n - 2) * (one.T @ k @ m @ one)
        return torch.trace(k @ m) + means[0, 0]

    return dependence(0, 1) / (dependence(0, 0) * dependence(1, 1)).sqrt()
