"""What z carries over a set of images: active units, and bounds on I_q(x; z) and KL(q(z) | p(z))."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pipeline.model.vae import VAE
from pipeline.probability.diagnostics import active_units, aggregate_kl, mutual_information
from pipeline.probability.distributions import log_aggregate_of_others, reparameterise

DRAWN_IMAGES = 1024
"""Images whose draws are looked at, at most; q(z) is the mean posterior over all images."""
MAX_DRAWS = 4096
"""Draws in all, where q(z) is the mean over no more than DRAWN_IMAGES; else one of each of these."""
LOC_DRAWS = 256
"""Draws behind a posterior mean that has no closed form."""
CAP_MARGIN = 0.5
"""Nats below its cap log N within which the lower bound of I(x; z) says nothing but that it has reached it."""


class LatentSpace(NamedTuple):
    """Active units; bounds on I(x; z) and on KL(q(z) | p(z)), whose sum is the mean KL, as means over images.

    With the unknown q(z) of all the data in place of the mean posterior over N images, I(x; z) lies between the
    minibatch bound, which never exceeds log N, and the leave-one-out bound (Poole et al. 2019). It
    is at most the mean KL too, since KL(q(z) | p(z)) >= 0; `mutual_information_upper` is the smaller of the two.
    """

    active_units: int
    mutual_information: Float[Tensor, " image"]
    """Lower: log q(z|x) - log q(z) with the mean posterior as q(z), averaged over draws."""
    mutual_information_upper: Float[Tensor, " image"]
    aggregate_kl: Float[Tensor, " image"]
    """Upper: log q(z) - log p(z) with the mean posterior as q(z), averaged over draws."""
    aggregate_kl_lower: Float[Tensor, " image"]
    """The mean KL less `mutual_information_upper`: 0 where that is the mean KL itself."""
    mutual_information_cap: float
    """log N: the largest value that the lower bound can have."""

    @property
    def values(self) -> dict[str, Float[Tensor, " image"]]:
        """What has a mean over images, by name."""
        named: dict[str, Tensor] = {name: v for name, v in self._asdict().items() if isinstance(v, Tensor)}
        return named


def measure(vae: VAE, images: Tensor, generator: torch.Generator) -> LatentSpace:
    """Active units (Burda et al. 2016), and the two parts of the mean KL (Hoffman & Johnson 2016) between bounds.

    Raises:
        ValueError: fewer than 2 images.
    """
    locs = torch.cat([_loc(vae, vae.posterior(x), generator) for x in images.split(DRAWN_IMAGES)])
    number, drawn = len(images), min(len(images), DRAWN_IMAGES)
    q_drawn = vae.posterior(images[:drawn])
    z = _draw(vae, q_drawn, -(-MAX_DRAWS // drawn) if number == drawn else 1, generator)
    q = q_drawn if number == drawn else vae.posterior(images)
    own = torch.arange(drawn, device=z.device).repeat(len(z))
    every, others = (log.view(z.shape[:2]).double() for log in log_aggregate_of_others(q, z.flatten(0, 1), own))
    log_qz_x, log_pz = q_drawn.log_prob(z).double(), vae.prior().log_prob(z).double()
    kl = (log_qz_x - log_pz).mean(0)
    upper = min(mutual_information(log_qz_x, others).mean(0), kl, key=lambda bound: float(bound.mean()))
    return LatentSpace(
        active_units(locs),
        mutual_information(log_qz_x, every).mean(0),
        upper,
        aggregate_kl(every, log_pz).mean(0),
        kl - upper,
        math.log(number),
    )


def _loc(vae: VAE, q: Distribution, generator: torch.Generator) -> Float[Tensor, "image dim"]:
    """Means of q; for a flow, which knows none, averages over draws."""
    try:
        return q.mean
    except NotImplementedError:
        return _draw(vae, q, LOC_DRAWS, generator).mean(0)


def _draw(vae: VAE, q: Distribution, num_draws: int, generator: torch.Generator) -> Float[Tensor, "draw image dim"]:
    return reparameterise(q, vae.noise("iid", num_draws, q.batch_shape[0], generator))
