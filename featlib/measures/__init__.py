"""Numbers about representations."""

from featlib.measures.alignment import linear_cka
from featlib.measures.dissimilarity import rdm
from featlib.measures.similarity import compare_rdms, rsa
from featlib.measures.variance import (
    regression_variance_explained,
    unexplained,
    unit_variance_explained,
    unit_variance_of_features,
    variance_explained,
    variance_of_features,
)

__all__ = [
    "compare_rdms",
    "linear_cka",
    "rdm",
    "regression_variance_explained",
    "rsa",
    "unexplained",
    "unit_variance_explained",
    "unit_variance_of_features",
    "variance_explained",
    "variance_of_features",
]
