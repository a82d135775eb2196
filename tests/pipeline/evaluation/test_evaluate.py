"""The evaluation of a trained replicate as a whole: errors, seeds, chunks and progress."""

from __future__ import annotations

import math

import pytest
import torch
from exact_evaluation import Measured, exact_of, sizes
from linear_vae import SHAPE, images_of, linear_vae, set_best_posterior

from pipeline.evaluation import evaluate as evaluation


def test_standard_errors_are_over_images(measured: Measured) -> None:
    vae, x, result = measured
    elbo = exact_of(vae, x)["elbo"]
    assert result.metrics["elbo.standard_error"] == pytest.approx(float(elbo.std()) / math.sqrt(len(x)), rel=0.1)


def test_annealing_reaches_the_evidence(measured: Measured) -> None:
    vae, x, result = measured
    exact = exact_of(vae, x)["log_px"]
    rows = [row for row in result.evidence_rows if row["estimator"] == "ais"]
    assert [row["image"] for row in rows] == list(range(8))
    difference = torch.tensor([row["log_evidence"] for row in rows], dtype=torch.float64) - exact[:8]
    assert abs(float(difference.mean())) < 5 * float(difference.std()) / math.sqrt(8)
    assert float(difference.abs().max()) < 0.2


def test_parts_do_not_change_each_other_and_seeds_repeat() -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae, stretch=1.2), 6)
    plain = evaluation.evaluate(vae, x, sizes(), seed=1).metrics
    more = evaluation.evaluate(vae, x, sizes(gap_images=4, gap_steps=5, prior_draws=1000), seed=1).metrics
    assert plain.items() <= more.items()
    assert evaluation.evaluate(vae, x, sizes(), seed=2).metrics["elbo"] != plain["elbo"]


def test_chunks_of_images_change_the_draws_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae, stretch=1.2), 10)
    whole = evaluation.evaluate(vae, x, sizes(num_samples=64), seed=1).metrics
    monkeypatch.setattr(evaluation, "MAX_TERMS", 3 * 64)
    parts = evaluation.evaluate(vae, x, sizes(num_samples=64), seed=1).metrics
    assert parts["kl"] == pytest.approx(whole["kl"])
    assert parts["iwae_64"] == pytest.approx(whole["iwae_64"], abs=0.1)


def test_max_images_and_progress() -> None:
    told: list[tuple[str, float]] = []
    x = torch.rand(9, *SHAPE, dtype=torch.float64)
    changed = sizes(max_images=4, gap_images=2, gap_steps=2, prior_draws=100, prior_images=3)
    result = evaluation.evaluate(linear_vae(), x, changed, seed=1, progress=lambda *what: told.append(what))
    assert {row["image"] for row in result.evidence_rows} == {0, 1, 2}
    assert [part for part, fraction in told if fraction == 1] == [
        "bound ladder",
        "latent space",
        "gaps",
        "prior Monte Carlo",
    ]
