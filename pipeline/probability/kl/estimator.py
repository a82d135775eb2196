"""What a KL estimator is: draws whose mean is KL(q(z|x) | p(z)), and what is known about their variance.

A *draw* is the estimator's value at one z ~ q(z|x); averages over draws are left to the caller, who also wants their
standard error. The sample axis is the first, every other axis is free, everything is in nats.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

from pipeline.probability.tensors import Float, Tensor

Need = Literal["log_pz", "log_qz_x", "entropy", "kl", "coefficient"]
"""What a draw can be made of: the log densities at z (one value a draw), closed forms of q and p (one value an image),
and a number that the caller fits on other draws."""
Terms = Mapping[Need, Tensor]

SAMPLED: tuple[Need, ...] = ("log_pz", "log_qz_x")
"""The needs that have to be computed for every draw, in the order in which they are."""


class Quantity(NamedTuple):
    """What the variance study measures: its name in the table, and its words in the report."""

    name: str
    label: str


class Parts(NamedTuple):
    """Variance of one draw, in nats^2: all of it, and its even part in the noise (None: not known in closed form)."""

    total: Float[Tensor, "*batch"]
    even: Float[Tensor, "*batch"] | None = None


class KLEstimator:
    """An unbiased estimator of KL(q(z|x) | p(z)). Its variances are against N(0, I) unless the name says otherwise."""

    name: ClassVar[str]
    label: ClassVar[str]
    """Its name in the report."""
    needs: ClassVar[tuple[Need, ...]]
    quantity: ClassVar[Quantity | None] = None
    """Itself in the variance study (None: it is not studied there)."""
    elbo: ClassVar[Quantity | None] = None
    """The ELBO with this KL in the variance study (None: it is not studied there)."""
    mean_zero_score: ClassVar[bool] = False
    """Whether log q(z|x) enters so that its score term has mean zero: a gradient estimator may then leave it out."""
    least_draws: ClassVar[int] = 1
    least_draws_for: ClassVar[str] = ""
    """What a message says the draws are for, where one is not enough."""

    def draws(self, terms: Terms) -> Float[Tensor, "sample ..."]:
        """One value for each draw; a closed form counts as one draw."""
        raise NotImplementedError

    def bound(self, log_px_z: Float[Tensor, "sample ..."], terms: Terms) -> Float[Tensor, "sample ..."]:
        """Draws of the ELBO with this KL."""
        return log_px_z - self.draws(terms)

    def gaussian(self, loc: Float[Tensor, "*batch dim"], scale: Float[Tensor, "*batch dim"]) -> Parts | None:
        """Variance of one draw for q = N(loc, scale^2); None here and below: no closed form is known."""
        return None

    def full_gaussian(self, loc: Float[Tensor, "*batch dim"], tril: Float[Tensor, "*batch dim dim"]) -> Parts | None:
        """Variance of one draw for q = N(loc, T T^t), T lower triangular."""
        return None

    def laplace(self, loc: Float[Tensor, "*batch dim"], b: Float[Tensor, "*batch dim"]) -> Parts | None:
        """Variance of one draw for q = Laplace(loc, b)."""
        return None

    def laplace_against_laplace(self, loc: Float[Tensor, "*batch dim"], b: Float[Tensor, "*batch dim"]) -> Parts | None:
        """Variance of one draw for q = Laplace(loc, b) against Laplace(0, 1)."""
        return None
