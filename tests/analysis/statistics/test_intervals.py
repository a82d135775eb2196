"""Means and shares with their intervals: scipy's, and covering as often as they promise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from coverage_of_intervals import assert_covers
from scipy import stats

from analysis import statistics


def test_summarise_is_scipys_t_interval(replicates: pd.DataFrame) -> None:
    table = statistics.summarise(replicates, "test.elbo", ["model.latent_dim", "kl.estimator"])
    assert len(table) == 8
    for row in table.to_dict("records"):
        same = (replicates["model.latent_dim"] == row["model.latent_dim"]) & (
            replicates["kl.estimator"] == row["kl.estimator"]
        )
        values = replicates.loc[same, "test.elbo"].to_numpy()
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
        assert row["n"] == len(values)
        assert [row["mean"], row["standard_error"]] == pytest.approx([values.mean(), stats.sem(values)])
        assert [row["low"], row["high"]] == pytest.approx([expected.low, expected.high])


def test_summarise_counts_what_it_leaves_out_and_gives_no_interval_for_one() -> None:
    frame = pd.DataFrame({"d": [1, 1, 1, 2, 2, 3], "y": [1.0, 3.0, np.nan, 5.0, np.inf, np.nan]})
    table = statistics.summarise(frame, "y", "d").set_index("d")
    assert table["n"].to_dict() == {1: 2, 2: 1, 3: 0}
    assert table["missing"].to_dict() == {1: 1, 2: 1, 3: 1}
    assert table["mean"].iloc[:2].tolist() == [2.0, 5.0]
    assert table.loc[[2, 3], ["standard_error", "low", "high"]].isna().all(axis=None)
    assert np.isfinite(table.loc[1, ["low", "high"]].to_numpy(float)).all()


def test_summarise_without_groups_and_without_rows() -> None:
    frame = pd.DataFrame({"d": [1, 2], "y": [1.0, 3.0]})
    assert statistics.summarise(frame, "y")[["n", "mean"]].to_numpy().tolist() == [[2, 2.0]]
    assert statistics.summarise(frame.head(0), "y")["n"].tolist() == [0]
    assert statistics.summarise(frame.head(0), "y", "d").empty


def test_rows_of_one_unit_count_once() -> None:
    frame = pd.DataFrame({"trial": [0, 0, 0, 1, 2], "y": [0.0, 1.0, 2.0, 5.0, 9.0]})
    row = statistics.summarise(frame, "y", unit="trial").iloc[0]
    assert row["n"] == 3
    assert row["mean"] == pytest.approx(5.0)
    assert row["standard_error"] == pytest.approx(stats.sem([1.0, 5.0, 9.0]))


def test_the_t_interval_covers_with_three_replicates() -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"d": np.repeat(np.arange(4000), 3), "y": 7.0 + rng.normal(size=12000)})
    table = statistics.summarise(frame, "y", "d")
    assert_covers(((table["low"] <= 7.0) & (table["high"] >= 7.0)).to_numpy(), 0.95)


def test_clustered_rows_cover_only_when_the_unit_is_named() -> None:
    rng = np.random.default_rng(1)
    group, trial = np.repeat(np.arange(1500), 12), np.tile(np.repeat(np.arange(4), 3), 1500)
    shared = rng.normal(size=(1500, 4))[group, trial]
    frame = pd.DataFrame({"d": group, "trial": trial, "y": shared + 0.3 * rng.normal(size=len(group))})
    named = statistics.summarise(frame, "y", "d", unit="trial")
    assert_covers(((named["low"] <= 0) & (named["high"] >= 0)).to_numpy(), 0.95)
    pooled = statistics.summarise(frame, "y", "d")
    assert ((pooled["low"] <= 0) & (pooled["high"] >= 0)).mean() < 0.85


def test_the_share_interval_is_wilsons() -> None:
    z, n, p = stats.norm.ppf(0.975), 20, 0.9
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    assert statistics.share_interval(18, 20) == pytest.approx((centre - half, centre + half))
    assert np.isnan(statistics.share_interval(0, 0)).all()
