"""The cross-entropy with the prior by draws, the entropy of q in closed form."""

from __future__ import annotations

from pipeline.probability.kl.estimator import KLEstimator, Parts, Quantity, Terms
from pipeline.probability.tensors import Float, Tensor


class CrossEntropy(KLEstimator):
    """-H(q) - log p(z): for a Gaussian q against N(0, I) it varies less than k1 in a dimension whose posterior
    variance is below 1/2, more above."""

    name = "cross_entropy"
    label = "cross-entropy"
    needs = ("log_pz", "entropy")
    quantity = Quantity("cross_entropy", "cross-entropy")

    def draws(self, terms: Terms) -> Float[Tensor, "sample ..."]:
        return -terms["entropy"] - terms["log_pz"]

    def gaussian(self, loc: Float[Tensor, "*batch dim"], scale: Float[Tensor, "*batch dim"]) -> Parts:
        even = 0.5 * scale.pow(4)
        return Parts((even + (loc * scale).square()).sum(-1), even.sum(-1))

    def full_gaussian(self, loc: Float[Tensor, "*batch dim"], tril: Float[Tensor, "*batch dim dim"]) -> Parts:
        """With z = loc + T e it is the quadratic form e' T'T e / 2 + loc' T e, up to a constant."""
        gram, slope = tril.mT @ tril, tril.mT @ loc.unsqueeze(-1)
        even, odd = 0.5 * gram.square().sum((-2, -1)), slope.square().sum((-2, -1))
        return Parts(even + odd, even)

    def laplace(self, loc: Float[Tensor, "*batch dim"], b: Float[Tensor, "*batch dim"]) -> Parts:
        even, odd = (5 * b.pow(4)).sum(-1), (2 * loc.square() * b.square()).sum(-1)
        return Parts(even + odd, even)
