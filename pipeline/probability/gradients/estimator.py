"""What a gradient estimator is: how the gradient of a bound comes from draws z ~ q(z|x).

An estimator decides what automatic differentiation sees: the draws, log q(z|x) with or without its score term
d log q(z|x) / d parameters at fixed z, and the loss. It never changes the value of the bound.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pipeline.probability.kl.estimator import KLEstimator
from pipeline.probability.tensors import Distribution, Float, Tensor


class GradientEstimator:
    """The pathwise gradient; other estimators override what they do differently."""

    name: ClassVar[str]
    label: ClassVar[str]
    """Its name in the report."""
    objectives: ClassVar[tuple[str, ...]] = ("elbo", "iwae")
    """Objectives whose gradient it estimates without bias."""
    elsewhere: ClassVar[str] = ""
    """What a message says about the other objectives."""
    needs_mean_zero_score: ClassVar[bool] = False
    """Takes only KL estimators whose score term has mean zero: it leaves that term out."""
    needs_independent_draws: ClassVar[bool] = False
    least_draws: ClassVar[int] = 1
    least_draws_for: ClassVar[str] = ""
    """What a message says the draws are for, where one is not enough."""

    def draw(self, z: Float[Tensor, "sample batch dim"]) -> Float[Tensor, "sample batch dim"]:
        """The draws as differentiation sees them."""
        return z

    def log_qz_x(
        self, q: Distribution, z: Float[Tensor, "sample batch dim"], *, mean_zero_score: bool
    ) -> Float[Tensor, "sample batch ..."]:
        """log q(z|x). `mean_zero_score`: its score term has expectation 0 where it enters the bound."""
        log_prob: Tensor = q.log_prob(z)
        return log_prob

    def loss(
        self,
        bound: Float[Tensor, "outer batch"],
        groups: Float[Tensor, "outer inner batch"],
        z: Float[Tensor, "sample batch dim"],
        log_qz_x: Callable[[], Tensor],
    ) -> Float[Tensor, ""]:
        """The mean of -bound, with this estimator's gradient.

        Args:
            bound: L draws of the bound.
            groups: what each draw is the log-mean-exp of (K = 1: the draw itself).
            z: what `draw` gave.
            log_qz_x: gives log q(z|x) with its score term, in the shape of `groups`.
        """
        return -bound.mean()

    def takes(self, kl: KLEstimator) -> bool:
        """Whether it is unbiased for the ELBO with this KL estimator, where it is for the ELBO at all."""
        return kl.mean_zero_score or not self.needs_mean_zero_score


def path_log_prob(q: Distribution, z: Float[Tensor, "*sample dim"]) -> Float[Tensor, "*any"]:
    """log q(z) whose gradient goes through z alone: the score term d log q / d parameters is left out.

    The term is subtracted rather than the parameters detached, so it works for every q, flows included.
    """
    score = q.log_prob(z.detach())
    log_prob: Tensor = q.log_prob(z) - (score - score.detach())
    return log_prob
