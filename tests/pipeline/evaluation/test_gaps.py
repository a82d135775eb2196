"""Where the bound is lost: the gaps are the exact ones, and the local optimum is the best of its family."""

from __future__ import annotations

import math

import pytest
import torch
from exact_evaluation import Measured, exact_of, generator, sizes
from linear_vae import SHAPE, images_of, linear_vae, set_best_posterior

from pipeline.evaluation import evaluate as evaluation
from pipeline.evaluation import gaps
from pipeline.model.draws import draw_terms


def test_gaps_are_the_exact_ones(measured: Measured) -> None:
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
        best = gaps.optimise(vae, x, 200, generator())
        lost = model.gap(x.flatten(1), best)
    target = model.diagonal_gap if posterior == "gaussian" else 0.0
    assert float((lost - target).max()) < 2e-3


def test_flow_posterior_has_gaps_too() -> None:
    vae = linear_vae(2, posterior="flow")
    changed = sizes(gap_images=4, gap_steps=20)
    metrics = evaluation.evaluate(vae, torch.rand(6, *SHAPE, dtype=torch.float64), changed, seed=1).metrics
    assert metrics["approximation_gap"] > 0
    assert metrics["amortisation_gap"] > -0.5
    assert metrics["elbo"] == metrics["elbo_monte_carlo"]
    assert 0 <= metrics["active_units"] <= 2
