"""Scalars of a trial: means that exist, reasons where none does, and the tail of the weights without a mean."""

from __future__ import annotations

import math

import pytest
import torch
from exact_evaluation import sizes
from linear_vae import images_of, linear_vae, set_best_posterior

from pipeline.evaluation import evaluate as evaluation
from pipeline.evaluation import summary

INF, NAN = math.inf, math.nan


def test_means_and_standard_errors_over_images() -> None:
    metrics, reasons = summary.means({"elbo": torch.tensor([1.0, 2.0, 6.0]), "kl": torch.tensor([4.0])})
    error = math.sqrt(7.0 / 3)
    assert metrics == {"elbo": 3.0, "elbo.standard_error": pytest.approx(error), "kl": 4.0}
    assert reasons == []


@pytest.mark.parametrize("broken", [INF, -INF, NAN])
def test_a_value_that_is_not_finite_has_no_mean_but_a_reason(broken: float) -> None:
    values = {"elbo": torch.tensor([1.0, broken, broken]), "kl": torch.tensor([1.0, 3.0])}
    metrics, reasons = summary.means(values)
    assert metrics == {"kl": 2.0, "kl.standard_error": pytest.approx(1.0)}
    assert reasons == ["elbo is not finite on 2 of 3 images"]


def test_pareto_k_counts_its_images_and_takes_no_mean_of_infinities() -> None:
    known = summary.pareto(torch.tensor([NAN, 0.1, INF, 0.8, 0.2, NAN]))
    assert known == {"pareto_k": pytest.approx(0.5), "pareto_k_unreliable": 0.5, "pareto_k_images": 4.0}
    assert summary.pareto(torch.tensor([NAN, NAN])) == {"pareto_k_images": 0.0}
    assert summary.pareto(torch.tensor([INF, INF, 0.1])) == {
        "pareto_k_unreliable": pytest.approx(2 / 3),
        "pareto_k_images": 3.0,
    }


def test_one_image_without_a_tail_leaves_the_others_their_pareto_k(monkeypatch: pytest.MonkeyPatch) -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae, stretch=1.2), 6)
    shapes = torch.tensor([NAN, 0.1, 0.2, 0.9, INF, 0.3], dtype=torch.float64)
    monkeypatch.setattr(evaluation, "pareto_k", lambda log_weights: shapes)
    metrics = evaluation.evaluate(vae, x, sizes(), seed=1).metrics
    assert (metrics["pareto_k"], metrics["pareto_k_images"], metrics["pareto_k_unreliable"]) == (0.3, 5, 0.4)
    assert all(math.isfinite(value) for value in metrics.values())


def test_an_infinite_likelihood_reaches_the_reasons_and_no_metric() -> None:
    vae = linear_vae(2)
    x = images_of(set_best_posterior(vae), 6)
    x[2] = 1e200
    result = evaluation.evaluate(vae, x, sizes(), seed=1)
    assert "elbo is not finite on 1 of 6 images" in result.suspect
    assert len(set(result.suspect)) == len(result.suspect)
    assert "elbo" not in result.metrics
    assert all(math.isfinite(value) for value in result.metrics.values())
