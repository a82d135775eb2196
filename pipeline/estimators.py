"""Monte Carlo estimators as pure functions on tensors: KL terms, bounds on log p(x), diagnostics of the latent space.

The sample axis is the first (or `dim`); every other axis is free. Everything is in nats. A *draw* of an estimator is
its value at one z; averages over draws are left to the caller, who also wants their standard error.
"""

from __future__ import annotations

import math

import numpy as np
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


# --- bounds on log p(x) from log importance weights log p(x,z) - log q(z|x) -----------------------------------------


def log_mean_exp(log_weights: Float[Tensor, "*shape"], dim: int = 0) -> Float[Tensor, "*rest"]:
    """log of the mean weight. Its expectation is below log E(w), by about Var(w) / (2 K E(w)^2)."""
    return torch.logsumexp(log_weights, dim) - math.log(log_weights.shape[dim])


def iwae_bound(log_weights: Float[Tensor, "sample ..."], num_importance_samples: int) -> Float[Tensor, "outer ..."]:
    """Draws of the importance-weighted bound (Burda et al. 2016, equation 8) from sample = outer x K weights.

    Raises:
        ValueError: K below 1, or a number of draws that is no multiple of K.
    """
    return log_mean_exp(importance_groups(log_weights, num_importance_samples), dim=1)


def importance_groups(
    log_weights: Float[Tensor, "sample ..."], num_importance_samples: int
) -> Float[Tensor, "outer inner ..."]:
    """K consecutive draws make one group."""
    if num_importance_samples < 1:
        raise ValueError(f"num_importance_samples must be at least 1, got {num_importance_samples}")
    if len(log_weights) % num_importance_samples:
        raise ValueError(
            f"the number of draws must be a multiple of num_importance_samples {num_importance_samples}, "
            f"got {len(log_weights)}"
        )
    groups: Tensor = log_weights.unflatten(0, (-1, num_importance_samples))
    return groups


def leave_one_out_bound(log_weights: Float[Tensor, "*shape"], dim: int = 0) -> Float[Tensor, "*shape"]:
    """For each draw the log-mean-exp of the others, in time linear in K.

    Sums from both ends instead of log(sum - own weight), which cancels to nothing where one weight dominates.

    Raises:
        ValueError: fewer than 2 draws.
    """
    count = log_weights.shape[dim]
    if count < 2:
        raise ValueError(f"leaving one out needs at least 2 draws, got {count}")
    nothing = torch.full_like(log_weights.narrow(dim, 0, 1), -math.inf)
    before = torch.logcumsumexp(log_weights, dim).narrow(dim, 0, count - 1)
    after = torch.logcumsumexp(log_weights.flip(dim), dim).narrow(dim, 0, count - 1).flip(dim)
    others = torch.logaddexp(torch.cat((nothing, before), dim), torch.cat((after, nothing), dim))
    return others - math.log(count - 1)


def jackknife(log_weights: Float[Tensor, "*shape"], dim: int = 0) -> Float[Tensor, "*rest"]:
    """JVI-1 (Nowozin 2018): K L_K - (K-1) mean L_{K-1}. Its bias is O(1/K^2); unlike L_K it is no bound."""
    count = log_weights.shape[dim]
    return count * log_mean_exp(log_weights, dim) - (count - 1) * leave_one_out_bound(log_weights, dim).mean(dim)


def effective_sample_size(log_weights: Float[Tensor, "*shape"], dim: int = 0) -> Float[Tensor, "*rest"]:
    """(sum w)^2 / sum w^2: from 1 (one weight has it all) to K (all equal)."""
    return torch.exp(2 * torch.logsumexp(log_weights, dim) - torch.logsumexp(2 * log_weights, dim))


def pareto_k(log_weights: Float[Tensor, "sample ..."]) -> Float[Tensor, "*batch"]:
    """Shape of the generalised Pareto tail of the weights (Vehtari et al. 2024), by arviz-stats.

    Above 0.5 the weights have no finite variance, above 0.7 the estimate is not to be trusted. NaN where there is no
    tail to fit (fewer than 25 draws, or equal weights), inf where the tail spans more than double precision.
    """
    columns = log_weights.detach().double().cpu().reshape(len(log_weights), -1).T
    shapes = torch.tensor([_tail_shape(column) for column in columns], dtype=torch.float64)
    return shapes.reshape(log_weights.shape[1:])


def _tail_shape(log_weights: Float[Tensor, " sample"]) -> float:
    from arviz_stats.base.array import array_stats  # slow to import, and only evaluations need it

    count = len(log_weights)
    if count < 25:
        return math.nan
    tail = log_weights.sort(descending=True).values[: 1 + (math.isqrt(9 * count) if count > 225 else count // 5)]
    if tail[0] - tail[-1] > 700:  # exp underflows, and a fit to zeros would look harmless
        return math.inf
    with np.errstate(all="ignore"):
        try:
            # PSIS is written for leave-one-out: it expects the log-likelihood, whose negative is the log weight.
            _, shape = array_stats.psislw(-log_weights.numpy())
        except ValueError:  # "All tail values are the same"
            return math.nan
    return float(shape)


# --- the latent space -----------------------------------------------------------------------------------------------


def active_units(loc: Float[Tensor, "image dim"], threshold: float = 0.01) -> int:
    """Number of dimensions whose posterior mean varies over images: Var_x(E[z_d|x]) > threshold (Burda et al. 2016).

    Raises:
        ValueError: fewer than 2 images.
    """
    if len(loc) < 2:
        raise ValueError(f"active_units needs at least 2 images, got {len(loc)}")
    return int((loc.var(0) > threshold).sum())


def mutual_information(log_qz_x: Float[Tensor, "*shape"], log_qz: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log q(z|x) - log q(z), whose mean is I_q(x; z); q(z) is the mean posterior over N images, so it is <= log N.

    KL(q(z|x) | p(z)) on average = I_q(x; z) + KL(q(z) | p(z)) (Hoffman & Johnson 2016).
    """
    return log_qz_x - log_qz


def aggregate_kl(log_qz: Float[Tensor, "*shape"], log_pz: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """log q(z) - log p(z), whose mean is KL(q(z) | p(z)): how far the mean posterior is from the prior."""
    return log_qz - log_pz


def bits_per_dim(bound: Float[Tensor, "*shape"] | float, num_pixels: int) -> Float[Tensor, "*shape"] | float:
    """A bound in nats per image -> bits per pixel, the sign turned: less is better."""
    return -bound / (num_pixels * math.log(2))
