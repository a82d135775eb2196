"""What z carries over a set of images: active units, I_q(x; z) and KL(q(z) | p(z))."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pipeline.model.vae import VAE
from pipeline.probability.diagnostics import active_units, aggregate_kl, mutual_information
from pipeline.probability.distributions import log_aggregate_posterior, reparameterise

MAX_IMAGES = 1024
MAX_DRAWS = 4096
"""q(z), the mean posterior, compares every draw with every image: about so many of each at most."""
LOC_DRAWS = 256
"""Draws behind a posterior mean that has no closed form."""


class LatentSpace(NamedTuple):
    active_units: int
    mutual_information: Float[Tensor, " image"]
    """log q(z|x) - log q(z), averaged over draws; its mean is I_q(x; z), at most log(number of images)."""
    aggregate_kl: Float[Tensor, " image"]
    """log q(z) - log p(z), averaged over draws; its mean is KL(q(z) | p(z))."""


def measure(vae: VAE, images: Tensor, generator: torch.Generator) -> LatentSpace:
    """Active units (Burda et al. 2016), and the two parts of the mean KL (Hoffman & Johnson 2016), q(z) being the mean
    posterior over these images.

    Raises:
        ValueError: fewer than 2 images.
    """
    locs = torch.cat([_loc(vae, vae.posterior(x), generator) for x in images.split(MAX_IMAGES)])
    images = images[:MAX_IMAGES]
    q = vae.posterior(images)
    z = _draw(vae, q, -(-MAX_DRAWS // len(images)), generator)
    log_qz = log_aggregate_posterior(q, z.flatten(0, 1)).view(z.shape[:2]).double()
    return LatentSpace(
        active_units(locs),
        mutual_information(q.log_prob(z).double(), log_qz).mean(0),
        aggregate_kl(log_qz, vae.prior().log_prob(z).double()).mean(0),
    )


def _loc(vae: VAE, q: Distribution, generator: torch.Generator) -> Float[Tensor, "image dim"]:
    """Means of q; for a flow, which knows none, averages over draws."""
    try:
        return q.mean
    except NotImplementedError:
        return _draw(vae, q, LOC_DRAWS, generator).mean(0)


def _draw(vae: VAE, q: Distribution, num_draws: int, generator: torch.Generator) -> Float[Tensor, "draw image dim"]:
    return reparameterise(q, vae.noise("iid", num_draws, q.batch_shape[0], generator))
