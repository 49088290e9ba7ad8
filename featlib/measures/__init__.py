"""Numbers about representations."""

from featlib.measures.activation import ActivationDensity, activation_density
from featlib.measures.alignment import linear_cka
from featlib.measures.calibration import Reliability, expected_calibration_error, reliability
from featlib.measures.conflict import PROBES, follows
from featlib.measures.dissimilarity import rdm
from featlib.measures.firing import FiringHistogram, LayerDensity, firing_histogram
from featlib.measures.probes import Logistic, NearestMean, Ridge
from featlib.measures.similarity import compare_rdms, rsa
from featlib.measures.union import UnionDensity, union_density
from featlib.measures.variance import (
    regression_variance_explained,
    unexplained,
    unit_variance_explained,
    unit_variance_of_features,
    variance_explained,
    variance_of_features,
)

__all__ = [
    "PROBES",
    "ActivationDensity",
    "FiringHistogram",
    "LayerDensity",
    "Logistic",
    "NearestMean",
    "Reliability",
    "Ridge",
    "UnionDensity",
    "activation_density",
    "compare_rdms",
    "expected_calibration_error",
    "firing_histogram",
    "follows",
    "linear_cka",
    "rdm",
    "regression_variance_explained",
    "reliability",
    "rsa",
    "unexplained",
    "union_density",
    "unit_variance_explained",
    "unit_variance_of_features",
    "variance_explained",
    "variance_of_features",
]
