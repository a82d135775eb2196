"""The validation bound: one quantity for all trials, exact where it has a closed form."""

from __future__ import annotations

import math

import pytest
import torch
from linear_vae import images_of, linear_vae, set_best_posterior
from small_training import history, small_training
from torch.distributions import kl_divergence

from pipeline.training import validation
from pipeline.training.loop import Training
from pipeline.training.validation import importance_bound, validate


def test_trials_are_compared_by_one_quantity_whatever_they_train_on(digits):
    """Before training all these have the same weights, so the same validation bound."""
    changes = [
        {"kl": {"estimator": "closed_form"}},
        {"kl": {"estimator": "monte_carlo"}},
        {"objective": {"name": "elbo", "num_samples": 16, "sampling": "antithetic", "beta": 4.0, "free_bits": 1.0}},
        {"objective": {"name": "iwae", "num_importance_samples": 64}},
        {
            "gradient.estimator": "stl",
            "kl.estimator": "monte_carlo",
            "training.batch_size": 7,
            "training.learning_rate": 0.1,
        },
    ]
    bounds = [
        history(small_training(**change, **{"training.epochs": 0, "replicates": 1}), digits)[0] for change in changes
    ]
    assert len({row["validation.elbo"] for row in bounds}) == 1


def test_validation_is_the_mean_bound_with_a_closed_form_kl(digits):
    vae = Training(small_training(), digits).replicates[0].vae
    row = validate(vae, digits.validation, closed_form=True, seed=0)
    with torch.no_grad():
        kl = kl_divergence(vae.posterior(digits.validation), vae.prior())
    assert row["validation.kl"] == pytest.approx(float(kl.mean()), rel=1e-5)
    assert row == validate(vae, digits.validation, closed_form=True, seed=0)
    # Monte Carlo agrees within its own error, over images and draws together.
    many = [validate(vae, digits.validation, closed_form=False, seed=seed)["validation.kl"] for seed in range(20)]
    spread = torch.tensor(many).std().item() / math.sqrt(20)
    assert abs(sum(many) / 20 - row["validation.kl"]) < 5 * spread


def test_validation_does_not_depend_on_its_chunks_beyond_the_noise(digits, monkeypatch):
    vae = Training(small_training(), digits).replicates[0].vae
    whole = validate(vae, digits.validation, closed_form=True, seed=0)
    monkeypatch.setattr(validation, "VALIDATION_CHUNK", 100)
    parts = validate(vae, digits.validation, closed_form=True, seed=0)
    assert parts["validation.kl"] == pytest.approx(whole["validation.kl"], rel=1e-6)
    assert parts["validation.reconstruction"] == pytest.approx(whole["validation.reconstruction"], rel=1e-2)


def test_the_importance_bound_of_the_exact_posterior_is_the_evidence(monkeypatch):
    """Any K, any chunks: with the posterior itself every weight is p(x)."""
    vae = linear_vae(2, orthogonal=True)
    model = set_best_posterior(vae)
    x = images_of(model, 30)
    exact = float(model.log_px(x.flatten(1)).mean())
    assert importance_bound(vae, x, 3, seed=1) == pytest.approx(exact, rel=1e-9)
    monkeypatch.setattr(validation, "VALIDATION_DRAWS", 16)
    assert importance_bound(vae, x, 8, seed=1) == pytest.approx(exact, rel=1e-9)


def test_the_importance_bound_rises_with_its_draws_from_the_elbo_towards_the_evidence():
    vae = linear_vae(2)
    model = set_best_posterior(vae, shift=0.1, stretch=1.2)
    x = images_of(model, 400)
    with torch.no_grad():
        elbo = float(model.elbo(x.flatten(1), vae.posterior(x)).mean())
    bounds = [importance_bound(vae, x, draws, seed=1) for draws in (1, 16, 1024)]
    assert bounds[0] == pytest.approx(elbo, abs=0.15)
    assert bounds == sorted(bounds)
    assert bounds[-1] == pytest.approx(float(model.log_px(x.flatten(1)).mean()), abs=0.01)
    assert importance_bound(vae, x, 16, seed=1) == bounds[1]
