"""What z carries: active units, information and mismatch, against quadrature."""

from __future__ import annotations

import math

import pytest
import torch
from exact_evaluation import generator
from linear_vae import SHAPE, linear_vae, raw_scale, set_posterior
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


def wide(locs: Tensor, scale: float) -> tuple[VAE, Tensor]:
    """The same with more dimensions than the model has pixels: the encoder reads them from a wider image."""
    vae = linear_vae(locs.shape[1])
    features = torch.cat((locs, raw_scale(torch.full_like(locs, scale))), dim=1)
    vae.encoder = torch.nn.Flatten(1)
    return vae, features.unflatten(-1, (2, -1))


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
@pytest.mark.parametrize(
    ("dim", "scale", "images", "reaches_cap"),
    [(20, 0.1, 5000, True), (1, 0.6, 5000, False), (2, 0.2, 300, False), (20, 0.1, 300, True)],
)
def test_information_is_between_its_bounds_where_the_aggregate_is_the_prior(
    dim: int, scale: float, images: int, reaches_cap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """q(z|x) = N(x, s^2) and x ~ N(0, 1 - s^2): q(z) = p(z) exactly, and I(x; z) = -D log s = 46.05 nats at D = 20."""
    monkeypatch.setattr(latent_space, "DRAWN_IMAGES", 400)
    x = math.sqrt(1 - scale**2) * torch.randn(images, dim, generator=generator(5), dtype=torch.float64)
    vae, x = posteriors(x, scale) if dim <= 12 else wide(x, scale)
    carried = latent_space.measure(vae, x, generator())
    truth, cap = -dim * math.log(scale), math.log(images)
    means = {name: float(value.mean()) for name, value in carried.values.items()}
    errors = {name: float(value.std()) / math.sqrt(len(value)) for name, value in carried.values.items()}
    lower, upper = means["mutual_information"], means["mutual_information_upper"]
    assert carried.mutual_information_cap == cap
    assert lower <= cap + 1e-12
    assert lower - 4 * errors["mutual_information"] < truth < upper + 4 * errors["mutual_information_upper"]
    assert means["aggregate_kl_lower"] - 4 * errors["aggregate_kl_lower"] <= 0
    assert means["aggregate_kl"] + 4 * errors["aggregate_kl"] >= 0
    assert (lower > cap - latent_space.CAP_MARGIN) == reaches_cap
    if reaches_cap:
        assert upper == pytest.approx(truth, abs=5 * errors["mutual_information_upper"])
    else:
        assert upper - lower < 0.5


@torch.no_grad()
def test_leaving_one_out_is_an_upper_bound_that_the_mean_kl_is_not_needed_for() -> None:
    """Posteriors far from the prior: the mean KL is 50 nats too high, leaving one out is not."""
    x = 10 + math.sqrt(1 - 0.6**2) * torch.randn(1000, 1, generator=generator(5), dtype=torch.float64)
    carried = latent_space.measure(*posteriors(x, 0.6), generator())
    upper, lower = carried.mutual_information_upper, carried.mutual_information
    assert float(lower.mean()) - 0.1 < -math.log(0.6) < float(upper.mean()) + 0.1
    assert float((upper - lower).mean()) == pytest.approx(0, abs=0.05)
    assert float(carried.aggregate_kl_lower.mean()) == pytest.approx(50, abs=1.5)


@torch.no_grad()
def test_active_units_are_those_whose_mean_moves() -> None:
    locs = torch.zeros(20, 4, dtype=torch.float64)
    locs[:, 0] = torch.linspace(-2, 2, 20)
    locs[:, 2] = torch.linspace(-1, 1, 20).square()
    locs[:, 3] = 0.05 * torch.linspace(-1, 1, 20)
    vae, x = posteriors(locs, 0.5)
    assert latent_space.measure(vae, x, generator()).active_units == 2
