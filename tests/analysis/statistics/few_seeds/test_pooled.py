"""Pooled and moderated variances against their definitions, and what they promise."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from analysis.statistics.few_seeds import pooled
from analysis.statistics.few_seeds.pooled import moderated, pooled_means

VALUES = {("a", 2): [1.0, 3.0], ("a", 4): [5.0, 5.0, 8.0], ("b", 2): [0.0, 10.0], ("b", 4): [7.0]}


def frame_of(values: dict[tuple[str, int], list[float]]) -> pd.DataFrame:
    return pd.DataFrame([(s, d, y) for (s, d), ys in values.items() for y in ys], columns=["series", "d", "y"])


def test_the_variance_is_pooled_within_a_series_and_the_own_one_is_kept() -> None:
    table = pooled_means(frame_of(VALUES), "y", ["series", "d"], within="series").set_index(["series", "d"])
    sd = np.sqrt((1 * 2.0 + 2 * 3.0) / 3)  # s^2 are 2 and 3, with 1 and 2 degrees of freedom
    assert table.loc["a", "pooled_sd"].tolist() == pytest.approx([sd, sd])
    assert table.loc["a", "degrees"].tolist() == [3.0, 3.0]
    assert table.loc["a", "sd"].tolist() == pytest.approx([np.sqrt(2.0), np.sqrt(3.0)])
    half = stats.t.ppf(0.975, 3) * sd / np.sqrt([2, 3])
    assert (table.loc["a", "mean"] - table.loc["a", "low"]).tolist() == pytest.approx(half)
    assert (table.loc["a", "high"] - table.loc["a", "mean"]).tolist() == pytest.approx(half)
    assert table.loc["a", "basis"].tolist() == [pooled.POOLED] * 2


def test_one_seed_gives_no_interval_and_one_cell_with_two_its_own() -> None:
    table = pooled_means(frame_of(VALUES), "y", ["series", "d"], within="series").set_index(["series", "d"])
    assert table.loc[("b", 4), ["sd", "pooled_sd", "degrees", "standard_error", "low", "high"]].isna().all()
    assert table.loc[("b", 4), "basis"] == pooled.NONE
    own = stats.ttest_1samp([0.0, 10.0], 0.0).confidence_interval(0.95)
    assert table.loc[("b", 2), ["low", "high"]].tolist() == pytest.approx([own.low, own.high])
    assert table.loc[("b", 2), "basis"] == pooled.OWN


def test_without_series_all_cells_are_one_and_rows_that_are_not_finite_are_counted() -> None:
    frame = pd.DataFrame({"d": [1, 1, 2, 2, 2], "y": [1.0, 3.0, 4.0, 8.0, np.nan]})
    table = pooled_means(frame, "y", "d")
    assert table["degrees"].tolist() == [2.0, 2.0]
    assert table["pooled_sd"].tolist() == pytest.approx([np.sqrt(5.0)] * 2)
    assert table["missing"].tolist() == [0, 1]
    assert pooled_means(frame.head(0), "y", "d").empty


def test_a_unit_counts_once() -> None:
    frame = pd.DataFrame({"d": [1] * 4 + [2] * 2, "trial": [0, 0, 1, 1, 2, 3], "y": [0.0, 2.0, 4.0, 6.0, 1.0, 5.0]})
    table = pooled_means(frame, "y", "d", unit="trial")
    assert table["n"].tolist() == [2, 2]
    assert table["pooled_sd"].tolist() == pytest.approx([np.sqrt(8.0)] * 2)


def test_series_of_one_cell_are_moderated_by_smyths_equations() -> None:
    rng = np.random.default_rng(0)
    variances = 0.3 * stats.invgamma(2.0, scale=2.0).rvs(8, random_state=rng) * rng.chisquare(4, 8) / 4
    degrees = np.full(8, 4.0)
    squeezed, total = moderated(variances, degrees)
    e = np.log(variances) - special.digamma(2.0) + np.log(2.0)
    # Independent solution of trigamma(d0 / 2) = var(e) - trigamma(d / 2).
    grid = np.exp(np.linspace(-6, 8, 400_001))
    d0 = 2 * grid[np.argmin(np.abs(special.polygamma(1, grid) - (e.var(ddof=1) - special.polygamma(1, 2.0))))]
    s0 = np.exp(e.mean() + special.digamma(d0 / 2) - np.log(d0 / 2))
    assert squeezed == pytest.approx((d0 * s0 + 4 * variances) / (d0 + 4), rel=1e-3)
    assert total == pytest.approx(np.full(8, min(4 + d0, 32.0)), rel=1e-3)


def test_equal_variances_are_squeezed_into_one_with_no_more_freedom_than_was_observed() -> None:
    squeezed, degrees = moderated(np.array([1.0, 1.1, 0.9, 1.0]), np.full(4, 2.0))
    assert squeezed == pytest.approx(np.full(4, 1.0))
    assert degrees.tolist() == [8.0] * 4


def test_fewer_than_three_series_of_one_cell_keep_their_own() -> None:
    values = {(name, 2): [0.0, 1.0, spread] for name, spread in (("a", 2.0), ("b", 3.0), ("c", 4.0))}
    three = pooled_means(frame_of(values), "y", ["series", "d"], within="series")
    assert three["basis"].tolist() == [pooled.MODERATED] * 3
    assert (three["degrees"] > 2).all()
    two = pooled_means(frame_of({key: values[key] for key in list(values)[:2]}), "y", ["series", "d"], within="series")
    assert two["basis"].tolist() == [pooled.OWN] * 2
    assert two["degrees"].tolist() == [2.0, 2.0]


def test_pooled_intervals_cover_and_are_narrower() -> None:
    rng = np.random.default_rng(1)
    sweeps, dims, seeds = 800, 5, 3
    index = np.arange(sweeps * dims * seeds)
    frame = pd.DataFrame(
        {"sweep": index // (dims * seeds), "d": index // seeds % dims, "y": rng.normal(size=len(index))}
    )
    table = pooled_means(frame, "y", ["sweep", "d"], within="sweep")
    covered = ((table["low"] <= 0) & (table["high"] >= 0)).mean()
    assert covered == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / (sweeps * dims)))
    widths = (table["high"] - table["low"]) / 2
    assert widths.mean() < 0.65 * stats.t.ppf(0.975, 2) / np.sqrt(3)
