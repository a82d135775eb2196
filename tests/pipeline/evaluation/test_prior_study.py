"""Prior Monte Carlo: spread and bias by number of draws, as the exact model predicts them."""

from __future__ import annotations

import math

import pytest
import torch
from exact_evaluation import Measured, exact_of, generator, sizes
from linear_vae import images_of, linear_vae, set_best_posterior
from torch import Tensor

from pipeline.evaluation import evaluate as evaluation
from pipeline.evaluation.prior_study import PIECE, LogMeans
from pipeline.probability.bounds import log_mean_exp


def test_prior_monte_carlo_spreads_and_misses_as_rho_says(measured: Measured) -> None:
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
    evaluation.evaluate(vae, x, sizes(), seed=1)
    without, decoded = decoded, 0
    evaluation.evaluate(vae, x, sizes(prior_draws=20_000, prior_images=6), seed=1)
    handle.remove()
    assert without == 64 * 6
    assert decoded - without == 20_000 + evaluation.REFERENCE_DRAWS * 6
