"""Evaluation against the exact answers of linear-Gaussian models, and the test that the ladder stands."""

from __future__ import annotations

import math

import pytest
import torch
from linear_vae import SHAPE, images_of, linear_vae, set_best_posterior, set_posterior
from torch import Tensor

from pipeline.config import EvaluationConfig
from pipeline.evaluation import evaluate as evaluation
from pipeline.evaluation import gaps as local_posterior
from pipeline.evaluation import ladder, latent_space
from pipeline.evaluation.prior_study import PIECE, LogMeans
from pipeline.model.draws import DrawTerms, draw_terms
from pipeline.model.vae import VAE
from pipeline.probability.bounds import log_mean_exp

Metrics = dict[str, float]


def config(**changes: object) -> EvaluationConfig:
    """Small, the optional parts off."""
    sizes = {"num_importance_samples": [1, 8, 64], "gap_images": 0, "prior_draws": 0, "ais_images": 0}
    return EvaluationConfig.model_validate(sizes | changes)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def measured() -> tuple[VAE, Tensor, evaluation.Evaluation]:
    """A model whose q is off in mean and scale, evaluated with every part on."""
    vae = linear_vae(2)
    exact = set_best_posterior(vae, shift=0.1, stretch=1.2)
    x = images_of(exact, 24)
    sizes = config(
        num_samples=64, gap_images=24, ais_images=8, ais_temperatures=10, prior_draws=100_000, prior_images=8
    )
    return vae, x, evaluation.evaluate(vae, x, sizes, seed=1)


def exact_of(vae: VAE, x: Tensor) -> dict[str, Tensor]:
    """Exact per-image answers."""
    from pipeline.model.linear_gaussian import from_vae

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


# --- the ladder -----------------------------------------------------------------------------------------------------


def test_ladder_equals_the_exact_bounds(measured: tuple[VAE, Tensor, evaluation.Evaluation]) -> None:
    vae, x, result = measured
    exact, metrics = exact_of(vae, x), result.metrics
    with torch.no_grad():
        terms = draw_terms(vae, x, vae.posterior(x), 4096, generator(9))
    assert terms.kl is not None
    assert metrics["kl"] == pytest.approx(float(terms.kl.mean()), rel=1e-12)
    for name, draws, key in (
        ("reconstruction", -terms.log_px_z, "reconstruction"),
        ("elbo", terms.log_px_z, "elbo"),
        ("elbo_monte_carlo", terms.log_weights, "elbo"),
    ):
        error = math.sqrt(float(draws.var(0).mean()) / (64 * len(x)))
        assert abs(metrics[name] - float(exact[key].mean())) < 4.5 * error, name
    relative_variance = exact["second_moment"] - 1
    for inner in (8, 64):
        missing = float((exact["log_px"]).mean()) - metrics[f"iwae_{inner}"]
        bias = float(relative_variance.mean()) / (2 * inner)
        error = math.sqrt(float(relative_variance.mean()) / (64 * len(x)))
        assert missing == pytest.approx(bias, abs=4.5 * error + 3 * bias / inner)
    assert result.suspect == []
    assert metrics["bits_per_dim"] == pytest.approx(-metrics["elbo"] / (12 * math.log(2)))
    assert metrics["elbo"] == pytest.approx(-metrics["reconstruction"] - metrics["kl"])


def test_standard_errors_are_over_images(measured: tuple[VAE, Tensor, evaluation.Evaluation]) -> None:
    vae, x, result = measured
    elbo = exact_of(vae, x)["elbo"]
    assert result.metrics["elbo.standard_error"] == pytest.approx(float(elbo.std()) / math.sqrt(len(x)), rel=0.1)


def test_annealing_reaches_the_evidence(measured: tuple[VAE, Tensor, evaluation.Evaluation]) -> None:
    vae, x, result = measured
    exact = exact_of(vae, x)["log_px"]
    found = [row for row in result.evidence_rows if row["estimator"] == "ais"]
    assert [row["image"] for row in found] == list(range(8))
    difference = torch.tensor([row["log_evidence"] for row in found], dtype=torch.float64) - exact[:8]
    assert abs(float(difference.mean())) < 5 * float(difference.std()) / math.sqrt(8)
    assert float(difference.abs().max()) < 0.2


def test_exact_posterior_makes_every_rung_the_evidence() -> None:
    vae = linear_vae(2, orthogonal=True)
    model = set_best_posterior(vae)
    x = images_of(model, 6)
    metrics = evaluation.evaluate(vae, x, config(), seed=1).metrics
    for rung in ("elbo_monte_carlo", "iwae_1", "iwae_64"):
        assert metrics[rung] == pytest.approx(float(model.log_px(x.flatten(1)).mean()), rel=1e-10)
    assert metrics["effective_sample_size"] == pytest.approx(64)


