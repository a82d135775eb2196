from __future__ import annotations

import itertools
import math
from typing import Any, get_args

import pytest
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, kl_divergence

from pipeline.config import ConfigError, ModelConfig
from pipeline.model import posteriors, priors
from pipeline.model.likelihoods import GaussianPixels
from pipeline.model.vae import VAE, build_vae
from pipeline.probability.sampling import Scheme, draw


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def build(seed: int = 0, image_shape: tuple[int, int] = (4, 4), levels: int = 16, **model: Any) -> VAE:
    tree = {key: {"name": value} if isinstance(value, str) else value for key, value in model.items()}
    return build_vae(ModelConfig.model_validate(tree), image_shape=image_shape, levels=levels, generator=rng(seed))


def images(batch: int, vae: VAE, seed: int = 1) -> Tensor:
    return torch.randint(vae.levels, (batch, *vae.image_shape), generator=rng(seed)).to(torch.uint8)


def noise_for(vae: VAE, num_samples: int, batch: int, seed: int = 2) -> Tensor:
    return vae.noise("iid", num_samples, batch, rng(seed))


@pytest.mark.parametrize("scheme", get_args(Scheme))
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_noise_is_that_of_the_sampling_scheme_in_the_models_type(scheme: Scheme, dtype: torch.dtype) -> None:
    vae = build(latent_dim=3).to(dtype)
    expected = draw(scheme, 4, 5, 3, generator=rng(2), dtype=dtype)
    assert torch.equal(vae.noise(scheme, 4, 5, rng(2)), expected)
    assert expected.dtype == dtype


def fill(vae: VAE, seed: int = 3) -> VAE:
    """Weights of order 1 in place of the small initial ones: nothing is hidden by being near zero."""
    generator = rng(seed)
    with torch.no_grad():
        for parameter in vae.parameters():
            size = 1.0 if parameter.ndim < 2 else parameter.shape[-1] ** -0.5
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))
    return vae


POSTERIORS = [options.model_fields["name"].default for options in posteriors.POSTERIORS]
PRIORS = [options.model_fields["name"].default for options in priors.PRIORS]


@pytest.mark.parametrize(("posterior", "prior"), list(itertools.product(POSTERIORS, PRIORS)))
@pytest.mark.parametrize("latent_dim", [1, 3])
def test_every_pair_gives_weights_gradients_and_draws(posterior: str, prior: str, latent_dim: int) -> None:
    vae = build(latent_dim=latent_dim, posterior=posterior, prior=prior)
    x = images(5, vae)
    terms = vae.terms(x, noise_for(vae, 4, 5))
    assert {tuple(term.shape) for term in (terms.log_px_z, terms.log_pz, terms.log_qz_x)} == {(4, 5)}
    assert terms.z.shape == (4, 5, latent_dim)
    log_weights = vae.log_weights(x, noise_for(vae, 4, 5))
    torch.testing.assert_close(log_weights, terms.log_px_z + terms.log_pz - terms.log_qz_x)
    log_weights.mean().backward()
    assert all(parameter.grad is not None for parameter in (*vae.encoder_parameters(), *vae.decoder.parameters()))
    drawn = vae.sample(3, rng())
    assert (drawn.shape, drawn.dtype) == ((3, 4, 4), torch.uint8)


@pytest.mark.parametrize("network", ["mlp", "cnn", "linear"])
@pytest.mark.parametrize("likelihood", ["categorical", "bernoulli", "gaussian"])
def test_networks_and_likelihoods_in_double_precision(network: str, likelihood: str) -> None:
    vae = build(image_shape=(8, 8), levels=2, latent_dim=2, network=network, likelihood=likelihood).double()
    log_weights = vae.log_weights(images(3, vae), noise_for(vae, 2, 3))
    assert log_weights.dtype == torch.float64
    assert log_weights.isfinite().all()


@pytest.mark.parametrize(("image_shape", "levels"), [((28, 28), 16), ((8, 8), 2), ((8, 8), 256)])
@pytest.mark.parametrize("network", ["mlp", "cnn", "linear"])
def test_all_zero_weights_cost_log_levels_per_pixel_and_no_kl(
    network: str, image_shape: tuple[int, int], levels: int
) -> None:
    """28 x 28 pixels of 16 levels: 784 ln 16 = 2173.66 nats, 4 bits per pixel."""
    vae = build(image_shape=image_shape, levels=levels, latent_dim=3, network=network)
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.zero_()
        terms = vae.terms(images(2, vae), noise_for(vae, 3, 2))
    nats = math.prod(image_shape) * math.log(levels)
    assert terms.log_px_z.flatten().tolist() == pytest.approx([-nats] * 6, rel=1e-5)
    assert kl_divergence(terms.q, vae.prior()).tolist() == [0, 0]
    assert torch.equal(terms.log_qz_x, terms.log_pz)


