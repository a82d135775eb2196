"""Sticking the landing: the pathwise gradient without the score term."""

from __future__ import annotations

from pipeline.probability.gradients.estimator import GradientEstimator, path_log_prob
from pipeline.probability.tensors import Distribution, Float, Tensor


class StickingTheLanding(GradientEstimator):
    """Roeder et al. 2017, equation 6: the score of log q(z|x) has mean zero, and noise where q is the posterior."""

    name = "stl"
    label = "sticking the landing"
    objectives = ("elbo",)
    elsewhere = " (elsewhere it is biased; use 'dreg')"
    needs_mean_zero_score = True

    def log_qz_x(
        self, q: Distribution, z: Float[Tensor, "sample batch dim"], *, mean_zero_score: bool
    ) -> Float[Tensor, "sample batch ..."]:
        return path_log_prob(q, z)
