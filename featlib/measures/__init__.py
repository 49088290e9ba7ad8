"""Numbers about representations."""

from featlib.measures.variance import (
    regression_variance_explained,
    unexplained,
    unit_variance_explained,
    unit_variance_of_features,
    variance_explained,
    variance_of_features,
)

__all__ = [
    "regression_variance_explained",
    "unexplained",
    "unit_variance_explained",
    "unit_variance_of_features",
    "variance_explained",
    "variance_of_features",
]
