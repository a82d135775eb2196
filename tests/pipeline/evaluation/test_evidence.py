"""Estimators of log p(x) on models where it is known: the linear-Gaussian model, and streams against the formulas."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from exact_models import DOUBLE, make_model, rng, weights_of
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal

from pipeline.config import GaussianLikelihood, GaussianPosterior, LinearConfig, MLPConfig, ModelConfig
from pipeline.evaluation import annealing, evidence
from pipeline.evaluation.evidence import (
    Draw,
    Evidence,
    WeightSums,
    accumulate,
    chunks,
    importance_bound,
    jackknife_bound,
    log_joint_of,
    posterior_draws,
    prior_draws,
    prior_monte_carlo,
    quadrature,
    simulate,
)
from pipeline.model.linear_gaussian import LinearGaussian, from_vae
from pipeline.model.vae import VAE, build_vae


def draws_of_prior(model: LinearGaussian, x: Tensor, generator: torch.Generator) -> Draw:
    def draw(num: int) -> Tensor:
        return model.log_px_z(x, torch.randn(num, 1, model.latent_dim, generator=generator, dtype=DOUBLE))

    return draw


def replay(log_weights: Tensor, sizes: list[int]) -> Draw:
    """A `draw` that hands out known weights in turn and notes how many were asked for."""

    def draw(num: int) -> Tensor:
        start = sum(sizes)
        sizes.append(num)
        return log_weights[start : start + num]

    return draw


# --- streams --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("num_draws", "chunk"), [(1, 7), (7, 7), (500, 64), (513, 100), (64, 1)])
def test_exactly_k_draws_are_used_and_chunks_change_nothing(num_draws: int, chunk: int) -> None:
    log_weights = 3 * torch.randn(600, 4, generator=rng(), dtype=DOUBLE)
    sizes: list[int] = []
    chunked = importance_bound(replay(log_weights, sizes), num_draws, chunk=chunk)
    assert sum(sizes) == num_draws == chunked.num_draws
    assert max(sizes) <= chunk
    whole = log_weights[:num_draws]
    expected = whole.logsumexp(0) - math.log(num_draws)
    torch.testing.assert_close(chunked.value, expected, rtol=0, atol=1e-12)
    weights = whole.exp()
    size = weights.sum(0).square() / weights.square().sum(0)
    assert chunked.effective_sample_size is not None
    torch.testing.assert_close(chunked.effective_sample_size, size, rtol=1e-10, atol=0)
    if num_draws > 1:
        error = weights.std(0) / math.sqrt(num_draws) / weights.mean(0)
        torch.testing.assert_close(chunked.standard_error, error, rtol=1e-9, atol=0)
    else:
        assert chunked.standard_error.isnan().all()


def test_memory_is_bounded_by_the_chunk() -> None:
    sums = accumulate(lambda n: torch.zeros(n, 3), 10_000, 100)
    assert sums.largest is not None
    assert sums.largest.shape == (WeightSums.KEPT, 3)
    assert len(sums.powers) == WeightSums.POWERS
    torch.testing.assert_close(sums.log_mean(), torch.zeros(3, dtype=DOUBLE), rtol=0, atol=1e-12)


@pytest.mark.parametrize("spread", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("num_draws", [2, 64, 65, 400])
def test_streamed_jackknife_is_the_leave_one_out_formula(num_draws: int, spread: float) -> None:
    log_weights = spread * torch.randn(num_draws, 5, generator=rng(1), dtype=DOUBLE) - 2000
    streamed = jackknife_bound(replay(log_weights, []), num_draws, chunk=37)
    others = torch.stack([torch.cat([log_weights[:k], log_weights[k + 1 :]]).logsumexp(0) for k in range(num_draws)])
    whole = log_weights.logsumexp(0) - math.log(num_draws)
    expected = num_draws * whole - (num_draws - 1) * (others - math.log(num_draws - 1)).mean(0)
    torch.testing.assert_close(streamed.value, expected, rtol=0, atol=1e-8)
    assert streamed.direction == "estimate"


def test_jackknife_keeps_its_digits_where_one_weight_dominates() -> None:
    log_weights = torch.tensor([[0.0], [-100.0], [-101.0]], dtype=DOUBLE)
    value = jackknife_bound(replay(log_weights, []), 3).value
    left_out = (math.log(math.exp(-100) + math.exp(-101)) + 2 * 0.0 - 3 * math.log(2)) / 3
    assert float(value) == pytest.approx(3 * -math.log(3) - 2 * left_out, rel=1e-12)


def test_weights_of_zero_are_fine_and_nan_is_not_hidden() -> None:
    some = torch.tensor([[-math.inf, math.nan], [0.0, 0.0]])
    value = importance_bound(replay(some, []), 2).value
    assert float(value[0]) == pytest.approx(-math.log(2))
    assert value[1].isnan()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: importance_bound(lambda n: torch.zeros(n, 1), 0), "draws must be at least 1, got 0"),
        (lambda: importance_bound(lambda n: torch.zeros(n, 1), 3, chunk=0), "chunk must be at least 1, got 0"),
        (lambda: importance_bound(lambda n: torch.zeros(n + 1, 1), 3), "3 draws it was asked for, got 4"),
        (lambda: jackknife_bound(lambda n: torch.zeros(n, 1), 1), "num_importance_samples of at least 2, got 1"),
        (
            lambda: quadrature(lambda z: z.sum(-1), torch.zeros(1, 3), torch.ones(1, 3)),
            "latent_dim of at most 2, got 3",
        ),
        (
            lambda: quadrature(lambda z: z.sum(-1), torch.zeros(1, 1), torch.ones(1, 1), num_points=10),
            "num_points must be odd and at least 5, got 10",
        ),
        (lambda: annealing.ais(PATH, 1, rng()), "num_chains must be at least 2, got 1"),
        (
            lambda: annealing.ais(PATH._replace(num_temperatures=1), 2, rng()),
            "num_temperatures must be at least 2, got 1",
        ),
    ],
)
def test_bad_input_names_rule_and_value(call: Callable[[], Evidence], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


PATH = annealing.Path(lambda n: torch.zeros(n, 1, 1), lambda z: -z.square().sum(-1), lambda z: -z.square().sum(-1))


def test_chunks_add_up() -> None:
    assert list(chunks(10, 4)) == [4, 4, 2]
    assert list(chunks(8, 4)) == [4, 4]


# --- against exact answers ------------------------------------------------------------------------------------------


def test_prior_monte_carlo_is_exact_within_its_error_which_is_rho() -> None:
    model = make_model()
    x, _ = model.sample(16, rng(1))
    estimate = prior_monte_carlo(draws_of_prior(model, x, rng(2)), 200_000, chunk=20_000)
    z = (estimate.value - model.log_px(x)) / estimate.standard_error
    assert float(z.abs().max()) < 5
    assert estimate.direction == "lower"
    rho = model.prior_monte_carlo_rho(x)
    tame = rho < 20  # where a sample variance of so many weights is itself trustworthy
    assert int(tame.sum()) >= 8
    predicted = (rho[tame] / 200_000).sqrt()
    torch.testing.assert_close(estimate.standard_error[tame], predicted, rtol=0.1, atol=0)


def test_cost_of_prior_monte_carlo_is_exponential_in_the_information_and_not_in_the_dimension() -> None:
    """Draws for a given error are about rho / error^2: measured with two extra dimensions and without."""
    rhos = []
    for latent_dim, idle in [(1, 0), (2, 0), (4, 0), (2, 2)]:
        weight = torch.eye(latent_dim + idle, latent_dim, dtype=DOUBLE)
        weight = torch.nn.functional.pad(weight, (0, idle))
        model = LinearGaussian(weight, torch.zeros(latent_dim + idle), 1.0)
        x = torch.zeros(1, latent_dim + idle, dtype=DOUBLE)
        x[:, :latent_dim] = math.sqrt(2)
        estimate = prior_monte_carlo(draws_of_prior(model, x, rng(3)), 400_000, chunk=50_000)
        rhos.append(float(estimate.standard_error.square() * 400_000))
        assert rhos[-1] == pytest.approx(float(model.prior_monte_carlo_rho(x)), rel=0.1)
    one, two, four, padded = (math.log1p(rho) for rho in rhos)
    assert two / one == pytest.approx(2, rel=0.1)
    assert four / one == pytest.approx(4, rel=0.1)
    assert padded == pytest.approx(two, rel=0.1)


def test_importance_weights_from_the_posterior_have_no_variance() -> None:
    model = make_model()
    x, _ = model.sample(5, rng(1))
    bound = importance_bound(weights_of(model, x, model.posterior(x), rng(2)), 10)
    torch.testing.assert_close(bound.value, model.log_px(x), rtol=0, atol=1e-10)
    assert float(bound.standard_error.max()) < 1e-6


def overdispersed(model: LinearGaussian, x: Tensor, factor: float = 1.5, shift: float = 0.1) -> MultivariateNormal:
    posterior = model.posterior(x)
    return MultivariateNormal(posterior.loc + shift, factor * posterior.covariance_matrix)


def test_importance_bound_has_the_exact_value_and_second_moment() -> None:
    model = make_model()
    x, _ = model.sample(8, rng(1))
    q = overdispersed(model, x)
    bound = importance_bound(weights_of(model, x, q, rng(2)), 200_000, chunk=20_000)
    assert float(((bound.value - model.log_px(x)) / bound.standard_error).abs().max()) < 5
    assert bound.effective_sample_size is not None
    second = (200_000 / bound.effective_sample_size).log()
    torch.testing.assert_close(second, model.log_weight_moment(x, q), rtol=0, atol=0.02)


def test_bounds_rise_with_k_and_the_jackknife_takes_the_first_order_bias_away() -> None:
    """E L_K = log p - v / (2K) + O(1/K^2) with the exact v and third moment; JVI-1 leaves O(1/K^2)."""
    model = make_model(latent_dim=1)
    x, _ = model.sample(1, rng(1))
    q = overdispersed(model, x, factor=2.5, shift=0.3)
    log_px = model.log_px(x)
    second, third = (float(model.log_weight_moment(x, q, n).exp()) for n in (2, 3))
    mu2, mu3 = second - 1, third - 3 * second + 2
    repeats, means, jackknifed, errors = 200_000, {}, {}, {}
    for num in (1, 4, 16, 32):
        tiled = x.expand(repeats // num, -1)
        wide = MultivariateNormal(q.loc.expand(len(tiled), -1), q.covariance_matrix)
        draw = weights_of(model, tiled, wide, rng(10 + num))
        bound = importance_bound(draw, num).value
        means[num] = float(bound.mean() - log_px)
        errors[num] = float(bound.std()) / math.sqrt(len(bound))
        if num > 1:
            jack = jackknife_bound(draw, num).value
            jackknifed[num] = (float(jack.mean() - log_px), float(jack.std()) / math.sqrt(len(jack)))
    assert means[1] < means[4] < means[16] < means[32] < 5 * errors[32]
    assert means[1] == pytest.approx(float(-model.gap(x, q)), abs=5 * errors[1])
    for num in (16, 32):
        predicted = -mu2 / (2 * num) + (mu3 / 3 - 3 * mu2**2 / 4) / num**2
        # What the expansion leaves out is of the order 1/K^3.
        assert means[num] == pytest.approx(predicted, abs=5 * errors[num] + 2 / num**3)
        bias, error = jackknifed[num]
        assert abs(bias) < 5 * error + 2 / num**2
    assert abs(jackknifed[16][0]) < abs(means[16]) / 5


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_quadrature_is_exact(latent_dim: int) -> None:
    model = make_model(latent_dim)
    x, _ = model.sample(4, rng(1))
    zeros, ones = torch.zeros(4, latent_dim, dtype=DOUBLE), torch.ones(4, latent_dim, dtype=DOUBLE)
    result = quadrature(lambda z: model.log_joint(x, z), zeros, ones, chunk=1000)
    torch.testing.assert_close(result.value, model.log_px(x), rtol=0, atol=1e-8)
    assert float(result.standard_error.max()) < 1e-3
    posterior = model.posterior(x)
    own = quadrature(lambda z: model.log_joint(x, z), posterior.loc, posterior.stddev, num_points=65, chunk=999)
    torch.testing.assert_close(own.value, model.log_px(x), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("latent_dim", "scale"), [(1, 0.15), (2, 0.05), (1, 0.001)])
def test_quadrature_refines_its_grid_until_it_is_exact(latent_dim: int, scale: float) -> None:
    """Posteriors about as narrow as the default spacing and far narrower, where 129 points are nats off."""
    model = make_model(latent_dim, scale=scale)
    x, _ = model.sample(4, rng(1))
    zeros, ones = torch.zeros(4, latent_dim, dtype=DOUBLE), torch.ones(4, latent_dim, dtype=DOUBLE)
    result = quadrature(lambda z: model.log_joint(x, z), zeros, ones)
    torch.testing.assert_close(result.value, model.log_px(x), rtol=0, atol=1e-6)
    assert float(result.standard_error.max()) < 1e-6
    coarse = quadrature(lambda z: model.log_joint(x, z), zeros, ones, num_points=17)
    torch.testing.assert_close(coarse.value, model.log_px(x), rtol=0, atol=1e-6)


def test_quadrature_refuses_a_grid_that_cannot_hold_the_posterior(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(1, scale=0.001)
    x, _ = model.sample(4, rng(1))
    zeros, ones = torch.zeros(4, 1, dtype=DOUBLE), torch.ones(4, 1, dtype=DOUBLE)
    with pytest.raises(ValueError, match="the mass on the grid's edge; give it the posterior's own loc and scale"):
        quadrature(lambda z: model.log_joint(x, z), model.posterior(x).loc + 9.0, ones)
    monkeypatch.setattr(evidence, "LARGEST_GRID", 1000)
    with pytest.raises(ValueError, match=r"change by at most 1e-06 nats .* at 513 points a dimension; give it"):
        quadrature(lambda z: model.log_joint(x, z), zeros, ones)


def test_a_padded_inactive_dimension_changes_no_estimate() -> None:
    """The same noise with a dimension that the decoder ignores: the bounds are the same numbers."""
    model = make_model(2)
    padded = LinearGaussian(torch.nn.functional.pad(model.weight, (0, 1)), model.bias, model.scale)
    x, _ = model.sample(4, rng(1))
    noise = torch.randn(100, 4, 3, generator=rng(2), dtype=DOUBLE)
    narrow, wide = model.best_diagonal(x), padded.best_diagonal(x)
    values = []
    for one, q in ((model, narrow), (padded, wide)):
        assert isinstance(q, Independent)
        z = q.base_dist.loc + q.base_dist.scale * noise[..., : one.latent_dim]
        log_weights = one.log_joint(x, z) - q.log_prob(z)
        values.append(importance_bound(replay(log_weights, []), 100).value)
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=1e-10)


# --- VAEs -----------------------------------------------------------------------------------------------------------


def linear_vae(latent_dim: int = 2) -> VAE:
    config = ModelConfig(latent_dim=latent_dim, network=LinearConfig(), likelihood=GaussianLikelihood(scale=0.5))
    return build_vae(config, image_shape=(3, 3), levels=16, generator=rng(0)).to(DOUBLE)


def test_the_exact_model_behind_a_linear_vae() -> None:
    vae = linear_vae()
    model = from_vae(vae)
    x, z = simulate(vae, 5, rng(1))
    assert (model.latent_dim, model.num_pixels, model.scale) == (2, 9, pytest.approx(0.5))
    with torch.no_grad():
        log_joint = log_joint_of(vae, x)(z[None])[0]
    torch.testing.assert_close(model.log_joint(x.flatten(1), z), log_joint, rtol=0, atol=1e-6)


def test_every_estimator_of_a_linear_vae_agrees_with_its_exact_evidence() -> None:
    vae = linear_vae()
    x, z = simulate(vae, 5, rng(1))
    exact = from_vae(vae).log_px(x.flatten(1))
    zeros, ones = torch.zeros(5, 2, dtype=DOUBLE), torch.ones(5, 2, dtype=DOUBLE)
    on_grid = quadrature(log_joint_of(vae, x), zeros, ones, num_points=65).value
    torch.testing.assert_close(on_grid, exact, rtol=0, atol=1e-6)
    estimates = [
        prior_monte_carlo(prior_draws(vae, x, rng(2)), 20_000),
        importance_bound(posterior_draws(vae, x, rng(3)), 20_000),
        jackknife_bound(posterior_draws(vae, x, rng(4)), 20_000),
        annealing.ais(annealing.from_prior(vae, x, rng(5), num_temperatures=20), 64, rng(6)),
        annealing.ais(annealing.from_posterior(vae, x, rng(7), num_temperatures=20), 64, rng(8)),
    ]
    for estimate in estimates:
        assert float(((estimate.value - exact) / estimate.standard_error).abs().max()) < 5
    path = annealing.from_prior(vae, x, rng(9), num_temperatures=20)
    lower, upper = annealing.bdmc(path, z.expand(32, -1, -1), rng(10))
    gap = upper.value - lower.value
    assert float(gap.mean()) > -4 * float(gap.std()) / math.sqrt(5)


def test_prior_draws_are_shared_between_images_and_counted_in_decodes() -> None:
    vae = build_vae(
        ModelConfig(latent_dim=2, network=MLPConfig(hidden=(8,))), image_shape=(3, 3), levels=16, generator=rng()
    )
    x = simulate(vae, 4, rng(1))[0]
    assert x.dtype == torch.uint8
    decoded: list[int] = []
    vae.decoder.register_forward_pre_hook(lambda _, inputs: decoded.append(inputs[0].shape[:-1].numel()))
    prior_monte_carlo(prior_draws(vae, x, rng(2)), 300, chunk=128)
    assert decoded == [128, 128, 44]
    decoded.clear()
    importance_bound(posterior_draws(vae, x, rng(2)), 300, chunk=128)
    assert sum(decoded) == 300 * 4


def test_categorical_vae_by_quadrature_importance_and_annealing() -> None:
    """No closed form: the three roads to log p(x) have nothing in common, and must meet."""
    model = ModelConfig(latent_dim=1, network=MLPConfig(hidden=(8,)), posterior=GaussianPosterior())
    vae = build_vae(model, image_shape=(3, 3), levels=4, generator=rng(3)).to(DOUBLE)
    for parameter in vae.decoder_parameters():
        parameter.data *= 3
    x = simulate(vae, 6, rng(1))[0]
    exact = quadrature(
        log_joint_of(vae, x), torch.zeros(6, 1, dtype=DOUBLE), torch.ones(6, 1, dtype=DOUBLE), num_points=513
    )
    assert float(exact.standard_error.max()) < 1e-8
    for estimate in (
        importance_bound(posterior_draws(vae, x, rng(2)), 20_000),
        prior_monte_carlo(prior_draws(vae, x, rng(3)), 20_000),
        annealing.ais(annealing.from_prior(vae, x, rng(4), num_temperatures=20), 64, rng(5)),
    ):
        assert float(((estimate.value - exact.value) / estimate.standard_error).abs().max()) < 5