def rungs_of(vae: VAE, x: Tensor, wrong_kl: float = 0.0) -> dict[str, Tensor]:
    with torch.no_grad():
        terms = draw_terms(vae, x, vae.posterior(x), 64, generator(2))
    assert terms.kl is not None
    return ladder.per_image(DrawTerms(*terms[:3], terms.kl + wrong_kl, terms.entropy), 16, [1, 8, 64])


def test_broken_ladders_are_suspect() -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae, shift=0.1, stretch=1.2), 200)
    pairs = ladder.comparisons([64, 1, 8])
    assert [(pair.lower, pair.upper) for pair in pairs] == [
        ("elbo_monte_carlo", "elbo"),
        ("elbo", "iwae_1"),
        ("iwae_1", "iwae_8"),
        ("iwae_8", "iwae_64"),
    ]
    sound = rungs_of(vae, x)
    assert ladder.violations(sound, pairs) == []
    (reason,) = ladder.violations(rungs_of(vae, x, wrong_kl=1.0), pairs)
    assert reason.startswith(
        "elbo_monte_carlo must equal elbo in expectation, but their mean difference over 200 images"
    )
    assert len(ladder.violations(rungs_of(vae, x, wrong_kl=-1.0), pairs)) == 2
    (reason,) = ladder.violations(sound | {"iwae_64": sound["iwae_8"] - 0.5}, pairs)
    assert reason.startswith("iwae_8 must not exceed iwae_64")
    broken = sound["elbo"].clone()
    broken[3] = math.nan
    assert ladder.violations(sound | {"elbo": broken}, pairs) == ["elbo is not finite on 1 of 200 images"]


def test_noise_alone_raises_no_suspicion() -> None:
    """Rungs of equal expectation, 500 ladders of 4 images and of 50: not one alarm."""
    for images in (4, 50):
        noise = torch.randn(500, 2, images, generator=generator(images), dtype=torch.float64)
        pair = [ladder.Comparison("a", "b", equal=True)]
        assert not any(ladder.violations({"a": a, "b": b}, pair) for a, b in noise)


def test_a_wrong_closed_form_reaches_the_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae, stretch=1.2), 100)
    monkeypatch.setattr("pipeline.model.draws.closed_kl", lambda q, prior: torch.zeros(len(x), dtype=torch.float64))
    assert any("elbo" in reason for reason in evaluation.evaluate(vae, x, config(), seed=1).suspect)


# --- where the bound is lost ----------------------------------------------------------------------------------------


def test_gaps_are_the_exact_ones(measured: tuple[VAE, Tensor, evaluation.Evaluation]) -> None:
    vae, x, result = measured
    exact, metrics = exact_of(vae, x), result.metrics
    with torch.no_grad():
        noise = draw_terms(vae, x, vae.posterior(x), 512, generator()).log_weights.var(0).mean()
    error = math.sqrt(2 * float(noise) / (512 * len(x)))
    amortisation = float((exact["best_elbo"] - exact["elbo"]).mean())
    approximation = float((exact["log_px"] - exact["best_elbo"]).mean())
    assert metrics["amortisation_gap"] == pytest.approx(amortisation, abs=4.5 * error)
    assert metrics["approximation_gap"] == pytest.approx(approximation, abs=4.5 * error)
    assert amortisation > 20 * error


@pytest.mark.parametrize("posterior", ["gaussian", "full_gaussian"])
def test_local_optimum_is_the_best_of_its_family(posterior: str) -> None:
    vae = linear_vae(2, posterior=posterior)
    model = set_best_posterior(vae, shift=0.5, stretch=2.0)
    x = images_of(model, 8)
    with torch.no_grad():
        best = local_posterior.optimise(vae, x, 200, generator())
        lost = model.gap(x.flatten(1), best)
    target = model.diagonal_gap if posterior == "gaussian" else 0.0
    assert float((lost - target).max()) < 2e-3


def test_flow_posterior_has_gaps_too() -> None:
    vae = linear_vae(2, posterior="flow")
    sizes = config(gap_images=4, gap_steps=20)
    metrics = evaluation.evaluate(vae, torch.rand(6, *SHAPE, dtype=torch.float64), sizes, seed=1).metrics
    assert metrics["approximation_gap"] > 0
    assert metrics["amortisation_gap"] > -0.5
    assert metrics["elbo"] == metrics["elbo_monte_carlo"]
    assert 0 <= metrics["active_units"] <= 2


# --- what z carries -------------------------------------------------------------------------------------------------


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
    found = latent_space.measure(vae, x, generator())
    z = torch.linspace(-8, 8, 20_001, dtype=torch.float64)
    normal = torch.distributions.Normal(locs, 0.5)
    aggregate = normal.log_prob(z).logsumexp(0) - math.log(8)
    width = 16 / 20_000
    prior = torch.distributions.Normal(torch.zeros((), dtype=torch.float64), 1.0).log_prob(z)
    mismatch = float((aggregate.exp() * (aggregate - prior)).sum() * width)
    information = float(-(aggregate.exp() * aggregate).sum() * width) - float(normal.entropy().mean())
    for value, exact in ((found.mutual_information, information), (found.aggregate_kl, mismatch)):
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


