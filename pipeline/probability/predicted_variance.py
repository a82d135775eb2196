"""Closed-form variances of the KL estimators, from the parameters of q(z|x): what the study's measurements must equal.

Write one draw of an estimator as even + odd part in the noise (e -> -e). Independent draws average both; an antithetic
pair cancels the odd part and keeps the even part whole:

    iid: (even + odd) / L        antithetic: 2 even / L  (L >= 2)

Gaussian q against N(0, I): k1 is quadratic in the noise, its even part 0.5 (sigma^2 - 1)^2, its odd part mu^2 sigma^2.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, Laplace, MultivariateNormal, Normal

from pipeline.probability import kl as estimators
from pipeline.probability.sampling import Scheme


class Parts(NamedTuple):
    """Variance of one draw, [image]: all of it, and its even part (None: not known in closed form)."""

    total: Float[Tensor, " image"]
    even: Float[Tensor, " image"] | None = None


def predicted_variance(
    quantity: str, q: Distribution, prior: Distribution, scheme: Scheme, num_samples: int
) -> Float[Tensor, " image"] | None:
    """Variance given x of an average over `num_samples` draws, in nats^2, float64; None where there is no closed form.

    Infinite where the variance is (k3 with a posterior variance <= 1/2).
    """
    parts = one_draw(quantity, q, prior)
    if parts is None:
        return None
    if num_samples == 1 or scheme == "iid":
        return parts.total / num_samples
    if scheme == "antithetic" and parts.even is not None:
        return 2 * parts.even / num_samples
    return None


def one_draw(quantity: str, q: Distribution, prior: Distribution) -> Parts | None:
    """Variance of one draw of k1, k3 or the cross-entropy KL."""
    if isinstance(q, MultivariateNormal) and _is_standard(prior, Normal):
        return _full_gaussian(quantity, q.loc.double(), q.scale_tril.double())
    if not isinstance(q, Independent):
        return None
    base = q.base_dist
    if isinstance(base, Normal) and _is_standard(prior, Normal):
        return _gaussian(quantity, base.loc.double(), base.scale.double())
    if isinstance(base, Laplace) and _is_standard(prior, Normal):
        return _laplace_normal(quantity, base.loc.double(), base.scale.double())
    if isinstance(base, Laplace) and _is_standard(prior, Laplace):
        return _laplace_laplace(quantity, base.loc.double(), base.scale.double())
    return None


def _is_standard(prior: Distribution, family: type[Normal] | type[Laplace]) -> bool:
    if not (isinstance(prior, Independent) and isinstance(prior.base_dist, family)):
        return False
    return bool((prior.base_dist.loc == 0).all() and (prior.base_dist.scale == 1).all())


def _gaussian(quantity: str, loc: Tensor, scale: Tensor) -> Parts | None:
    if quantity == "k1":
        return Parts(estimators.predicted_k1_variance(loc, scale), (0.5 * (scale.square() - 1).square()).sum(-1))
    if quantity == "cross_entropy":
        return Parts(estimators.predicted_cross_entropy_variance(loc, scale), (0.5 * scale.pow(4)).sum(-1))
    if quantity == "k3":
        return Parts(estimators.predicted_k3_variance(loc, scale))
    return None


def _full_gaussian(quantity: str, loc: Tensor, scale_tril: Tensor) -> Parts | None:
    """z = loc + T e: log q - log p is the quadratic form e^T (T^T T - I) e / 2 + loc^T T e, up to a constant."""
    gram = scale_tril.mT @ scale_tril
    odd = (scale_tril.mT @ loc.unsqueeze(-1)).square().sum((-2, -1))
    if quantity == "k1":
        gram = gram - torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    elif quantity != "cross_entropy":
        return None
    even = 0.5 * gram.square().sum((-2, -1))
    return Parts(even + odd, even)


def _laplace_normal(quantity: str, loc: Tensor, b: Tensor) -> Parts | None:
    """z = loc + b l with l ~ Laplace(0, 1): -log p(z) is z^2 / 2, log q(z) is -|l|, both up to a constant."""
    odd = (2 * loc.square() * b.square()).sum(-1)
    if quantity == "k1":
        even = (1 + 5 * b.pow(4) - 4 * b.square()).sum(-1)
    elif quantity == "cross_entropy":
        even = (5 * b.pow(4)).sum(-1)
    else:
        return None
    return Parts(even + odd, even)


def _laplace_laplace(quantity: str, loc: Tensor, b: Tensor) -> Parts | None:
    if quantity != "k1":
        return None
    distance = loc.abs()
    tail = torch.exp(-distance / b)
    total = 1 + loc.square() + 2 * b.square() - (distance + b * tail).square() - 2 * (distance + b) * tail
    return Parts(total.sum(-1))
