"""The pathwise gradient: automatic differentiation through the reparameterised draws."""

from __future__ import annotations

from pipeline.probability.gradients.estimator import GradientEstimator


class Pathwise(GradientEstimator):
    """Kingma & Welling 2014, section 2.4: the score term of log q(z|x) stays."""

    name = "pathwise"
    label = "pathwise"
