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


def optimise(vae: VAE, x: Tensor, steps: int, generator: torch.Generator) -> Distribution:
    """q* for every image of x: `steps` steps of Adam from the encoder's answer, the step size falling to 0.

    Draws are new in every step, so q* is not fitted to a sample. The gradient leaves out the score term
    (Roeder et al. 2017): its noise vanishes where q* reaches the posterior.
    """
    features = _features(vae, x).requires_grad_()
    optimizer = torch.optim.Adam([features], lr=LEARNING_RATE, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with torch.enable_grad():
        for _ in range(steps):
            noise = vae.noise("antithetic", DRAWS, len(x), generator)
            (features.grad,) = torch.autograd.grad(-_elbo(vae, x, features, noise).sum(), features)
            optimizer.step()
            schedule.step()
    best: Distribution = vae.posterior_head(features.detach())
    return best


def _features(vae: VAE, x: Tensor) -> Float[Tensor, "image feature"]:
    with torch.no_grad():
        return vae.encode(x).clone()


def _elbo(vae: VAE, x: Tensor, features: Tensor, noise: Float[Tensor, "sample image dim"]) -> Float[Tensor, " image"]:
    q: Distribution = vae.posterior_head(features)
    z = reparameterise(q, noise)
    return (vae.log_px_z(x, z) + vae.prior().log_prob(z) - path_log_prob(q, z)).mean(0)
