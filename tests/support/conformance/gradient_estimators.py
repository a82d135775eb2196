"""What every gradient estimator must fulfil: the mean of its gradient is the exact gradient of the bound.

The model has one pixel and one latent dimension, so the exact gradients are closed forms (ELBO) or quadrature (IWAE).
Means of independent estimates are compared with them within five standard errors, in float64.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, Normal, kl_divergence

from conformance.standard_errors import assert_mean
from pipeline.model.vae import VAE
from pipeline.probability.gradients.estimator import GradientEstimator
from pipeline.probability.kl.estimator import KLEstimator
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.sampling import draw
from pipeline.probability.schemes.registry import SCHEMES
from pipeline.training.objectives import Elbo, Iwae, Objective

REPEATS = 100_000
PIXEL = 2.0
START = {"loc": 1.2, "log_scale": 0.0, "weight": 0.9}
"""Wider than the posterior, so that weights have a finite variance, and wide enough for k3 to have one."""


class Repeated(VAE):
    """x = w z + N(0, s^2), one pixel and one latent dimension, with weights of its own for every image.

    Every image is the same, so the gradients of a batch are independent repeats of one gradient estimate.
    """

    def __init__(self, repeats: int, loc: float, log_scale: float, weight: float = 0.0, noise: float = 0.7) -> None:
        nn.Module.__init__(self)
        self.latent_dim, self.noise = 1, noise
        self.loc, self.log_scale, self.weight = (
            nn.Parameter(torch.full((repeats, 1), value, dtype=torch.float64)) for value in (loc, log_scale, weight)
        )

    def posterior(self, x: Tensor) -> Distribution:
        return Independent(Normal(self.loc, self.log_scale.exp()), 1)

    def prior(self) -> Distribution:
        zero = torch.zeros(1, dtype=torch.float64)
        return Independent(Normal(zero, zero + 1), 1)

    def log_px_z(self, x: Tensor, z: Tensor, *, max_decodes: int = 1) -> Tensor:
        return Normal(self.weight * z, self.noise).log_prob(x.flatten(1)).sum(-1)


def gradients(
    objective: Objective, vae: Repeated, seed: int = 0, kl_weight: float = 1.0, scheme: str = "iid"
) -> dict[str, Tensor]:
    """Independent estimates of the gradient of the loss of one image, one for each repeat."""
    repeats = len(vae.loc)
    generator = torch.Generator().manual_seed(seed)
    noise = draw(scheme, objective.num_draws, repeats, 1, generator=generator, dtype=torch.float64)
    x = torch.full((repeats, 1, 1), PIXEL, dtype=torch.float64)
    objective(vae, x, noise, kl_weight).loss.backward()
    return {
        name: parameter.grad.squeeze(-1) * repeats
        for name, parameter in vae.named_parameters()
        if parameter.grad is not None
    }


def exact_elbo_gradient(kl_weight: float = 1.0) -> dict[str, float]:
    values = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in START.items()}
    loc, scale, weight = values["loc"], values["log_scale"].exp(), values["weight"]
    reconstruction = ((PIXEL - weight * loc).square() + (weight * scale).square()) / (2 * 0.7**2)
    kl = kl_divergence(Normal(loc, scale), Normal(0.0, 1.0))
    exact = torch.autograd.grad(reconstruction + kl_weight * kl, list(values.values()))
    return {name: float(value) for name, value in zip(values, exact, strict=True)}


def exact_iwae_gradient(count: int) -> dict[str, float]:
    """Gauss-Hermite quadrature over the noise of `count` draws, differentiated."""
    nodes, weights = (torch.from_numpy(values) for values in np.polynomial.hermite_e.hermegauss(40))
    grid = torch.cartesian_prod(*[nodes] * count).reshape(-1, count)
    mass = torch.cartesian_prod(*[weights / weights.sum()] * count).reshape(-1, count).prod(-1)
    values = {name: torch.tensor(value, dtype=torch.float64, requires_grad=True) for name, value in START.items()}
    scale = values["log_scale"].exp()
    z = values["loc"] + scale * grid
    log_weights = Normal(values["weight"] * z, 0.7).log_prob(torch.tensor(PIXEL)) + Normal(0.0, 1.0).log_prob(z)
    log_weights = log_weights - Normal(values["loc"], scale).log_prob(z)
    bound = (mass * (torch.logsumexp(log_weights, -1) - math.log(count))).sum()
    exact = torch.autograd.grad(-bound, list(values.values()))
    return {name: float(value) for name, value in zip(values, exact, strict=True)}


# --- the checks -----------------------------------------------------------------------------------------------------


def check_facts(gradient: GradientEstimator) -> None:
    """Its facts are complete; what it says of KL estimators leaves it one."""
    assert gradient.name
    assert gradient.label
    assert gradient.objectives
    assert set(gradient.objectives) <= {Elbo.name, Iwae.name}
    assert bool(gradient.least_draws_for) == (gradient.least_draws > 1)
    assert any(gradient.takes(kl) for kl in KL_ESTIMATORS.values())


def schemes_of(gradient: GradientEstimator) -> list[str]:
    """The sampling schemes that it is unbiased with."""
    return [name for name, scheme in SCHEMES.items() if scheme.independent or not gradient.needs_independent_draws]


def check_elbo(gradient: GradientEstimator, kl: KLEstimator, scheme: str, kl_weight: float = 1.0) -> None:
    """The gradient of the ELBO in the location and scale of q and in a weight of the decoder, from two draws."""
    estimates = gradients(Elbo(2, kl, gradient), Repeated(REPEATS, *START.values()), 0, kl_weight, scheme)
    for name, value in exact_elbo_gradient(kl_weight).items():
        assert_mean(estimates[name], value)


def check_iwae(gradient: GradientEstimator, num_samples: int, num_importance_samples: int) -> None:
    """The gradient of the importance-weighted bound, in the same parameters.

    Of independent draws: draws that depend on each other inside the logarithm have another, also valid, bound.
    """
    objective = Iwae(num_samples, num_importance_samples, gradient)
    estimates = gradients(objective, Repeated(REPEATS, *START.values()))
    for name, value in exact_iwae_gradient(num_importance_samples).items():
        assert_mean(estimates[name], value)
