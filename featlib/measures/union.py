"""What a batch needs of a sparse layer: the union of its rows' active units, and how far rows resemble each other."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

__all__ = ["UnionDensity", "union_density"]


@dataclass(frozen=True)
class UnionDensity:
    """Share of units that at least one row of a batch needs, measured and as it would be without correlation.

    Attributes:
        measured: the real union.
        by_rows: expected if each row drew its active units independently of the others.
        by_mean: the same with every row at the mean density; at most ``by_rows``.
        by_units: expected if units kept their frequencies and rows were independent; None if those were not given.
    """

    measured: Float[Tensor, "*batches"]
    by_rows: Float[Tensor, "*batches"]
    by_mean: Float[Tensor, "*batches"]
    by_units: Float[Tensor, ""] | None


def union_density(
    active: Bool[Tensor, "*batches rows units"], frequencies: Float[Tensor, " units"] | None = None
) -> UnionDensity:
    r"""What a batch needs of a sparse layer: a unit can be skipped only if *no* row fires it.

    .. math:: U = \frac{1}{d} \Big|\bigcup_{b=1}^{B} \{i : a_{bi} > 0\}\Big|, \qquad
              U_{\mathrm{rows}} = 1 - \prod_b (1 - p_b), \qquad U_{\mathrm{mean}} = 1 - (1 - \bar p)^B, \qquad
              U_{\mathrm{units}} = \frac{1}{d} \sum_i 1 - (1 - q_i)^B

    with :math:`d` units, :math:`p_b` the density of row :math:`b`, :math:`\bar p` their mean and :math:`q_i` the
    frequency of unit :math:`i`. Busy units make :math:`U_{\mathrm{units}}` smaller than :math:`U_{\mathrm{rows}}`; what
    is left between the first and :math:`U` is that tokens of a batch resemble each other.

    Args:
        active: which units fire on each row; leading axes are batches.
        frequencies: of the units over *many more* tokens. Those of the batch itself would not do: a unit that fired
            once in it is in the union for sure, yet :math:`1 - (1 - 1/B)^B < 1`.

    Raises:
        ValueError: for no rows or units, or frequencies that do not fit.
    """
    if active.ndim < 2 or 0 in active.shape[-2:]:
        raise ValueError(f"active must be (batches..., rows, units) with one of each, got {tuple(active.shape)}")
    rows, units = active.shape[-2:]
    if frequencies is not None and (
        frequencies.shape != (units,) or not bool(((frequencies >= 0) & (frequencies <= 1)).all())
    ):
        raise ValueError(f"frequencies must be {units} numbers in [0, 1], got {tuple(frequencies.shape)}")
    share = active.double().mean(-1)
    return UnionDensity(
        active.any(-2).double().mean(-1),
        1 - (1 - share).prod(-1),
        1 - (1 - share.mean(-1)) ** rows,
        None if frequencies is None else (1 - (1 - frequencies.double()) ** rows).mean(),
    )
