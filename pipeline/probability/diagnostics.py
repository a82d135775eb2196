"""Diagnostics of importance weights and of the latent space, as pure functions on tensors."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


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
