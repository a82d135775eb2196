"""What z carries: active units, information and mismatch, against quadrature."""

from __future__ import annotations

import math

import pytest
import torch
from exact_evaluation import generator
from linear_vae import SHAPE, linear_vae, set_posterior
from torch import Tensor

from pipeline.evaluation import latent_space
from pipeline.model.vae import VAE


def posteriors(locs: Tensor, scale: float) -> tuple[VAE, Tensor]:
    """A model and images for which q(z|x_n) = N(locs[n], scale^2)."""
    num, dim = locs.shape
    x = torch.zeros(num, math.prod(SHAPE), dtype=torch.float64)
    x[:, :dim] = locs
    vae = linear_vae(dim)
    set_posterior(vae, torch.eye(dim, math.prod(SHAPE)), torch.zeros(dim), torch.full((dim,), scale).double())
    return vae, x.unflatten(-1, SHAPE)


@torch.no_grad()
def test_information_and_mismatch_match_quadrature() -> None:
    locs = torch.linspace(-2, 2, 8, dtype=torch.float64).unsqueeze(1)
    vae, x = posteriors(locs, 0.5)
    carried = latent_space.measure(vae, x, generator())
    z = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    normal = torch.distributions.Normal(locs, 0.5)
    aggregate = normal.log_prob(z).logsumexp(0) - math.log(8)
    width = 16 / 20_000
    prior = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0).log_prob(z)
    mismatch = float((aggregate.exp() * (aggregate - prior)).sum() * width)
    information = float(-(aggregate.exp() * aggregate).sum() * width) - float(normal.entropy().mean())
    for value, exact in ((carried.mutual_information, information), (carried.aggregate_kl, mismatch)):
        assert float(value.mean()) == pytest.approx(exact, abs=5 * 1.5 / math.sqrt(latent_space.MAX_DRAWS))


@torch.no_grad()
def test_information_of_separate_and_of_equal_posteriors() -> None:
    vae, x = posteriors(50.0 * torch.arange(6, dtype=torch.float64).unsqueeze(1), 0.5)
    assert float(latent_space.measure(vae, x, generator()).mutual_information.mean()) == pytest.approx(math.log(6))
    vae, x = posteriors(torch.ones(6, 1, dtype=torch.float64), 0.5)
    same = latent_space.measure(vae, x, generator())
    assert float(same.mutual_information.abs().max()) < 1e-10
    assert float(same.aggregate_kl.mean()) == pytest.approx(0.5 * (0.25 + 1 - 1 - math.log(0.25)), abs=5 * 0.6 / 64)


@torch.no_grad()
def test_active_units_are_those_whose_mean_moves() -> None:
    locs = torch.zeros(20, 4, dtype=torch.float64)
    locs[:, 0] = torch.linspace(-2, 2, 20)
    locs[:, 2] = torch.linspace(-1, 1, 20).square()
    locs[:, 3] = 0.05 * torch.linspace(-1, 1, 20)
    vae, x = posteriors(locs, 0.5)
    assert latent_space.measure(vae, x, generator()).active_units == 2
