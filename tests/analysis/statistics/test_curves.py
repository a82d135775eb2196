"""Slopes against computations by hand, and against the truth of a synthetic sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from coverage_of_intervals import assert_covers
from scipy import stats

from analysis import statistics, tables


def test_slopes_are_numpys_when_errors_are_equal() -> None:
    rng = np.random.default_rng(7)
    frame = pd.DataFrame([(t, n) for t in range(6) for n in (1, 2, 4, 8)], columns=["trial", "num_samples"])
    frame["replicate"] = 0
    frame["variance"] = 3.0 * frame["num_samples"] ** -1.0 * np.exp(0.1 * rng.normal(size=len(frame)))
    table = statistics.fit_slope(frame, by=(), error=None)
    lines = [np.polyfit(np.log(g["num_samples"]), np.log(g["variance"]), 1)[0] for _, g in frame.groupby("trial")]
    interval = stats.ttest_1samp(lines, 0.0).confidence_interval(0.95)
    row = table.iloc[0]
    assert row["n"] == 6
    assert [row["slope"], row["low"], row["high"]] == pytest.approx([np.mean(lines), interval.low, interval.high])


def test_a_single_line_falls_back_to_its_weighted_regression() -> None:
    x, relative = np.array([1, 2, 4, 8, 16]), np.array([0.02, 0.03, 0.05, 0.08, 0.1])
    y = 2.0 / x * np.exp(relative * np.random.default_rng(8).normal(size=5))
    frame = pd.DataFrame({"num_samples": x, "variance": y, "standard_error": relative * y, "trial": 0, "replicate": 0})
    row = statistics.fit_slope(frame, by=()).iloc[0]
    log_y = np.log(y) + 0.5 * relative**2
    expected, covariance = np.polyfit(np.log(x), log_y, 1, w=1 / relative, cov="unscaled")
    residual = ((np.polyval(expected, np.log(x)) - log_y) / relative) ** 2
    scale = max(1.0, residual.sum() / 3)
    assert row["slope"] == pytest.approx(expected[0])
    assert row["standard_error"] == pytest.approx(np.sqrt(covariance[0, 0] * scale))
    assert row["method"] == "one weighted regression"


def test_the_iid_slope_covers_minus_one_with_shared_draws() -> None:
    """Every L from the same draws, as in the study: the points of a line depend on each other, the lines do not."""
    rng, rows = np.random.default_rng(9), []
    for sweep_number in range(300):
        for replicate in range(4):
            draws = rng.normal(size=(16, 512)) ** 2
            for length in (1, 2, 4, 8, 16, 32):
                blocks = draws.reshape(16, -1, length).mean(axis=2)
                variance = blocks.var(axis=1, ddof=1)
                error = np.sqrt((2.0 / (blocks.shape[1] - 1) + 12.0 / length / blocks.shape[1]) / 16) * variance.mean()
                rows.append((sweep_number, 0, replicate, length, variance.mean(), error))
    names = ["sweep", "trial", "replicate", "num_samples", "variance", "standard_error"]
    table = statistics.fit_slope(pd.DataFrame(rows, columns=names), by="sweep")
    assert table["n"].eq(4).all()
    covered = ((table["low"] <= -1.0) & (table["high"] >= -1.0)).to_numpy()
    assert_covers(covered, 0.95)


def test_slopes_recover_the_truth_of_every_scheme(sweep: tables.Sweep) -> None:
    table = statistics.variance_slopes(sweep.variance)
    true = table["sampling"].map({"iid": -1.0, "antithetic": -1.0, "sobol": -2.0})
    assert (np.abs(table["slope"] - true) < 5 * table["standard_error"]).all()
    assert table.loc[table["sampling"] != "sobol", "contains_expected"].mean() > 0.7
    assert table.loc[table["sampling"] == "sobol", "expected"].isna().all()


def test_gradient_slopes_know_the_theory(sweep: tables.Sweep) -> None:
    table = statistics.gradient_slopes(sweep.gradients).set_index(["parameters", "estimator", "against"])
    assert table.loc[("encoder", "pathwise", "num_importance_samples"), "expected"] == -0.5
    assert table.loc[("encoder", "dreg", "num_importance_samples"), "expected"] == 0.5
    assert (np.abs(table["slope"] - table["expected"]) < 5 * table["standard_error"]).all()


def test_counts_per_dimension_add_up(sweep: tables.Sweep) -> None:
    counts = statistics.per_dimension_counts(sweep.trials, sweep.replicates)
    assert counts["trials"].sum() == len(sweep.trials)
    ended = counts[["finished", "stopped", "failed", "running"]].sum()
    assert ended.to_dict() == {"finished": len(sweep.trials) - 3, "stopped": 2, "failed": 1, "running": 0}
    assert counts["replicates"].sum() == len(tables.joined(sweep))
    assert counts["suspect"].sum() == 1
