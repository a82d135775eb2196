"""An evaluation of a linear-Gaussian VAE whose every answer is known exactly."""

from __future__ import annotations

from typing import NamedTuple

import torch
from linear_vae import images_of, linear_vae, set_best_posterior
from torch import Tensor

from pipeline.config import EvaluationConfig
from pipeline.evaluation import evaluate as evaluation
from pipeline.model.linear_gaussian import from_vae
from pipeline.model.vae import VAE


def sizes(**changes: object) -> EvaluationConfig:
    """Small sizes, the optional parts off."""
    small = {"num_importance_samples": [1, 8, 64], "gap_images": 0, "prior_draws": 0, "ais_images": 0}
    return EvaluationConfig.model_validate(small | changes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Measured(NamedTuple):
    vae: VAE
    x: Tensor
    result: evaluation.Evaluation


def measured_with_every_part() -> Measured:
    """A model whose q is off in mean and scale, evaluated with every part on."""
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.1, stretch=1.2)
    x = images_of(exact, 24)
    every_part = sizes(
        num_samples=64, gap_images=24, ais_images=8, ais_temperatures=10, prior_draws=100_000, prior_images=8
    )
    return Measured(vae, x, evaluation.evaluate(vae, x, every_part, seed=1))


def exact_of(vae: VAE, x: Tensor) -> dict[str, Tensor]:
    """Exact per-image answers."""
    model, flat = from_vae(vae), x.flatten(1)
    with torch.no_grad():
        q = vae.posterior(x)
        return {
            "log_px": model.log_px(flat),
            "elbo": model.elbo(flat, q),
            "reconstruction": -model.reconstruction(flat, q),
            "best_elbo": model.elbo(flat, model.best_diagonal(flat)),
            "rho": model.prior_monte_carlo_rho(flat),
            "second_moment": model.log_weight_moment(flat, q).exp(),
        }
