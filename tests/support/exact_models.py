"""Linear-Gaussian models, whose evidence is known, with the draws that estimators of log p(x) take."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, Normal

from pipeline.evaluation import annealing
from pipeline.evaluation.evidence import Draw
from pipeline.model.linear_gaussian import LinearGaussian

DOUBLE = torch.float64


def make_model(latent_dim: int = 3, scale: float = 0.8, num_pixels: int = 6) -> LinearGaussian:
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(num_pixels, latent_dim, generator=generator, dtype=DOUBLE) / math.sqrt(num_pixels) * 2
    return LinearGaussian(weight, torch.randn(num_pixels, generator=generator, dtype=DOUBLE), scale)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def weights_of(model: LinearGaussian, x: Tensor, q: MultivariateNormal, generator: torch.Generator) -> Draw:
    def draw(num: int) -> Tensor:
        noise = torch.randn(num, *q.loc.shape, generator=generator, dtype=DOUBLE)
        z = q.loc + (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
        return model.log_joint(x, z) - q.log_prob(z)

    return draw


def prior_path(model: LinearGaussian, x: Tensor, **settings: int) -> annealing.Path:
    generator = rng(3)
    return annealing.Path(
        draw_start=lambda num: torch.randn(num, len(x), model.latent_dim, generator=generator, dtype=DOUBLE),
        log_start=lambda z: Normal(0.0, 1.0).log_prob(z).sum(-1),
        log_joint=lambda z: model.log_joint(x, z),
        **settings,  # type: ignore[arg-type]
    )
