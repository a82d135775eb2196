"""Every gradient estimator, by the name that a configuration says, in the order of tables and legends."""

from __future__ import annotations

from pipeline.probability.gradients.estimator import GradientEstimator
from pipeline.probability.names import GRADIENT_ESTIMATOR_NAMES, find_kinds

GRADIENT_ESTIMATORS = find_kinds("pipeline.probability.gradients", GRADIENT_ESTIMATOR_NAMES, GradientEstimator)
