"""Bounds on log p(x) from log importance weights log p(x, z) - log q(z|x), as pure functions on tensors.

The sample axis is the first (or `dim`), every other axis is free, everything is in nats.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


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


class Bound(NamedTuple):
    """An estimate of log p(x) from K importance weights, with what is known of its expectation."""

    name: str
    label: str
    """Its name in the report."""
    about: str
    """What it is, in the calibration table."""
    of: Callable[[Float[Tensor, "sample ..."]], Float[Tensor, "*batch"]]
    """K log weights along the first axis -> one draw."""
    expectation: Callable[[Callable[[int], float], int], float]
    """From the function K -> E log mean of K weights, and K."""
    least_draws: int = 1
    below: bool = True
    """Whether its expectation is below log p(x) for any weights."""
    uses_all_draws: bool = True
    """Whether its expectation changes with K; if not, further draws only average."""


def _mean(log_weights: Float[Tensor, "sample ..."]) -> Float[Tensor, "*batch"]:
    return log_weights.mean(0)


def _expected_jackknife(expected: Callable[[int], float], num: int) -> float:
    return num * expected(num) - (num - 1) * expected(num - 1)


_ALL = (
    Bound("elbo", "ELBO", "E log w", _mean, lambda expected, num: expected(1), uses_all_draws=False),
    Bound("iwae", "IWAE", "E log mean of K weights", log_mean_exp, lambda expected, num: expected(num)),
    Bound("jackknife", "JVI-1", "JVI-1", jackknife, _expected_jackknife, least_draws=2, below=False),
)
BOUNDS = {bound.name: bound for bound in _ALL}
"""By name, in the order of the calibration table."""
