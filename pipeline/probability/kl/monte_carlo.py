"""k1: the log ratio of the two densities."""

from __future__ import annotations

from pipeline.probability.kl.estimator import KLEstimator, Parts, Quantity, Terms
from pipeline.probability.tensors import Float, Tensor


class MonteCarlo(KLEstimator):
    """log q(z|x) - log p(z): its variance is 0 where q equals p, and a draw may be negative."""

    name = "monte_carlo"
    label = "Monte Carlo (k1)"
    needs = ("log_pz", "log_qz_x")
    quantity = Quantity("k1", "KL, k1")
    elbo = Quantity("elbo_monte_carlo", "ELBO, Monte Carlo KL")
    mean_zero_score = True

    def draws(self, terms: Terms) -> Float[Tensor, "sample ..."]:
        return terms["log_qz_x"] - terms["log_pz"]

    def bound(self, log_px_z: Float[Tensor, "sample ..."], terms: Terms) -> Float[Tensor, "sample ..."]:
        """The logarithm of the importance weight, added up as the importance-weighted bounds do."""
        return log_px_z + terms["log_pz"] - terms["log_qz_x"]

    def gaussian(self, loc: Float[Tensor, "*batch dim"], scale: Float[Tensor, "*batch dim"]) -> Parts:
        """Quadratic in the noise: 0.5 (sigma^2 - 1)^2 is even, mu^2 sigma^2 odd."""
        even = 0.5 * (scale.square() - 1).square()
        return Parts((even + (loc * scale).square()).sum(-1), even.sum(-1))

    def full_gaussian(self, loc: Float[Tensor, "*batch dim"], tril: Float[Tensor, "*batch dim dim"]) -> Parts:
        """With z = loc + T e it is the quadratic form e' (T'T - I) e / 2 + loc' T e, up to a constant."""
        gram = tril.mT @ tril - tril.new_ones(tril.shape[-1]).diag()
        even, odd = 0.5 * gram.square().sum((-2, -1)), (tril.mT @ loc.unsqueeze(-1)).square().sum((-2, -1))
        return Parts(even + odd, even)

    def laplace(self, loc: Float[Tensor, "*batch dim"], b: Float[Tensor, "*batch dim"]) -> Parts:
        """z = loc + b l with l ~ Laplace(0, 1): -log p(z) is z^2 / 2, log q(z) is -|l|, both up to a constant."""
        even, odd = (1 + 5 * b.pow(4) - 4 * b.square()).sum(-1), (2 * loc.square() * b.square()).sum(-1)
        return Parts(even + odd, even)

    def laplace_against_laplace(self, loc: Float[Tensor, "*batch dim"], b: Float[Tensor, "*batch dim"]) -> Parts:
        distance, tail = loc.abs(), (-loc.abs() / b).exp()
        total = 1 + loc.square() + 2 * b.square() - (distance + b * tail).square() - 2 * (distance + b) * tail
        return Parts(total.sum(-1))