# --- the linear-Gaussian model: everything is known -----------------------------------------------------------------


def linear_gaussian(posterior: str, latent_dim: int = 3, **likelihood: Any) -> VAE:
    return fill(
        build(
            image_shape=(2, 3),
            latent_dim=latent_dim,
            network="linear",
            posterior=posterior,
            likelihood={"name": "gaussian", "scale": 0.6, **likelihood},
        ).double()
    )


def exact(vae: VAE, x: Tensor) -> tuple[Tensor, MultivariateNormal]:
    """log p(x) and p(z|x) of x = W z + b + N(0, s^2 I)."""
    weight, bias = vae.decoder.linear.weight.detach(), vae.decoder.linear.bias.detach()
    variance = vae.likelihood.scale.detach() ** 2
    grey = vae.grey(x).flatten(1)
    identity = torch.eye(weight.shape[0], dtype=torch.float64)
    log_px = MultivariateNormal(bias, weight @ weight.T + variance * identity).log_prob(grey)
    precision = torch.eye(weight.shape[1], dtype=torch.float64) + weight.T @ weight / variance
    loc = torch.linalg.solve(precision, (weight.T @ (grey - bias).T) / variance).T
    return log_px, MultivariateNormal(loc, precision_matrix=precision)


@pytest.mark.parametrize("posterior", POSTERIORS)
def test_each_weight_is_the_evidence_less_the_log_ratio_to_the_posterior(posterior: str) -> None:
    """log p(x,z)/q(z|x) = log p(x) - log q(z|x)/p(z|x), draw by draw, for any q."""
    vae = linear_gaussian(posterior)
    x, noise = images(4, vae), noise_for(vae, 5, 4)
    log_px, true_posterior = exact(vae, x)
    terms = vae.terms(x, noise)
    ratio = terms.log_qz_x - true_posterior.log_prob(terms.z)
    torch.testing.assert_close(vae.log_weights(x, noise), log_px - ratio, rtol=0, atol=1e-10)


@pytest.mark.parametrize("posterior", ["gaussian", "full_gaussian"])
def test_evidence_is_elbo_plus_kl_to_the_posterior(posterior: str) -> None:
    vae = linear_gaussian(posterior, learn_scale=True)
    x = images(4, vae)
    log_px, true_posterior = exact(vae, x)
    q = vae.posterior(x)
    full = q if isinstance(q, MultivariateNormal) else MultivariateNormal(q.mean, torch.diag_embed(q.variance))
    weight, variance = vae.decoder.linear.weight, vae.likelihood.scale**2
    spread = torch.einsum("md,bde,me->b", weight, full.covariance_matrix, weight)
    reconstruction = vae.log_px_z(x, full.loc.unsqueeze(0))[0] - spread / (2 * variance)
    elbo = reconstruction - kl_divergence(q, vae.prior())
    torch.testing.assert_close(elbo + kl_divergence(full, true_posterior), log_px, rtol=0, atol=1e-10)


@pytest.mark.parametrize("likelihood", ["categorical", "gaussian"])
@pytest.mark.parametrize("posterior", ["gaussian", "full_gaussian", "laplace"])
def test_a_padded_inactive_dimension_changes_no_weight(posterior: str, likelihood: str) -> None:
    """A latent dimension that the decoder ignores and the posterior leaves at the prior costs nothing."""
    prior = "laplace" if posterior == "laplace" else "standard_normal"
    model = {
        "image_shape": (3, 3),
        "network": "linear",
        "posterior": posterior,
        "prior": prior,
        "likelihood": likelihood,
    }
    small = fill(build(latent_dim=2, **model).double())
    large = build(latent_dim=3, **model).double()
    rows = {"full_gaussian": [0, 1, 3, 4, 6]}.get(posterior, [0, 1, 3, 4])  # features of the first two dimensions
    with torch.no_grad():
        for parameter in large.parameters():
            parameter.zero_()
        for wide, narrow in zip(large.encoder.parameters(), small.encoder.parameters(), strict=True):
            wide[rows] = narrow
        large.decoder.linear.weight[:, :2] = small.decoder.linear.weight
        large.decoder.linear.bias.copy_(small.decoder.linear.bias)
    x, noise = images(4, small), noise_for(large, 6, 4)
    expected = small.log_weights(x, noise[..., :2])
    torch.testing.assert_close(large.log_weights(x, noise), expected, rtol=1e-12, atol=1e-10)


