"""The linear-Gaussian model: closed forms against each other, against quadrature and against scikit-learn."""

from __future__ import annotations

import math

import jaxtyping
import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from pipeline.config import GaussianLikelihood, LinearConfig, ModelConfig, VampPrior
from pipeline.model import linear_gaussian
from pipeline.model.linear_gaussian import (
    LinearGaussian,
    fit_ppca,
    from_vae,
    full_gaussian,
    optimal_active_units,
    ppca_curve,
    rho_of_spectrum,
    standard_normal,
)
from pipeline.model.vae import build_vae


def random_model(latent_dim: int, num_pixels: int = 7, seed: int = 0) -> LinearGaussian:
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(num_pixels, latent_dim, generator=generator, dtype=torch.float64)
    return LinearGaussian(weight, torch.randn(num_pixels, generator=generator, dtype=torch.float64), 0.7)


def random_gaussians(latent_dim: int, batch: int, seed: int = 1) -> list[Independent[Normal] | MultivariateNormal]:
    generator = torch.Generator().manual_seed(seed)
    loc = torch.randn(batch, latent_dim, generator=generator, dtype=torch.float64)
    scale = torch.rand(batch, latent_dim, generator=generator, dtype=torch.float64) + 0.1
    lower = torch.randn(batch, latent_dim, latent_dim, generator=generator, dtype=torch.float64).tril(-1)
    full = MultivariateNormal(loc, scale_tril=lower + torch.diag_embed(scale))
    return [Independent(Normal(loc, scale), 1), full]


def gauss_hermite(num: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Nodes and weights of E f(Z), Z ~ N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(num)
    return torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))


