"""Monte Carlo estimators as pure functions on tensors: KL terms, bounds on log p(x), diagnostics of the latent space.

The sample axis is the first (or `dim`); every other axis is free. Everything is in nats. A *draw* of an estimator is
its value at one z; averages over draws are left to the caller, who also wants their standard error.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor

# --- KL(q(z|x) | p(z)): one value for each draw z ~ q(z|x) ----------------------------------------------------------


def k1(log_qz_x: Float[Tensor, "*shape"], log_pz: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log q(z|x) - log p(z): unbiased; its variance is 0 where q equals p, and a draw may be negative."""
    return log_qz_x - log_pz


def k3(log_qz_x: Float[Tensor, "*shape"], log_pz: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(r - 1) - log r with r = p(z) / q(z|x) (Schulman 2020): unbiased and never negative.

    Kept because it is asked for, not because it is good: for a Gaussian q against N(0, I) its variance is infinite as
    soon as one posterior variance is <= 1/2, as in every unit that a trained VAE uses.
    """
    log_ratio = log_pz - log_qz_x
    return torch.expm1(log_ratio) - log_ratio


def cross_entropy_kl(
    entropy: Float[Tensor, "*batch"], log_pz: Float[Tensor, "sample ..."]
) -> Float[Tensor, "sample ..."]:
    """-H(q) - log p(z), the entropy in closed form: for a Gaussian q against N(0, I) better than k1 in a dimension
    whose posterior variance is below 1/2, worse above."""
    return -entropy - log_pz


def control_variate_kl(
    k1_draws: Float[Tensor, "sample ..."], closed_form: Float[Tensor, "*batch"], coefficient: Float[Tensor, "*any"]
) -> Float[Tensor, "sample ..."]:
    """c k1 + (1 - c) KL: unbiased for any c fixed before the draws; c = 0 is the closed form, c = 1 is k1."""
    return closed_form + coefficient * (k1_draws - closed_form)


def control_variate_coefficient(
    log_px_z: Float[Tensor, "sample ..."], k1_draws: Float[Tensor, "sample ..."]
) -> Float[Tensor, "*batch"]:
    """The c for which log p(x|z) - [c k1 + (1 - c) KL] varies least: Cov(log p(x|z), k1) / Var(k1), over the draws.

    Near the exact posterior the sampled KL cancels the noise of the reconstruction (c -> 1); far from it the closed
    form is better (c -> 0). Fit it on other draws than those it is used on, else the estimate is biased. 0 where k1 is
    constant.
    """
    covariance, variance = covariance_over_draws(log_px_z, k1_draws), covariance_over_draws(k1_draws, k1_draws)
    return torch.where(variance > 0, covariance / variance, 0.0)


def covariance_over_draws(a: Float[Tensor, "sample ..."], b: Float[Tensor, "sample ..."]) -> Float[Tensor, "*batch"]:
    """Unbiased covariance along the first axis.

    Raises:
        ValueError: fewer than 2 draws.
    """
    if len(a) < 2:
        raise ValueError(f"a covariance needs at least 2 draws, got {len(a)}")
    return ((a - a.mean(0)) * (b - b.mean(0))).sum(0) / (len(a) - 1)


def predicted_k1_variance(
    loc: Float[Tensor, "*batch dim"], scale: Float[Tensor, "*batch dim"]
) -> Float[Tensor, "*batch"]:
    """Variance of one draw of k1 for q = N(loc, scale^2) against N(0, I), in nats^2."""
    return (0.5 * (scale.square() - 1).square() + (loc * scale).square()).sum(-1)


def predicted_cross_entropy_variance(
    loc: Float[Tensor, "*batch dim"], scale: Float[Tensor, "*batch dim"]
) -> Float[Tensor, "*batch"]:
    """Variance of one draw of `cross_entropy_kl` for q = N(loc, scale^2) against N(0, I), in nats^2."""
    return (0.5 * scale.pow(4) + (loc * scale).square()).sum(-1)


def predicted_k3_variance(
    loc: Float[Tensor, "*batch dim"], scale: Float[Tensor, "*batch dim"]
) -> Float[Tensor, "*batch"]:
    """Variance of one draw of k3 for q = N(loc, scale^2) against N(0, I), in nats^2: inf if any scale^2 <= 1/2.

    chi2 + V1 - 2 J with chi2 = Var_q(p/q), V1 = Var(k1), J = KL(q|p) + KL(p|q).
    """
    variance = scale.square()
    finite = variance > 0.5
    excess = torch.where(finite, 2 * variance - 1, 1.0)
    log_second_moment = variance.log() - 0.5 * excess.log() + loc.square() / excess
    chi2 = torch.expm1(torch.where(finite, log_second_moment, math.inf).sum(-1))
    jeffreys = 0.5 * ((variance + 1 / variance - 2) + loc.square() * (1 + 1 / variance)).sum(-1)
    return chi2 + predicted_k1_variance(loc, scale) - 2 * jeffreys
