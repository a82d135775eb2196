"""The bias of prior Monte Carlo, averaged and counted independently."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import statistics, tables


def test_prior_monte_carlo_collapses_on_draws_over_exp_kl() -> None:
    """Bias -KL + log(draws) below exp(KL) draws, none above: one curve for every KL."""
    kl, num_draws = np.meshgrid(np.linspace(3.0, 12.0, 40), [1.0, 10.0, 100.0, 1e4])
    bias = np.minimum(np.log(num_draws) - kl, 0.0)
    frame = pd.DataFrame({"kl": kl.ravel(), "num_draws": num_draws.ravel(), "bias": bias.ravel()})
    table = statistics.prior_monte_carlo_collapse(frame.assign(estimator="prior_monte_carlo"), per_decade=2)
    assert table["n"].sum() == len(frame)
    expected = np.minimum(np.log(table["share"]), 0.0)
    assert np.abs(table["median"] - expected).max() <= np.log(10.0) / 4 + 1e-9  # half the width of a bin
    assert ((table["low"] <= table["median"]) & (table["median"] <= table["high"])).all()


def test_the_bias_of_prior_monte_carlo_is_averaged_over_replicates(sweep: tables.Sweep) -> None:
    evidence = tables.joined(sweep, "evidence")
    curve = statistics.prior_monte_carlo_curve(evidence, "model.latent_dim")
    own = evidence[evidence["estimator"] == "prior_monte_carlo"]
    for row in curve.to_dict("records"):
        same = own[(own["model.latent_dim"] == row["model.latent_dim"]) & (own["num_draws"] == row["num_draws"])]
        means = same.groupby(["trial", "replicate"])["bias"].mean()
        interval = stats.ttest_1samp(means, 0.0).confidence_interval(0.95)
        assert [row["n"], row["mean"]] == [len(means), pytest.approx(means.mean())]
        assert [row["low"], row["high"]] == pytest.approx([interval.low, interval.high])
        assert row["expected_draws"] == pytest.approx(np.exp(same["kl"].mean()))
        assert np.isnan(row["expected"]) == (row["num_draws"] < row["expected_draws"])


def test_draws_needed_are_counted_image_by_image(sweep: tables.Sweep) -> None:
    evidence = tables.joined(sweep, "evidence")
    needed = statistics.draws_needed(evidence, tolerance=1.0)
    own = evidence[evidence["estimator"] == "prior_monte_carlo"]
    for row in needed.sample(20, random_state=0).to_dict("records"):
        same = own[
            (own["trial"] == row["trial"]) & (own["replicate"] == row["replicate"]) & (own["image"] == row["image"])
        ]
        enough = np.nan
        for num_draws, bias in sorted(zip(same["num_draws"], same["bias"]), reverse=True):
            if abs(bias) > 1.0:
                break
            enough = num_draws
        assert row["enough"] == np.isfinite(enough)
        assert row["draws_needed"] == pytest.approx(enough, nan_ok=True)
    assert needed.groupby(needed["kl"].round(-1))["enough"].mean().is_monotonic_decreasing


def test_an_estimate_that_was_near_by_luck_is_not_counted() -> None:
    """Within a nat with 10 draws but not with 100; the third is above its reference, which is the one that is off."""
    biases = {0: (-9.0, -0.5, -3.0), 1: (-9.0, -4.0, -0.2), 2: (-9.0, 0.1, 1.7)}
    rows = [(0, 0, image, 10.0**k, bias) for image, row in biases.items() for k, bias in enumerate(row)]
    evidence = pd.DataFrame(rows, columns=["trial", "replicate", "image", "num_draws", "bias"])
    table = statistics.draws_needed(evidence.assign(estimator="prior_monte_carlo", kl=3.0, reference=-90.0))
    assert table["enough"].tolist() == [False, True, False]
    assert table["above"].tolist() == [False, False, True]
    assert table["draws_needed"].tolist() == pytest.approx([np.nan, 100.0, np.nan], nan_ok=True)
