"""k3: the log ratio with a control variate of mean zero that makes every draw positive."""

from __future__ import annotations

import math

from pipeline.probability.kl.estimator import KLEstimator, Parts, Quantity, Terms
from pipeline.probability.tensors import Float, Tensor


class MonteCarloK3(KLEstimator):
    """(r - 1) - log r with r = p(z) / q(z|x) (Schulman 2020): never negative.

    Kept because it is asked for, not because it is good: for a Gaussian q against N(0, I) its variance is infinite as
    soon as one posterior variance is <= 1/2, as in every unit that a trained VAE uses.
    """

    name = "monte_carlo_k3"
    label = "Monte Carlo (k3)"
    needs = ("log_pz", "log_qz_x")
    quantity = Quantity("k3", "KL, k3")

    def draws(self, terms: Terms) -> Float[Tensor, "sample ..."]:
        log_ratio = terms["log_pz"] - terms["log_qz_x"]
        return log_ratio.expm1() - log_ratio

    def gaussian(self, loc: Float[Tensor, "*batch dim"], scale: Float[Tensor, "*batch dim"]) -> Parts:
        """chi2 + V1 - 2 J with chi2 = Var_q(p/q), V1 = Var(k1), J = KL(q|p) + KL(p|q); inf if any scale^2 <= 1/2."""
        variance = scale.square()
        finite = variance > 0.5
        excess = (2 * variance - 1).where(finite, 1.0)
        log_second_moment = variance.log() - 0.5 * excess.log() + loc.square() / excess
        chi2 = log_second_moment.where(finite, math.inf).sum(-1).expm1()
        v1 = (0.5 * (variance - 1).square() + (loc * scale).square()).sum(-1)
        jeffreys = 0.5 * ((variance + 1 / variance - 2) + loc.square() * (1 + 1 / variance)).sum(-1)
        return Parts(chi2 + v1 - 2 * jeffreys)
