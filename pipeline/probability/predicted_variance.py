"""Closed-form variances of the KL estimators, from the parameters of q(z|x): what measurements must equal.

Write one draw of an estimator as even + odd part in the noise (e -> -e). Independent draws average both; an antithetic
pair cancels the odd part and keeps the even part whole:

    iid: (even + odd) / L        antithetic: 2 even / L  (L >= 2)
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace, MultivariateNormal, Normal

from pipeline.probability.kl.estimator import KLEstimator, Parts
from pipeline.probability.schemes.scheme import SamplingScheme


def predicted_variance(
    estimator: KLEstimator, q: Distribution, prior: Distribution, scheme: SamplingScheme, num_samples: int
) -> Float[Tensor, " image"] | None:
    """Variance given x of an average over `num_samples` draws, in nats^2, float64; None where there is no closed form.

    Infinite where the variance is (k3 with a posterior variance <= 1/2).
    """
    parts = one_draw(estimator, q, prior)
    return None if parts is None else scheme.variance(parts, num_samples)


def one_draw(estimator: KLEstimator, q: Distribution, prior: Distribution) -> Parts | None:
    """Variance of one draw of the estimator (of one that takes a coefficient: at coefficient 1)."""
    if isinstance(q, MultivariateNormal):
        return estimator.full_gaussian(q.loc.double(), q.scale_tril.double()) if _is_standard(prior, Normal) else None
    if not (isinstance(q, Independent) and isinstance(q.base_dist, (Normal, Laplace))):
        return None
    loc, scale = q.base_dist.loc.double(), q.base_dist.scale.double()
    if isinstance(q.base_dist, Normal):
        return estimator.gaussian(loc, scale) if _is_standard(prior, Normal) else None
    if _is_standard(prior, Normal):
        return estimator.laplace(loc, scale)
    return estimator.laplace_against_laplace(loc, scale) if _is_standard(prior, Laplace) else None


def _is_standard(prior: Distribution, family: type[Normal] | type[Laplace]) -> bool:
    """Whether the prior is N(0, I), or the product of Laplace(0, 1)."""
    if not (isinstance(prior, Independent) and isinstance(prior.base_dist, family)):
        return False
    return bool((prior.base_dist.loc == 0).all() and (prior.base_dist.scale == 1).all())
