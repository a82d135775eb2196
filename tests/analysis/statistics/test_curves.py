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


def shared_study(rng: np.random.Generator, trials: int, seeds: int, slope: float = -1.0) -> pd.DataFrame:
    """Trials whose replicates have the same noise by seed, as where draws are seeded by the replicate alone."""
    noise = 0.1 * rng.normal(size=(seeds, 4))
    rows = [(t, r, n, n**slope * np.exp(noise[r, i])) for t in range(trials) for r in range(seeds)
            for i, n in enumerate((1, 2, 4, 8))]  # fmt: skip
    frame = pd.DataFrame(rows, columns=["trial", "replicate", "num_samples", "variance"])
    return frame.assign(
        quantity="k1", sampling="iid", num_importance_samples=np.nan, standard_error=0.1 * frame["variance"]
    )


def test_shared_draws_count_once_and_own_draws_each() -> None:
    """With shared draws, an interval over all lines would miss -1 most of the time; over streams it covers it."""
    rng = np.random.default_rng(3)
    frames = [shared_study(rng, trials=6, seeds=4).assign(sweep=number) for number in range(600)]
    table = statistics.variance_slopes(pd.concat(frames), by="sweep")
    assert table["n"].eq(4).all()
    assert_covers(table["contains_expected"].to_numpy(), 0.95)
    lines = statistics.fit_slope(pd.concat(frames), by="sweep")
    assert ((lines["low"] <= -1.0) & (lines["high"] >= -1.0)).mean() < 0.7
    own = frames[0].assign(stream=frames[0]["trial"].astype(str) + " " + frames[0]["replicate"].astype(str))
    assert statistics.variance_slopes(own)["n"].tolist() == [24]


def test_where_each_model_has_its_own_slope_the_trial_is_the_unit() -> None:
    rng = np.random.default_rng(4)
    rows = pd.concat(
        [shared_study(rng, 1, 3, slope).assign(trial=t) for t, slope in enumerate((-2.1, -1.9, -1.5, -1.4))]
    )
    rows = rows.assign(sampling="sobol", stream=rows["trial"].astype(str) + " " + rows["replicate"].astype(str))
    row = statistics.variance_slopes(rows).iloc[0]
    assert (row["n"], row["method"]) == (4, "Student t over trials")
    assert row["low"] < -2.1
    one = statistics.variance_slopes(rows[rows["trial"] == 0]).iloc[0]
    assert (one["n"], one["method"]) == (3, "Student t over streams of draws")


def test_misses_that_chance_explains() -> None:
    slopes = pd.DataFrame({"expected": [-1.0] * 40 + [np.nan], "low": [-1.1] * 39 + [np.nan, -1.0]})
    assert statistics.expected_misses(slopes) == pytest.approx(39 * 0.05)


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
