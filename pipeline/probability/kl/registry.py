"""Every KL estimator, by the name that a configuration says, in the order of tables and legends."""

from __future__ import annotations

from pipeline.probability.kl.estimator import KLEstimator
from pipeline.probability.names import KL_ESTIMATOR_NAMES, find_kinds

KL_ESTIMATORS = find_kinds("pipeline.probability.kl", KL_ESTIMATOR_NAMES, KLEstimator)
