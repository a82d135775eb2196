"""The objectives: values, gradients with a known variance, free bits, and what a configuration builds."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from conformance.gradient_estimators import PIXEL, REPEATS, START, Repeated, gradients
from conformance.standard_errors import assert_mean
from torch import Tensor
from torch.distributions import kl_divergence

from pipeline.config import ConfigError, ModelConfig, parse
from pipeline.model.vae import VAE, build_vae
from pipeline.probability.gradients.registry import GRADIENT_ESTIMATORS
from pipeline.probability.gradients.score_function import score_surrogate
from pipeline.probability.kl.registry import KL_ESTIMATORS
from pipeline.probability.sampling import draw
from pipeline.training.objectives import Elbo, Iwae, Objective, build_objective


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def elbo(num_samples: int, kl: str, gradient: str, free_bits: float = 0.0) -> Elbo:
    return Elbo(num_samples, KL_ESTIMATORS[kl], GRADIENT_ESTIMATORS[gradient], free_bits)


def iwae(num_samples: int, num_importance_samples: int, gradient: str) -> Iwae:
    return Iwae(num_samples, num_importance_samples, GRADIENT_ESTIMATORS[gradient])


# --- variance of the one-draw gradient of the KL, against the table of closed forms ---------------------------------

TABLE = [(0.5, 0.8), (-1.0, 0.4), (0.0, 1.3)]


@pytest.mark.parametrize(("mu", "sigma"), TABLE)
@pytest.mark.parametrize("estimator", ["pathwise", "stl", "score_function"])
def test_variance_of_kl_gradients(estimator: str, mu: float, sigma: float) -> None:
    a, b, c = (sigma**2 - 1) / 2, mu * sigma, -math.log(sigma) + mu**2 / 2
    expected = {
        "pathwise": (sigma**2, mu**2 * sigma**2 + 2 * sigma**4),
        "stl": ((sigma - 1 / sigma) ** 2, mu**2 * sigma**2 + 2 * (sigma**2 - 1) ** 2),
        "score_function": (
            (15 * a**2 + 3 * b**2 + c**2 + 6 * a * c) / sigma**2 - mu**2,
            74 * a**2 + 10 * b**2 + 2 * c**2 + 20 * a * c,
        ),
    }[estimator]
    vae = Repeated(REPEATS, mu, math.log(sigma))  # weight 0: the reconstruction has no gradient in q
    if estimator == "score_function":  # the table is without baseline
        q, p = vae.posterior(vae.loc), vae.prior()
        z = (vae.loc + vae.log_scale.exp() * torch.randn(1, REPEATS, 1, generator=rng(), dtype=torch.float64)).detach()
        log_q = q.log_prob(z)
        score_surrogate(log_q - p.log_prob(z), torch.zeros_like(log_q), log_q).backward()
        measured = {"loc": vae.loc.grad * REPEATS, "log_scale": vae.log_scale.grad * REPEATS}
    else:
        measured = gradients(elbo(1, "monte_carlo", estimator), vae)
    for name, variance, mean in zip(("loc", "log_scale"), expected, (mu, sigma**2 - 1), strict=True):
        values = measured[name].flatten()
        assert_mean(values, mean)
        assert_mean((values - mean).square(), variance)


def test_sticking_the_landing_has_no_noise_at_the_posterior() -> None:
    variance = 1 / (1 + 0.9**2 / 0.7**2)
    vae = Repeated(100, variance * 0.9 * PIXEL / 0.7**2, 0.5 * math.log(variance), weight=0.9)
    measured = gradients(elbo(1, "monte_carlo", "stl"), vae)
    assert max(measured["loc"].abs().max(), measured["log_scale"].abs().max()) < 1e-12
    vae.zero_grad()
    assert gradients(elbo(1, "monte_carlo", "pathwise"), vae)["loc"].std() > 0.1


def test_the_baseline_lowers_the_variance_of_the_score_function() -> None:
    vae = Repeated(20_000, 0.3, -0.5, weight=0.9)
    with_baseline = gradients(elbo(4, "monte_carlo", "score_function"), vae)["loc"].var()
    q, p = vae.posterior(vae.loc), vae.prior()
    noise = torch.randn(4, 20_000, 1, generator=rng(), dtype=torch.float64)
    z = (vae.loc + vae.log_scale.exp() * noise).detach()
    log_q = q.log_prob(z)
    x = torch.full((20_000, 1, 1), PIXEL, dtype=torch.float64)
    bound = vae.log_px_z(x, z) + p.log_prob(z) - log_q
    (without,) = torch.autograd.grad(score_surrogate(bound, torch.zeros_like(bound), log_q), vae.loc)
    assert with_baseline < 0.7 * (without * 20_000).var()


# --- gradients of the importance-weighted bound ---------------------------------------------------------------------


def test_dreg_leaves_the_decoders_gradient_alone() -> None:
    pathwise, dreg = (gradients(iwae(2, 4, name), Repeated(50, *START.values())) for name in ("pathwise", "dreg"))
    torch.testing.assert_close(pathwise["weight"], dreg["weight"])
    assert (pathwise["loc"] - dreg["loc"]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("estimator", "parameter", "slope"),
    [("pathwise", "weight", 0.5), ("pathwise", "loc", -0.5), ("dreg", "loc", 0.5)],
)
def test_slope_of_the_signal_to_noise_ratio(estimator: str, parameter: str, slope: float) -> None:
    """More draws help the decoder and harm the encoder (Rainforth et al. 2018), but for dreg (Tucker et al. 2019)."""
    counts = np.array([4, 8, 16, 32])
    ratios = []
    for count in counts:
        values = gradients(iwae(1, int(count), estimator), Repeated(60_000, 1.2, -0.35, weight=0.9), seed=int(count))[
            parameter
        ]
        squared_mean = float(values.mean() ** 2 - values.var() / len(values))  # debiased
        ratios.append(math.sqrt(squared_mean / float(values.var())))
    assert np.polyfit(np.log(counts), np.log(ratios), 1)[0] == pytest.approx(slope, abs=0.12)


# --- values ---------------------------------------------------------------------------------------------------------


def small_vae(latent_dim: int = 3, **model: Any) -> VAE:
    config = ModelConfig.model_validate({"latent_dim": latent_dim, **model})
    vae = build_vae(config, image_shape=(4, 4), levels=4, generator=rng(0)).double()
    with torch.no_grad():
        for parameter in vae.parameters():
            parameter.mul_(3)
    return vae


def images(batch: int = 5) -> Tensor:
    return torch.randint(4, (batch, 4, 4), generator=rng(1)).to(torch.uint8)


def noise_for(objective: Objective, batch: int = 5, latent_dim: int = 3) -> Tensor:
    return draw("iid", objective.num_draws, batch, latent_dim, generator=rng(2), dtype=torch.float64)


@pytest.mark.parametrize("kl_weight", [0.0, 0.5, 1.0])
def test_closed_form_loss_is_reconstruction_and_weighted_kl(kl_weight: float) -> None:
    vae, objective = small_vae(), elbo(4, "closed_form", "pathwise")
    terms = objective(vae, images(), noise_for(objective), kl_weight)
    expected = vae.terms(images(), noise_for(objective))
    kl = kl_divergence(expected.q, vae.prior()).mean()
    torch.testing.assert_close(terms.reconstruction, -expected.log_px_z.mean().detach())
    torch.testing.assert_close(terms.kl, kl.detach())
    torch.testing.assert_close(terms.loss, -expected.log_px_z.mean() + kl_weight * kl)
    torch.testing.assert_close(terms.elbo, -terms.reconstruction - terms.kl)
    assert not any(value.requires_grad for value in terms[1:])


def test_monte_carlo_elbo_is_the_mean_of_the_log_weights() -> None:
    vae, objective = small_vae(), elbo(4, "monte_carlo", "pathwise")
    terms = objective(vae, images(), noise_for(objective))
    torch.testing.assert_close(terms.elbo, vae.log_weights(images(), noise_for(objective)).mean().detach())
    torch.testing.assert_close(terms.loss.detach(), -terms.elbo)


def test_iwae_with_one_importance_sample_is_the_elbo() -> None:
    vae, of_weights, of_draws = small_vae(), iwae(4, 1, "pathwise"), elbo(4, "monte_carlo", "pathwise")
    torch.testing.assert_close(
        of_weights(vae, images(), noise_for(of_weights)), of_draws(vae, images(), noise_for(of_draws))
    )


def test_iwae_is_above_the_elbo_of_the_same_draws() -> None:
    vae, objective = small_vae(), iwae(1, 16, "pathwise")
    terms = objective(vae, images(), noise_for(objective))
    assert float(-terms.loss.detach()) > float(terms.elbo)


@pytest.mark.parametrize("estimator", ["pathwise", "stl", "score_function"])
@pytest.mark.parametrize("kl_estimator", ["monte_carlo", "cross_entropy", "monte_carlo_k3"])
def test_the_value_of_the_loss_does_not_depend_on_its_gradient(kl_estimator: str, estimator: str) -> None:
    vae, objective = small_vae(), elbo(4, kl_estimator, estimator)
    terms = objective(vae, images(), noise_for(objective))
    assert float(terms.loss.detach()) == pytest.approx(-float(terms.elbo), rel=1e-12)


@pytest.mark.parametrize("make", [lambda n: elbo(n, "monte_carlo", "pathwise"), lambda n: iwae(n, 2, "dreg")])
def test_many_samples_are_the_mean_of_a_loop(make: Any) -> None:
    vae, together, single = small_vae(), make(4), make(1)
    noise = noise_for(together)
    together(vae, images(), noise).loss.backward()
    expected = [parameter.grad.clone() for parameter in vae.parameters()]
    vae.zero_grad()
    for part in noise.split(single.num_draws):
        (single(vae, images(), part).loss / 4).backward()
    torch.testing.assert_close([parameter.grad for parameter in vae.parameters()], expected)


def test_iwae_has_no_weight_for_its_kl() -> None:
    vae, objective = small_vae(), iwae(1, 2, "pathwise")
    with pytest.raises(ValueError, match=r"kl_weight must be 1 with objective 'iwae', got 0\.5"):
        objective(vae, images(), noise_for(objective), 0.5)


# --- the control variate in training --------------------------------------------------------------------------------


def test_control_variate_lowers_the_variance_of_the_bound() -> None:
    """Near the posterior (c -> 1) it is as good as k1; it beats both ends in between."""

    def spread(kl_estimator: str, loc: float, log_scale: float) -> float:
        vae = Repeated(2000, loc, log_scale, weight=0.9)
        noise = draw("iid", 2, 2000, 1, generator=rng(3), dtype=torch.float64)
        x = torch.full((2000, 1, 1), PIXEL, dtype=torch.float64)
        q, p = vae.posterior(x), vae.prior()
        z = vae.loc + vae.log_scale.exp() * noise
        log_px_z = vae.log_px_z(x, z)
        kl = elbo(2, kl_estimator, "pathwise").kl_draws(q, p, z, log_px_z, 1.0).squeeze(-1)
        return float((log_px_z - kl).detach().mean(0).var())

    for loc, log_scale in ((0.3, -0.5), (0.6, -0.3), (1.5, -2.0)):
        mixed = spread("control_variate", loc, log_scale)
        assert mixed <= 1.01 * min(spread("closed_form", loc, log_scale), spread("monte_carlo", loc, log_scale))


# --- free bits ------------------------------------------------------------------------------------------------------


def test_free_bits_floor_each_dimension_of_the_batch_mean() -> None:
    vae = small_vae()
    kl = kl_divergence(vae.posterior(images()).base_dist, vae.prior().base_dist).mean(0).detach()
    free = float(kl.sort().values[1]) + 1e-6  # two of the three dimensions come free
    objective = elbo(2, "closed_form", "pathwise", free_bits=free)
    terms = objective(vae, images(), noise_for(objective), 0.7)
    expected = terms.reconstruction + 0.7 * kl.clamp(min=free).sum()
    torch.testing.assert_close(terms.loss.detach(), expected)
    torch.testing.assert_close(terms.kl, kl.sum())  # the record is free of free bits


@pytest.mark.parametrize("estimator", ["closed_form", "monte_carlo", "cross_entropy", "control_variate"])
def test_free_bits_take_the_gradient_of_a_free_dimension_away(estimator: str) -> None:
    vae = Repeated(50, 0.1, -0.1)
    measured = gradients(elbo(2, estimator, "pathwise", free_bits=5.0), vae)
    assert measured["loc"].abs().max() == 0
    assert measured["log_scale"].abs().max() == 0
    vae = Repeated(REPEATS, 3.0, -0.1)
    measured = gradients(elbo(2, estimator, "pathwise", free_bits=0.5), vae)
    assert_mean(measured["loc"], 3.0)


@pytest.mark.parametrize("posterior", ["full_gaussian", "flow"])
def test_free_bits_of_tied_dimensions_are_one_group(posterior: str) -> None:
    vae = small_vae(posterior={"name": posterior})
    objective = elbo(2, "monte_carlo", "pathwise", free_bits=1e6)
    terms = objective(vae, images(), noise_for(objective))
    torch.testing.assert_close(terms.loss.detach(), terms.reconstruction + 3 * 1e6)


# --- configuration --------------------------------------------------------------------------------------------------


def test_build_objective_reads_every_option() -> None:
    tree = {
        "objective": {"name": "elbo", "num_samples": 4, "free_bits": 0.1},
        "kl": {"estimator": "monte_carlo"},
        "gradient": {"estimator": "stl"},
    }
    assert build_objective(parse(tree)) == elbo(4, "monte_carlo", "stl", 0.1)
    tree = {
        "objective": {"name": "iwae", "num_samples": 2, "num_importance_samples": 3},
        "gradient": {"estimator": "dreg"},
    }
    objective = build_objective(parse(tree))
    assert objective == iwae(2, 3, "dreg")
    assert objective.num_draws == 6


FLOW = {"model": {"posterior": {"name": "flow"}}}
IWAE = {"name": "iwae", "num_importance_samples": 4}


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        (FLOW, "needs a closed-form KL, and there is none for model.posterior 'flow' .* use 'monte_carlo'"),
        ({**FLOW, "kl": {"estimator": "cross_entropy"}}, "needs a closed-form entropy, .* model.posterior 'flow'"),
        ({"kl": {"estimator": "control_variate"}}, "at least 2 draws to fit its coefficient, got .*num_samples 1"),
        ({"gradient": {"estimator": "dreg"}}, "'dreg' needs objective 'iwae', got 'elbo'"),
        ({"gradient": {"estimator": "stl"}}, "'stl' leaves out the score .* got 'closed_form'"),
        ({"gradient": {"estimator": "stl"}, "objective": IWAE}, "'stl' needs objective 'elbo' .* got 'iwae'"),
        ({"gradient": {"estimator": "score_function"}}, "at least 2 draws .* got objective.num_samples 1"),
        (
            {
                "gradient": {"estimator": "score_function"},
                "objective": {"name": "elbo", "num_samples": 4, "sampling": "antithetic"},
            },
            "needs objective.sampling 'iid', got 'antithetic'",
        ),
        (
            {"gradient": {"estimator": "dreg"}, "objective": {**IWAE, "sampling": "sobol"}},
            "needs objective.sampling 'iid', got 'sobol'",
        ),
    ],
)
def test_what_would_be_biased_or_undefined_is_refused_when_read(tree: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(tree)


def test_score_function_reaches_a_flow_posterior() -> None:
    """Both kinds of flows have a density that can be evaluated, so the score function has nothing to refuse."""
    for coupling in (True, False):
        vae = small_vae(posterior={"name": "flow", "coupling": coupling})
        objective = elbo(4, "monte_carlo", "score_function")
        objective(vae, images(), noise_for(objective)).loss.backward()
        assert all(parameter.grad is not None for parameter in vae.encoder_parameters())