# --- the model as an object -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_weights_come_from_the_generator_alone(posterior: str, prior: str) -> None:
    state = torch.get_rng_state()
    first, again, other = (build(seed, latent_dim=2, posterior=posterior, prior=prior) for seed in (5, 5, 6))
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(99)
    pairs = list(zip(first.state_dict().values(), again.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in pairs)
    assert not torch.equal(next(first.parameters()), next(other.parameters()))


@pytest.mark.parametrize("prior", PRIORS)
def test_encoder_and_decoder_parameters_split_the_model(prior: str) -> None:
    vae = build(posterior="flow", prior=prior, likelihood={"name": "gaussian", "learn_scale": True})
    both = [*vae.encoder_parameters(), *vae.decoder_parameters()]
    assert len({id(parameter) for parameter in both}) == len(both)
    assert {id(parameter) for parameter in both} == {id(parameter) for parameter in vae.parameters()}


def test_levels_are_scaled_and_grey_values_pass() -> None:
    vae = build(levels=16)
    levels = images(3, vae)
    assert torch.equal(vae.posterior(levels).mean, vae.posterior(levels / 15).mean)
    assert float(vae.grey(torch.tensor([[15]], dtype=torch.uint8))) == 1


@pytest.mark.parametrize("max_decodes", [1, 3, 7, 8, 1000])
@pytest.mark.parametrize("likelihood", ["categorical", "gaussian"])
def test_decoding_in_blocks_changes_nothing(max_decodes: int, likelihood: str) -> None:
    vae = build(latent_dim=2, likelihood=likelihood).double()
    x, z = images(5, vae), noise_for(vae, 4, 5)
    with torch.no_grad():
        expected = torch.stack([vae.decode(draws).log_prob(x) for draws in z])
        torch.testing.assert_close(vae.log_px_z(x, z, max_decodes=max_decodes), expected)


def test_many_draws_at_once_are_a_loop_over_draws() -> None:
    vae = fill(build(latent_dim=3).double())
    x, noise = images(4, vae), noise_for(vae, 6, 4)
    loop = torch.cat([vae.log_weights(x, noise[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(vae.log_weights(x, noise), loop)


def test_ancestral_samples_are_draws_of_the_pixels_not_their_modes() -> None:
    vae = build(image_shape=(1, 1), levels=4, latent_dim=1, network="linear")
    probabilities = torch.tensor([0.5, 0.1, 0.1, 0.3])
    with torch.no_grad():
        vae.decoder.linear.weight.zero_()
        vae.decoder.linear.bias.copy_(probabilities.log())
    draws = vae.sample(10_000, rng()).flatten()
    shares = torch.stack([(draws == level).double().mean() for level in range(4)])
    assert shares.tolist() == pytest.approx(probabilities.tolist(), abs=4.5 * math.sqrt(0.25 / 10_000))


def test_samples_follow_the_prior_through_the_decoder() -> None:
    """x = z + noise of a linear model, far from black and white: variance w^2 + s^2 and the rounding's 1/12 level."""
    vae = build(
        image_shape=(1, 1), levels=256, latent_dim=1, network="linear", likelihood={"name": "gaussian", "scale": 0.05}
    )
    with torch.no_grad():
        vae.decoder.linear.weight.fill_(0.1)
        vae.decoder.linear.bias.fill_(0.5)
    draws = vae.sample(20_000, rng()).double().flatten() / 255
    variance = 0.1**2 + 0.05**2 + 1 / (12 * 255**2)
    assert float(draws.mean()) == pytest.approx(0.5, abs=4.5 * math.sqrt(variance / 20_000))
    assert float(draws.var()) == pytest.approx(variance, abs=4.5 * variance * math.sqrt(2 / 20_000))


def test_samples_come_from_the_generator_alone() -> None:
    vae, state = build(), torch.get_rng_state()
    assert torch.equal(vae.sample(4, rng(1)), vae.sample(4, rng(1)))
    assert not torch.equal(vae.sample(4, rng(1)), vae.sample(4, rng(2)))
    assert torch.equal(state, torch.get_rng_state())


def test_bernoulli_needs_two_levels() -> None:
    with pytest.raises(ConfigError, match="'bernoulli' needs images of 2 levels, got 16"):
        build(likelihood="bernoulli", levels=16)


def test_linear_network_with_gaussian_likelihood_is_probabilistic_pca() -> None:
    vae = linear_gaussian("gaussian")
    pixels = vae.decode(torch.zeros(1, 3, dtype=torch.float64))
    assert isinstance(pixels, GaussianPixels)
    torch.testing.assert_close(pixels.mean.flatten(), vae.decoder.linear.bias.detach())
    assert isinstance(vae.posterior(images(1, vae)), Independent)