def data(num: int, seed: int) -> torch.Tensor:
    """Correlated numbers with a decaying spectrum."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(6, 6)) * np.array([3, 2, 1.5, 1, 0.5, 0.4])
    return torch.from_numpy(rng.normal(size=(num, 6)) @ mix.T + 1)


def test_log_px_is_the_dense_gaussian() -> None:
    model = random_model(3)
    x, _ = model.sample(5, torch.Generator().manual_seed(2))
    dense = MultivariateNormal(
        model.bias, model.weight @ model.weight.T + model.scale**2 * torch.eye(7, dtype=torch.float64)
    )
    torch.testing.assert_close(model.log_px(x), dense.log_prob(x), rtol=1e-12, atol=1e-12)


def test_bayes_rule_holds_at_any_z() -> None:
    model = random_model(3)
    x, _ = model.sample(5, torch.Generator().manual_seed(2))
    z = torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    log_px = model.log_joint(x, z) - model.posterior(x).log_prob(z)
    torch.testing.assert_close(log_px, model.log_px(x).expand(4, 5), rtol=0, atol=1e-10)


@pytest.mark.parametrize("latent_dim", [1, 3, 8])
def test_log_px_is_elbo_plus_the_gap_for_any_gaussian(latent_dim: int) -> None:
    model = random_model(latent_dim)
    x, _ = model.sample(5, torch.Generator().manual_seed(2))
    for q in [*random_gaussians(latent_dim, 5), model.posterior(x), model.best_diagonal(x)]:
        torch.testing.assert_close(model.elbo(x, q) + model.gap(x, q), model.log_px(x), rtol=0, atol=1e-10)


def test_best_diagonal_has_its_gap_and_no_neighbour_is_better() -> None:
    model = random_model(4)
    x, _ = model.sample(3, torch.Generator().manual_seed(2))
    best = model.best_diagonal(x)
    torch.testing.assert_close(model.gap(x, best), torch.full((3,), model.diagonal_gap, dtype=torch.float64))
    loc = best.base_dist.loc.clone().requires_grad_()
    log_scale = best.base_dist.scale.log().clone().requires_grad_()
    model.elbo(x, Independent(Normal(loc, log_scale.exp()), 1)).sum().backward()
    assert loc.grad is not None
    assert log_scale.grad is not None
    assert float(loc.grad.abs().max()) < 1e-10
    assert float(log_scale.grad.abs().max()) < 1e-10


def test_orthogonal_weights_have_no_diagonal_gap() -> None:
    model = LinearGaussian(torch.eye(5, 2) * torch.tensor([2.0, 0.5]), torch.zeros(5), 0.3)
    assert model.diagonal_gap == pytest.approx(0, abs=1e-14)


@pytest.mark.parametrize(("latent_dim", "rho"), [(1, 0.6115), (2, 1.597), (4, 5.744), (8, 44.49)])
def test_rho_of_prior_monte_carlo_grows_exponentially(latent_dim: int, rho: float) -> None:
    """tau = 1 and squared coordinates of 2 s^2 in every direction."""
    scale = 0.5
    model = LinearGaussian(torch.eye(latent_dim) * scale, torch.zeros(latent_dim), scale)
    x = torch.full((1, latent_dim), math.sqrt(2) * scale, dtype=torch.float64)
    assert float(model.prior_monte_carlo_rho(x)) == pytest.approx(rho, rel=2e-4)
    ones = torch.ones(latent_dim, dtype=torch.float64)
    torch.testing.assert_close(rho_of_spectrum(ones, 2 * ones), model.prior_monte_carlo_rho(x)[0])
    assert 1 + rho == pytest.approx((1 + 0.6115) ** latent_dim, rel=5e-4)


def test_rho_is_the_second_moment_of_prior_weights() -> None:
    model = random_model(3)
    x, _ = model.sample(5, torch.Generator().manual_seed(2))
    prior = standard_normal(3).expand((5,))
    rho = model.prior_monte_carlo_rho(x)
    torch.testing.assert_close(torch.expm1(model.log_weight_moment(x, prior)), rho, rtol=1e-9, atol=0)
    singular, values, _ = torch.linalg.svd(model.weight, full_matrices=False)
    squared = ((x - model.bias) @ singular).square() / model.scale**2
    torch.testing.assert_close(rho_of_spectrum(values**2 / model.scale**2, squared), rho, rtol=1e-9, atol=0)


@pytest.mark.parametrize("tau", [0.1, 1.0, 4.0])
def test_mean_cost_of_prior_monte_carlo_is_det_lambda(tau: float) -> None:
    """E_x[1 + rho] = det Lambda = exp(2 I(x; z)), by quadrature: sampling would meet heavy tails."""
    model = LinearGaussian(torch.tensor([[math.sqrt(tau)]], dtype=torch.float64), torch.zeros(1), 1.0)
    width = 40 * math.sqrt(1 + tau) * math.sqrt(1 + 2 * tau)
    x = torch.linspace(-width, width, 40001, dtype=torch.float64).unsqueeze(-1)
    integrand = model.log_px(x).exp() * (1 + model.prior_monte_carlo_rho(x))
    integrand = torch.where(model.log_px(x) > -650, integrand, 0.0)
    mean = float(torch.trapezoid(integrand, x[:, 0]))
    assert mean == pytest.approx(float(torch.det(model.posterior_precision)), rel=1e-8)
    assert mean == pytest.approx(math.exp(2 * model.information), rel=1e-8)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_weight_moments_against_quadrature(order: int) -> None:
    model = random_model(2)
    x, _ = model.sample(3, torch.Generator().manual_seed(2))
    posterior = model.posterior(x)
    q = MultivariateNormal(posterior.loc + 0.05, 1.3 * posterior.covariance_matrix + 0.01 * torch.eye(2))
    nodes, weights = gauss_hermite(120)
    noise = torch.cartesian_prod(nodes, nodes)[:, None]
    z = q.loc + (q.scale_tril @ noise.unsqueeze(-1)).squeeze(-1)
    log_weights = model.log_joint(x, z) - q.log_prob(z) - model.log_px(x)
    moment = torch.einsum("s,sb->b", torch.cartesian_prod(weights, weights).prod(-1), (order * log_weights).exp())
    torch.testing.assert_close(model.log_weight_moment(x, q, order), moment.log(), rtol=0, atol=1e-8)


def test_second_moment_is_infinite_where_q_is_too_narrow() -> None:
    model = LinearGaussian(torch.ones(1, 1), torch.zeros(1), 1.0)
    x = torch.zeros(1, 1)
    narrow, wide = (Independent(Normal(torch.zeros(1, 1), torch.full((1, 1), s)), 1) for s in (0.49, 0.51))
    assert math.isinf(float(model.log_weight_moment(x, narrow)))
    assert math.isfinite(float(model.log_weight_moment(x, wide)))
    torch.testing.assert_close(model.log_weight_moment(x, model.posterior(x)), torch.zeros(1, dtype=torch.float64))


def test_a_padded_inactive_dimension_changes_nothing() -> None:
    model = random_model(3)
    padded = LinearGaussian(torch.nn.functional.pad(model.weight, (0, 2)), model.bias, model.scale)
    x, _ = model.sample(4, torch.Generator().manual_seed(2))
    torch.testing.assert_close(padded.log_px(x), model.log_px(x), rtol=0, atol=1e-12)
    torch.testing.assert_close(padded.prior_monte_carlo_rho(x), model.prior_monte_carlo_rho(x))
    torch.testing.assert_close(padded.elbo(x, padded.best_diagonal(x)), model.elbo(x, model.best_diagonal(x)))
    assert padded.diagonal_gap == pytest.approx(model.diagonal_gap)
    assert padded.information == pytest.approx(model.information)


def test_full_gaussian_keeps_densities() -> None:
    diagonal = random_gaussians(3, 4)[0]
    z = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(full_gaussian(diagonal).log_prob(z), diagonal.log_prob(z))
    zeros = torch.zeros(4, 3, dtype=torch.float64)
    with pytest.raises(ValueError, match="q must be a diagonal or full Gaussian, got Independent"):
        full_gaussian(Independent(torch.distributions.Laplace(zeros, zeros + 1), 1))  # type: ignore[arg-type]


def test_elbo_is_the_optimum_of_ppca_when_trained_on_its_own_data() -> None:
    """Mean log-likelihood at the maximum: -(d ln 2 pi + sum ln lambda_i + (d-q) ln sbar^2 + d) / 2."""
    train = data(400, 0)
    values = torch.linalg.eigvalsh(torch.cov(train.T, correction=0)).flip(0)
    for latent_dim in (1, 2, 5):
        sbar = values[latent_dim:].mean()
        expected = 6 * math.log(2 * math.pi) + values[:latent_dim].log().sum() + (6 - latent_dim) * sbar.log() + 6
        model = fit_ppca(train, latent_dim)
        assert float(model.log_px(train).mean()) == pytest.approx(-0.5 * float(expected), abs=1e-10)
        assert float(model.elbo(train, model.posterior(train)).mean()) == pytest.approx(-0.5 * float(expected))


def test_ppca_curve_is_the_fitted_models_and_scikit_learns() -> None:
    train, test = data(400, 0), data(100, 1)
    rows = ppca_curve(train, test, [0, 1, 3, 5], dequantisation=0.0)
    assert [(row["latent_dim"], row["split"]) for row in rows][:3] == [(0, "train"), (0, "test"), (1, "train")]
    for row in rows:
        x = {"train": train, "test": test}[row["split"]]
        if row["latent_dim"]:
            direct = -fit_ppca(train, row["latent_dim"]).log_px(x)
        else:
            spread = (train - train.mean(0)).square().mean().sqrt()
            direct = -Normal(train.mean(0), spread).log_prob(x).sum(-1)
        assert row["nats"] == pytest.approx(float(direct.mean()), abs=1e-10)
        assert row["standard_error"] == pytest.approx(float(direct.std()) / math.sqrt(len(x)))
        assert row["bits_per_dim"] == pytest.approx(row["nats"] / (6 * math.log(2)))
        if row["latent_dim"]:
            # scikit-learn divides the covariance by N - 1, maximum likelihood by N.
            pca = PCA(row["latent_dim"], svd_solver="full").fit(train.numpy())
            pca.explained_variance_ *= 399 / 400
            pca.noise_variance_ *= 399 / 400
            assert row["nats"] == pytest.approx(-pca.score(x.numpy()), abs=1e-9)


def test_dequantised_curve_bounds_the_discrete_likelihood() -> None:
    """The closed expectation over uniform noise equals its quadrature, and bounds -log of the interval's mass."""
    levels = torch.randint(0, 16, (200, 1), generator=torch.Generator().manual_seed(0)).to(torch.float64)
    row = ppca_curve(levels, levels, [0])[1]
    model = Normal(levels.mean(), (levels.var(correction=0) + 1 / 12).sqrt())
    nodes, weights = np.polynomial.legendre.leggauss(20)
    noisy = levels + torch.from_numpy(nodes) / 2
    expected = -(model.log_prob(noisy) * torch.from_numpy(weights) / 2).sum(-1).mean()
    assert row["nats"] == pytest.approx(float(expected), abs=1e-12)
    mass = (model.cdf(levels + 0.5) - model.cdf(levels - 0.5)).log().mean()
    assert row["nats"] >= -float(mass)


