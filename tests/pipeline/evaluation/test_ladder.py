"""The bound ladder: exact rungs, and broken ladders that are suspect."""

from __future__ import annotations

import math

import pytest
import torch
from exact_evaluation import Measured, exact_of, generator, sizes
from linear_vae import images_of, linear_vae, set_best_posterior
from torch import Tensor

from pipeline.evaluation import evaluate as evaluation
from pipeline.evaluation import ladder
from pipeline.model.draws import DrawTerms, draw_terms
from pipeline.model.vae import VAE


def test_ladder_equals_the_exact_bounds(measured: Measured) -> None:
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


def test_exact_posterior_makes_every_rung_the_evidence() -> None:
    vae = linear_vae(2, orthogonal=True)
    model = set_best_posterior(vae)
    x = images_of(model, 6)
    metrics = evaluation.evaluate(vae, x, sizes(), seed=1).metrics
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
    assert any("elbo" in reason for reason in evaluation.evaluate(vae, x, sizes(), seed=1).suspect)


def test_two_lower_bounds_of_one_evidence_do_not_contradict_each_other() -> None:
    """AIS of two temperatures lies nats below IWAE-64: a worse bound, and no error."""
    vae = linear_vae(8)
    x = images_of(set_best_posterior(vae, stretch=2.0), 60)
    result = evaluation.evaluate(vae, x, sizes(ais_images=60, ais_temperatures=2, ais_chains=2), seed=1)
    assert result.metrics["ais"] < result.metrics["iwae_64"] - 1
    assert result.suspect == []
