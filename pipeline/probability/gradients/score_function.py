"""The score-function gradient, with each draw's baseline from the other draws."""

from __future__ import annotations

from collections.abc import Callable

from pipeline.probability.gradients.estimator import GradientEstimator, path_log_prob
from pipeline.probability.tensors import Distribution, Float, Tensor


class ScoreFunction(GradientEstimator):
    """Williams 1992: (bound - baseline) * d log q(z|x); needs no reparameterisation of q."""

    name = "score_function"
    label = "score function"
    needs_independent_draws = True
    least_draws = 2
    least_draws_for = "for its leave-one-out baseline"

    def draw(self, z: Float[Tensor, "sample batch dim"]) -> Float[Tensor, "sample batch dim"]:
        return z.detach()

    def log_qz_x(
        self, q: Distribution, z: Float[Tensor, "sample batch dim"], *, mean_zero_score: bool
    ) -> Float[Tensor, "sample batch ..."]:
        log_prob: Tensor = path_log_prob(q, z) if mean_zero_score else q.log_prob(z)
        return log_prob

    def loss(
        self,
        bound: Float[Tensor, "outer batch"],
        groups: Float[Tensor, "outer inner batch"],
        z: Float[Tensor, "sample batch dim"],
        log_qz_x: Callable[[], Tensor],
    ) -> Float[Tensor, ""]:
        score = score_surrogate(bound.unsqueeze(1), leave_one_out_baseline(groups.detach()), log_qz_x())
        return -bound.mean() - score * groups.shape[1]


def score_surrogate(
    bound: Float[Tensor, "sample ..."], baseline: Float[Tensor, "sample ..."], log_qz_x: Float[Tensor, "sample ..."]
) -> Float[Tensor, ""]:
    """Value 0, gradient mean((bound - baseline) * d log q(z|x))."""
    return ((bound - baseline).detach() * (log_qz_x - log_qz_x.detach())).mean()


def leave_one_out_baseline(groups: Float[Tensor, "outer inner ..."]) -> Float[Tensor, "outer inner ..."]:
    """For each draw the bound without it: the mean of the other draws, or with K > 1 the bound of the other K - 1.

    The latter is VIMCO with the arithmetic mean (Mnih & Rezende 2016, section 2.4).
    """
    from pipeline.probability.bounds import leave_one_out_bound  # loads torch

    return leave_one_out_bound(groups, dim=1) if groups.shape[1] > 1 else leave_one_out_mean(groups)


def leave_one_out_mean(draws: Float[Tensor, "sample ..."]) -> Float[Tensor, "sample ..."]:
    """The mean of the other draws: a baseline that is independent of the draw it is subtracted from."""
    return (draws.sum(0) - draws) / (len(draws) - 1)
