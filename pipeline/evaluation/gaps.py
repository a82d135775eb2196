"""Where the bound is lost: approximation and amortisation gap (Cremer, Li & Duvenaud 2018, equation 4).

    log p(x) - ELBO(q)  =  [log p(x) - ELBO(q*)]  +  [ELBO(q*) - ELBO(q)]
                           approximation gap         amortisation gap

q* is the best member of the posterior's family for one image: the head's features are optimised for that image instead
of being predicted by the encoder. For a flow posterior that moves the context of the shared flow alone, so what its
networks amortise stays in the approximation gap.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from pipeline.model.vae import VAE
from pipeline.probability.distributions import reparameterise
from pipeline.probability.gradients.estimator import path_log_prob

DRAWS = 8
"""Draws per step: four antithetic pairs, which cancel the odd part of the gradient's noise."""
LEARNING_RATE = 0.05
CHECKS = 4
"""Steps on the way that may be the best, about."""
CHECK_DRAWS = 256
"""Draws behind each comparison, the same at every step."""
CLEARLY = 3.0


def optimise(vae: VAE, x: Tensor, steps: int, generator: torch.Generator) -> Distribution:
    """q* for every image of x: the best of `steps` steps of Adam from the encoder's answer, that answer included.

    Draws are new in every step, so q* is not fitted to a sample. The gradient leaves out the score term
    (Roeder et al. 2017): its noise vanishes where q* reaches the posterior. Where steps are too large or too few, the
    last is not the best (`_best`).
    """
    features = _features(vae, x).requires_grad_()
    optimizer = torch.optim.Adam([features], lr=LEARNING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    shared = vae.noise("iid", CHECK_DRAWS, len(x), generator)
    passed, every = [features.detach().clone()], max(1, steps // CHECKS)
    for step in range(1, steps + 1):
        with torch.enable_grad():
            noise = vae.noise("antithetic", DRAWS, len(x), generator)
            (features.grad,) = torch.autograd.grad(-_elbo(vae, x, features, noise).mean(0).sum(), features)
        optimizer.step()
        schedule.step()
        if step % every == 0 or step == steps:
            passed.append(features.detach().clone())
    best: Distribution = vae.posterior_head(_best(vae, x, passed, shared))
    return best


@torch.no_grad()
def _best(vae: VAE, x: Tensor, passed: list[Tensor], noise: Tensor) -> Float[Tensor, "image feature"]:
    """The features of each image that gave the highest ELBO; the last ones, unless others are better.

    All are compared on the same draws, and the best of many by its luck with them is not the best: a step on the way
    must beat the last by CLEARLY standard errors of their paired difference. The encoder's answer need only beat it:
    a gap below zero is impossible.
    """
    last = _elbo(vae, x, passed[-1], noise)
    chosen, highest = passed[-1], torch.zeros_like(last[0])
    for number, features in enumerate(passed[:-1]):
        gain = _elbo(vae, x, features, noise) - last
        mean, error = gain.mean(0), gain.std(0) / len(noise) ** 0.5
        better = (mean > highest) & (mean > (CLEARLY * error if number else 0.0))
        chosen = torch.where(better.unsqueeze(-1), features, chosen)
        highest = torch.where(better, mean, highest)
    return chosen


def _features(vae: VAE, x: Tensor) -> Float[Tensor, "image feature"]:
    with torch.no_grad():
        return vae.encode(x).clone()


def _elbo(
    vae: VAE, x: Tensor, features: Tensor, noise: Float[Tensor, "sample image dim"]
) -> Float[Tensor, "sample image"]:
    """Draws of the ELBO."""
    q: Distribution = vae.posterior_head(features)
    z = reparameterise(q, noise)
    return vae.log_px_z(x, z) + vae.prior().log_prob(z) - path_log_prob(q, z)