def test_ppca_curve_takes_images_of_levels_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.randint(0, 16, (50, 2, 3), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    whole = ppca_curve(images, images[:20], [1, 4])
    monkeypatch.setattr(linear_gaussian, "BLOCK", 7)
    for row, whole_row in zip(ppca_curve(images, images[:20], [1, 4]), whole, strict=True):
        assert row == {
            **whole_row,
            **{k: pytest.approx(whole_row[k]) for k in ("nats", "standard_error", "bits_per_dim")},
        }
    assert ppca_curve(images, images, []) == []


def test_units_are_active_iff_their_eigenvalue_exceeds_the_noise() -> None:
    train = data(400, 0)
    values = torch.linalg.eigvalsh(torch.cov(train.T, correction=0)).flip(0)
    between = math.sqrt(float(values[2] + values[3]) / 2)
    assert optimal_active_units(train, between) == 3
    assert optimal_active_units(train, math.sqrt(float(values[0])) * 1.01) == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LinearGaussian(torch.ones(3, 2), torch.zeros(3), 0.0), "scale must be above 0, got 0.0"),
        (lambda: fit_ppca(data(20, 0), 6), r"latent_dim must be in 1..5 \(pixels - 1\), got 6"),
        (lambda: fit_ppca(data(3, 0), 4), "discarded variance must be above 0"),
        (lambda: ppca_curve(data(20, 0), data(9, 0), [6]), r"dims must be in 0..5 \(pixels - 1\), got 6"),
        (lambda: ppca_curve(data(3, 0), data(9, 0), [4], 0.0), "discarded variance must be above 0"),
    ],
)
def test_bad_input_names_rule_and_value(call: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()  # type: ignore[operator]


def test_bad_shapes_are_named_where_nothing_checks_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user runs it: the tests' own check of the annotated shapes would speak first."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"shapes \(pixels, latent_dim\) and \(pixels,\), got \(3, 2\) and \(2,\)"):
        LinearGaussian(torch.ones(3, 2), torch.zeros(2), 1.0)


def test_kl_of_the_helpers_agrees_with_torch() -> None:
    diagonal, full = random_gaussians(2, 3)
    standard = Independent(Normal(torch.zeros(3, 2, dtype=torch.float64), 1.0), 1)
    of_full_gaussians = kl_divergence(full_gaussian(diagonal), standard_normal(2))
    torch.testing.assert_close(of_full_gaussians, kl_divergence(diagonal, standard))
    assert full_gaussian(full).covariance_matrix.shape == (3, 2, 2)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (ModelConfig(likelihood=GaussianLikelihood(), latent_dim=2), "needs model.network 'linear'"),
        (ModelConfig(network=LinearConfig()), "needs a Gaussian likelihood"),
        (
            ModelConfig(network=LinearConfig(), likelihood=GaussianLikelihood(), prior=VampPrior(pseudo_inputs=2)),
            "needs the standard normal prior",
        ),
    ],
)
def test_only_linear_gaussian_vaes_have_an_exact_model(config: ModelConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_vae(build_vae(config, image_shape=(3, 3), levels=16, generator=torch.Generator().manual_seed(0)))
