"""Knees and slopes against computations by hand, and against the truth of a synthetic sweep."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from coverage_of_intervals import assert_covers
from scipy import stats

from analysis import statistics, tables


def curve(means: dict[int, float], spread: float, n: int, rng: np.random.Generator) -> pd.DataFrame:
    dims = np.repeat(list(means), n)
    values = np.repeat(list(means.values()), n) + spread * rng.normal(size=len(dims))
    return pd.DataFrame({"model.latent_dim": dims, "test.elbo": values})


def test_the_knee_by_hand() -> None:
    frame = pd.DataFrame({"model.latent_dim": [2, 2, 4, 4, 8, 8, 16, 16]})
    frame["test.elbo"] = [-10.0, -10.0, -5.4, -5.0, -4.0, -5.2, -4.0, -6.0]
    row = statistics.knee(frame, "test.elbo").iloc[0]
    # Best mean -4.6 at 8, its standard error 0.6: everything from -5.2 on is as good, and 4 has exactly -5.2.
    assert row["best"] == 8
    assert row["threshold"] == pytest.approx(-5.2)
    assert row["knee"] in (4, 8)
    frame.loc[frame["model.latent_dim"] == 4, "test.elbo"] += 0.01
    assert statistics.knee(frame, "test.elbo")["knee"].item() == 4
    frame["test.loss"] = -frame["test.elbo"]
    assert statistics.knee(frame, "test.loss", maximise=False)["knee"].item() == 4
    assert statistics.knee(frame, "test.loss", maximise=False)["threshold"].item() == pytest.approx(5.2)


def test_the_bootstrap_of_the_knee_reproduces_its_sampling_distribution() -> None:
    """Over fresh sweeps the knee falls on each D with some frequency; the bootstrap's interval holds the usual ones."""
    means, rng = {2: -20.0, 4: -11.0, 8: -10.2, 16: -10.0}, np.random.default_rng(4)
    tables_ = [statistics.knee(curve(means, 0.5, 5, rng), "test.elbo", resamples=400) for _ in range(150)]
    knees = pd.concat(tables_, ignore_index=True)
    limit = 16 if knees["knee"].median() == 16 else 8
    covered = (knees["low"] <= limit) & (limit <= knees["high"])
    assert covered.mean() > 0.9
    assert (knees["low"] >= 4).mean() > 0.95  # D = 2 is 9 nats worse: never a knee


def test_a_clear_knee_has_no_width_and_is_deterministic() -> None:
    frame = curve({2: -30.0, 4: -20.0, 8: -10.0}, 0.1, 4, np.random.default_rng(5))
    row = statistics.knee(frame, "test.elbo").iloc[0]
    assert [row["knee"], row["low"], row["high"], row["probability"], row["note"]] == [8, 8, 8, 1.0, ""]
    pd.testing.assert_frame_equal(statistics.knee(frame, "test.elbo"), statistics.knee(frame, "test.elbo"))


@pytest.mark.parametrize(
    ("means", "n", "note"), [({4: -1.0}, 3, "one dimension only"), ({2: -2.0, 4: -1.0}, 1, "one replicate at the best")]
)
def test_a_curve_without_a_knee_says_why(means: dict[int, float], n: int, note: str) -> None:
    row = statistics.knee(curve(means, 0.1, n, np.random.default_rng(6)), "test.elbo").iloc[0]
    assert np.isnan(row["knee"])
    assert row["note"].startswith(note)


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
