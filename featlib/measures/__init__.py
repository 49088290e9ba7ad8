"""Numbers about representations."""

from featlib.measures.activation import ActivationDensity, activation_density
from featlib.measures.calibration import Reliability, expected_calibration_error, reliability
from featlib.measures.firing import FiringHistogram, LayerDensity, firing_histogram
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
    "ActivationDensity",
    "FiringHistogram",
    "LayerDensity",
    "Reliability",
    "UnionDensity",
    "activation_density",
    "expected_calibration_error",
    "firing_histogram",
    "regression_variance_explained",
    "reliability",
    "unexplained",
    "union_density",
    "unit_variance_explained",
    "unit_variance_of_features",
    "variance_explained",
    "variance_of_features",
]
