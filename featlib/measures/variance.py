r"""How much of a representation is about a feature: representational variance explained.

The regression runs from the *feature to the representation*, the opposite of a probe: it asks how much of all variance
the feature accounts for, not whether it can be read out. For a feature with a few values the best fit is the mean of
each group, so that one pass over the representation serves any number of features. :cite:p:`lampinen2024learned`

Everything is summed in float64, blocks of rows at a time, with the first row taken off: no offset costs digits, and no
copy of the representation is made.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from featlib.measures.checks import check_finite, check_representation, check_side, check_test_set, check_whole, like
from featlib.measures.groups import GroupSums, Table, columns_of, group_sums, values_of
from featlib.measures.least_squares import fit_linear

__all__ = [
    "regression_variance_explained",
    "unexplained",
    "unit_variance_explained",
    "unit_variance_of_features",
    "variance_explained",
    "variance_of_features",
]

Phi = Float[Tensor, "*seeds n d"]
PhiTest = Float[Tensor, "*seeds m d"]
Codes = Int[Tensor, "*#seeds n"] | Bool[Tensor, "*#seeds n"]
CodesTest = Int[Tensor, "*#seeds m"] | Bool[Tensor, "*#seeds m"]
TableTest = Int[Tensor, "*#seeds m features"] | Bool[Tensor, "*#seeds m features"]


def variance_explained(
    phi: Phi, feature: Codes, phi_test: PhiTest | None = None, feature_test: CodesTest | None = None
) -> Float[Tensor, "*seeds"]:
    r"""Share :cite:p:`lampinen2024learned` of a representation's variance that a categorical feature explains.

    .. math:: R^2_f = 1 - \frac{\sum_{i \in T} \lVert \mu_{f(i)} - \phi_i \rVert^2}
                               {\sum_{i \in T} \lVert \bar\phi_T - \phi_i \rVert^2}

    with :math:`\phi_i \in \mathbb{R}^d` the representation of example :math:`i`, :math:`\mu_v` the mean of the fitting
    set where the feature has value :math:`v` (the least-squares fit of one-hot columns to :math:`\phi`), :math:`T` the
    test set and :math:`\bar\phi_T` *its own* mean. The prediction is not moved to that mean: a shift between the two
    sets counts as error, as it does in scikit-learn's ``r2_score(multioutput="variance_weighted")``. At most 1, in
    [0, 1] on the fitting set itself; the same for any rotation of :math:`\phi` and any names of the values.

    Example:
        >>> feature = torch.tensor([0, 0, 1, 1])
        >>> phi = torch.tensor([[1.0, 0.0], [1.0, 1.0], [3.0, 0.0], [3.0, 1.0]])
        >>> variance_explained(phi, feature)
        tensor(0.8000)

    Args:
        phi: representations to fit; leading axes are seeds.
        feature: a whole number or truth value for each example, the same for all seeds or each seed's own.
        phi_test: representations to score on; without them the fitting set is scored.
        feature_test: the feature there.

    Returns:
        One number a seed, float64 for float64 and float32 otherwise. 0 where the representation does not vary.

    Raises:
        ValueError: if shapes do not fit, one of the test arguments is missing, the feature has as many values as there
            are examples, the test set has a value that the fitting set has not, or a number is not finite.
        TypeError: if ``feature`` is not whole numbers or ``phi`` not floating point.

    Departs from scikit-learn: a unit that is constant in the test set but not predicted exactly counts its error, which
    ``r2_score`` leaves out.
    """  # raised by what it calls
    table_test = None if feature_test is None else feature_test[..., None]
    return variance_of_features(phi, feature[..., None], phi_test, table_test)[..., 0]


def unit_variance_explained(
    phi: Phi, feature: Codes, phi_test: PhiTest | None = None, feature_test: CodesTest | None = None
) -> Float[Tensor, "*seeds d"]:
    """The same share for each unit alone; 0 for a unit that does not vary.

    See :func:`variance_explained` for arguments and errors.
    """
    table_test = None if feature_test is None else feature_test[..., None]
    return unit_variance_of_features(phi, feature[..., None], phi_test, table_test)[..., 0, :]


def variance_of_features(
    phi: Phi, features: Table, phi_test: PhiTest | None = None, features_test: TableTest | None = None
) -> Float[Tensor, "*seeds features"]:
    """Share of the variance that each of many features explains, in one pass over the representation.

    See :func:`variance_explained` for the definition and errors.

    Args:
        phi: representations to fit.
        features: a column of whole numbers for each feature.
        phi_test: representations to score on.
        features_test: the features there.

    Returns:
        One number for each seed and feature.
    """
    residual, total = _residual_and_total(phi, features, phi_test, features_test)
    return _share(residual.sum(-1), total.sum(-1)[..., None], phi)


def unit_variance_of_features(
    phi: Phi, features: Table, phi_test: PhiTest | None = None, features_test: TableTest | None = None
) -> Float[Tensor, "*seeds features d"]:
    """Share of each unit's variance that each of many features explains; 0 for a unit that does not vary.

    See :func:`variance_of_features` for arguments and errors.
    """
    residual, total = _residual_and_total(phi, features, phi_test, features_test)
    return _share(residual, total[..., None, :], phi)


def unexplained(shares: Float[Tensor, "*seeds features"]) -> Float[Tensor, "*seeds"]:
    r"""What independent features leave over, :math:`1 - \sum_f R^2_f`.

    Shares of independent features add, so this is about 0 or more. Well below 0, the features are not independent.
    """
    return 1 - shares.sum(-1)


def regression_variance_explained(
    phi: Phi,
    design: Float[Tensor, "*#seeds n p"],
    phi_test: PhiTest | None = None,
    design_test: Float[Tensor, "*#seeds m p"] | None = None,
) -> Float[Tensor, "*seeds"]:
    r"""Share of the variance that real-valued columns explain by linear regression with an intercept.

    As :func:`variance_explained`, with :math:`W^\ast x_i + b` in the place of the group mean, where :math:`x_i` is the
    example's row of the design and :math:`W^\ast, b` are fitted by least squares. Columns may depend on each other.

    Args:
        phi: representations to fit.
        design: columns to predict them from.
        phi_test: representations to score on.
        design_test: the columns there.

    Returns:
        One number a seed.

    Raises:
        ValueError: if shapes do not fit, one of the test arguments is missing, there are no more examples than columns,
            or a number is not finite.
    """
    check_representation(phi)
    check_side(phi, design, "design")
    if phi.shape[-2] <= design.shape[-1]:
        raise ValueError(f"{phi.shape[-2]} examples cannot fit {design.shape[-1]} columns: give more or drop columns")
    if phi_test is None and design_test is None:
        phi_test, design_test = phi, design
    phi_test, design_test = check_test_set(phi, design, phi_test, design_test, "design")
    for name, part in {"phi": phi, "design": design, "phi_test": phi_test, "design_test": design_test}.items():
        check_finite(part, name)
    weights, intercept = fit_linear(design.detach(), phi.detach())
    truth = phi_test.detach().double()
    left = truth - (design_test.detach().double() @ weights + intercept[..., None, :])
    truth = truth - truth[..., :1, :]  # exactly zero for a constant unit
    total = (truth - truth.mean(-2, keepdim=True)).square()
    return _share(left.square().sum((-2, -1)), total.sum((-2, -1)), phi)


def _residual_and_total(
    phi: Tensor, features: Tensor, phi_test: Tensor | None, features_test: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Sums of squares over the test set: left by each feature, [..., F, d], and in all, [..., d]."""
    check_representation(phi)
    check_whole(features, "feature")
    check_side(phi, features, "feature")
    values = values_of(features)
    sizes = torch.tensor([len(value) for value in values])
    fit = test = _sums(phi, features, values, "phi")
    several = torch.stack([(part > 0).sum((-2, -1)) for part in torch.split(fit.counts, sizes.tolist(), -2)])
    if bool((several >= fit.n).any()):
        raise ValueError(
            f"{fit.n} examples with {int(several.max())} values of a feature explain everything: give more"
        )
    if phi_test is not None or features_test is not None:
        phi_test, features_test = check_test_set(phi, features, phi_test, features_test, "feature")
        test = _sums(phi_test, features_test, values, "phi_test")
        if bool(((test.counts > 0) & (fit.counts == 0)).any()):
            raise ValueError("a seed's test set has a value of a feature that its fitting set has not: fit on more")
    means = fit.groups / fit.counts.clamp_min(1) + (fit.shift - test.shift)  # as the test sums count
    # how the sum of squares changes when a group's mean is taken off, [..., groups, d]
    change = means * (test.counts * means - 2 * test.groups)
    owner = torch.arange(len(values)).repeat_interleave(sizes).to(phi.device)
    residual = test.squares.repeat_interleave(len(values), -2).index_add(-2, owner, change)
    total = test.squares - test.sums.square() / test.n
    return residual.clamp_min(0), total[..., 0, :].clamp_min(0)


def _sums(phi: Tensor, features: Tensor, values: list[Tensor], name: str) -> GroupSums:
    """The sums of one set; what is not finite shows in the squares."""
    sums = group_sums(phi.detach(), columns_of(features, values), sum(len(value) for value in values))
    check_finite(sums.squares, name)
    return sums


def _share(residual: Tensor, total: Tensor, phi: Tensor) -> Tensor:
    """One less the ratio; 0 where there is nothing to explain."""
    share = torch.where(total > 0, 1 - residual / torch.where(total > 0, total, 1.0), 0.0)
    return like(share, phi)
