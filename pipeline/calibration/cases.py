"""Models with a known truth, which the calibration holds estimators against."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from pipeline.config import GaussianLikelihood, LinearConfig, ModelConfig
from pipeline.evaluation import evidence
from pipeline.model.linear_gaussian import LinearGaussian, from_vae
from pipeline.model.vae import VAE, build_vae


@dataclass(frozen=True)
class Case:
    """A linear VAE, its exact model, and images of its own (`posterior_draw` made `x`)."""

    vae: VAE
    model: LinearGaussian
    x: Float[Tensor, "batch height width"]
    posterior_draw: Float[Tensor, "batch latent"]

    @property
    def flat(self) -> Float[Tensor, "batch pixel"]:
        return self.x.flatten(1)

    def posterior(self) -> Independent[Normal]:
        with torch.no_grad():
            q = self.vae.posterior(self.x)
        assert isinstance(q, Independent)
        return q


def linear_case(latent_dim: int, images: int, generator: torch.Generator, scale: float = 1.0) -> Case:
    """Fresh weights in float64, q about as wide as the prior.

    So q is off the posterior, and wider: weights p(x, z) / q(z|x), and p(z) / q(z|x) in k3, keep finite moments,
    without which a standard error means nothing.
    """
    config = ModelConfig(latent_dim=latent_dim, network=LinearConfig(), likelihood=GaussianLikelihood(scale=scale))
    vae = build_vae(config, image_shape=(2, 3), levels=16, generator=generator).double()
    encoder = list(vae.encoder.modules())[-1]
    assert isinstance(encoder, nn.Linear)
    with torch.no_grad():
        encoder.weight[latent_dim:] *= 0.1
        encoder.bias[latent_dim:] = 0.1
    x, z = evidence.simulate(vae, images, generator)
    return Case(vae, from_vae(vae), x, z)


def expected_log_mean(
    log_weights: Float[Tensor, "node ..."], noise: Float[Tensor, " node"], num_importance_samples: int
) -> Tensor:
    """E log((w_1 + ... + w_K) / K) for weights w(e), e ~ N(0, 1) given on an even grid: exact for every K.

    By Frullani's integral log S = int (exp(-t) - exp(-t S)) / t dt, so E log S = int (exp(-t) - M(t/K)^K) / t dt with
    the Laplace transform M(t) = E exp(-t w), a one-dimensional quadrature. Differentiable in the weights.
    """
    probabilities = torch.exp(-0.5 * noise**2) * (noise[1] - noise[0]) / math.sqrt(2 * math.pi)
    probabilities = probabilities / probabilities.sum()
    centre = torch.logsumexp(log_weights.detach() + probabilities.log().view(-1, *[1] * (log_weights.dim() - 1)), 0)
    # In log t the integrand is analytic in a strip, so a coarse even grid is exact to rounding; it ends where exp(-t w)
    # is zero even for the smallest weight.
    step, end = 0.25, math.log(num_importance_samples) + 4 - float((log_weights.detach() - centre).min())
    total: Tensor = centre
    for log_t in torch.arange(-40, end, step, dtype=torch.float64).split(50):
        t = log_t.exp().view(-1, *[1] * log_weights.dim())
        damped = torch.exp(-t / num_importance_samples * (log_weights - centre).exp())
        transform = torch.einsum("tn...,n->t...", damped, probabilities)
        start = torch.exp(-t.squeeze(1))
        total = total + step * (start - transform**num_importance_samples).sum(0)
    return total