# --- prior Monte Carlo ----------------------------------------------------------------------------------------------


def test_prior_monte_carlo_spreads_and_misses_as_rho_says(measured: tuple[VAE, Tensor, evaluation.Evaluation]) -> None:
    """log p_hat of n draws: spread sqrt(rho / n), bias -rho / (2 n), to leading order."""
    vae, x, result = measured
    exact = exact_of(vae, x)
    rows = [row for row in result.evidence_rows if row["estimator"] == "prior_monte_carlo"]
    assert sorted({row["num_draws"] for row in rows}) == [1, 10, 100, 1000, 10_000, 100_000]
    assert int((exact["rho"][:8] < 30).sum()) >= 4
    for row in rows:
        rho, log_px = float(exact["rho"][row["image"]]), float(exact["log_px"][row["image"]])
        if row["num_draws"] == 1000 and rho < 30:
            assert row["spread"] == pytest.approx(math.sqrt(rho / 1000), rel=5 / math.sqrt(2 * 99) + rho / 100)
            miss = row["log_evidence"] - log_px
            assert miss == pytest.approx(-rho / 2000, abs=5 * math.sqrt(rho / 1000 / 100) + (rho / 1000) ** 2)
        assert row["bias"] == pytest.approx(row["log_evidence"] - row["reference"])
        assert row["reference"] == pytest.approx(log_px, abs=0.1)
        assert (row["spread"] is None) == (row["num_draws"] == 100_000)
    metrics = result.metrics
    assert metrics["prior_monte_carlo_bias"] == pytest.approx(0, abs=0.1)
    kinds = {(row["estimator"], row["num_draws"]) for row in result.evidence_rows}
    assert {("importance", 1), ("importance", 8), ("importance", 64)} <= kinds


def test_log_means_of_blocks_that_span_pieces() -> None:
    draws = torch.randn(2 * 10 * PIECE + 300, 3, generator=generator(), dtype=torch.float64)
    means = [LogMeans(size) for size in (1, 100, 10 * PIECE)]
    for piece in draws.split(PIECE):
        for mean in means:
            mean.add(piece)
    for mean in means:
        whole = len(draws) // mean.size * mean.size
        direct = log_mean_exp(draws[:whole].unflatten(0, (-1, mean.size)), dim=1)
        assert mean.count == len(direct)
        assert torch.allclose(mean.mean, direct.mean(0))
        assert mean.spread is not None
        assert torch.allclose(mean.spread, direct.std(0))


def test_each_prior_draw_is_decoded_once_for_all_images() -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae), 6)
    decoded = 0

    def count(module: torch.nn.Module, arguments: tuple[Tensor]) -> None:
        nonlocal decoded
        decoded += arguments[0].shape[:-1].numel()

    handle = vae.decoder.register_forward_pre_hook(count)
    evaluation.evaluate(vae, x, config(), seed=1)
    without, decoded = decoded, 0
    evaluation.evaluate(vae, x, config(prior_draws=20_000, prior_images=6), seed=1)
    handle.remove()
    assert without == 64 * 6
    assert decoded - without == 20_000 + evaluation.REFERENCE_DRAWS * 6


# --- the whole ------------------------------------------------------------------------------------------------------


def test_parts_do_not_change_each_other_and_seeds_repeat() -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae, stretch=1.2), 6)
    plain = evaluation.evaluate(vae, x, config(), seed=1).metrics
    more = evaluation.evaluate(vae, x, config(gap_images=4, gap_steps=5, prior_draws=1000), seed=1).metrics
    assert plain.items() <= more.items()
    assert evaluation.evaluate(vae, x, config(), seed=2).metrics["elbo"] != plain["elbo"]


def test_chunks_of_images_change_the_draws_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae, stretch=1.2), 10)
    whole = evaluation.evaluate(vae, x, config(num_samples=64), seed=1).metrics
    monkeypatch.setattr(evaluation, "MAX_TERMS", 3 * 64)
    parts = evaluation.evaluate(vae, x, config(num_samples=64), seed=1).metrics
    assert parts["kl"] == pytest.approx(whole["kl"])
    assert parts["iwae_64"] == pytest.approx(whole["iwae_64"], abs=0.1)


def test_max_images_and_progress() -> None:
    told: list[tuple[str, float]] = []
    x = torch.rand(9, *SHAPE, dtype=torch.float64)
    sizes = config(max_images=4, gap_images=2, gap_steps=2, prior_draws=100, prior_images=3)
    result = evaluation.evaluate(linear_vae(), x, sizes, seed=1, progress=lambda *what: told.append(what))
    assert {row["image"] for row in result.evidence_rows} == {0, 1, 2}
    assert [part for part, fraction in told if fraction == 1] == [
        "bound ladder",
        "latent space",
        "gaps",
        "prior Monte Carlo",
    ]
