"""The joint tests of the calibration against tables with a known truth."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from analysis import statistics, tables
from analysis.statistics.draws.calibration import is_off
from analysis.tables.schema import calibration_ulps


def drawn(
    rng: np.random.Generator, rows: int = 30, seeds: int = 20, shared: float = 0.7, bias: float = 0.0
) -> pd.DataFrame:
    """z-scores of right estimators, ten rows at a time with common draws; the first row is biased."""
    z = np.sqrt(shared) * np.repeat(rng.normal(size=(seeds, rows // 10)), 10, axis=1)
    z += np.sqrt(1 - shared) * rng.normal(size=(seeds, rows))
    z[:, 0] += bias
    frame = pd.DataFrame(z, columns=[f"row {number}" for number in range(rows)]).rename_axis("seed")
    long = frame.melt(var_name="estimator", value_name="z_score", ignore_index=False).reset_index()
    return long.assign(quantity="KL", compared="standard error", ulps=np.nan)


def test_right_estimators_are_rejected_as_often_as_the_level_says() -> None:
    """Although rows share draws, which a plain KS test would take for a wrong distribution."""
    rng = np.random.default_rng(1)
    found = pd.concat([statistics.calibration_tests(drawn(rng)) for _ in range(80)])
    for name in ("p_ks", "p_means"):
        assert (found[name] <= 0.05).mean() <= 0.123, name  # 0.05 and three standard errors
        assert found[name].mean() == pytest.approx(0.5, abs=0.1)
    off = [bool(statistics.calibration_rows(drawn(rng))["off"].any()) for _ in range(80)]
    assert np.mean(off) <= 0.123


def test_a_bias_is_found_as_often_as_the_power_says() -> None:
    rng = np.random.default_rng(2)
    table = statistics.calibration_rows(drawn(rng, rows=500, shared=0.0).assign(z_score=lambda t: t["z_score"] + 1.0))
    power = statistics.detection_power(1.0, seeds=20, rows=500)
    assert table["off"].mean() == pytest.approx(power, abs=3.5 * np.sqrt(power * (1 - power) / 500))
    assert statistics.detection_power(1.0, seeds=20, rows=66) == pytest.approx(0.865, abs=0.001)
    assert statistics.detection_power(2.0, seeds=20, rows=66) > 0.999
    assert statistics.detection_power(0.0, seeds=20, rows=66) == pytest.approx(0.05 / 66)


def test_errors_that_are_too_small_show_jointly() -> None:
    table = drawn(np.random.default_rng(3))
    wrong = table.assign(z_score=1.5 * table["z_score"])
    assert statistics.calibration_tests(wrong).iloc[0]["sd"] == pytest.approx(1.5, abs=0.2)
    independent = drawn(np.random.default_rng(3), shared=0.0)
    assert statistics.calibration_tests(independent.assign(z_score=1.5 * independent["z_score"]))["p_ks"].iloc[0] < 0.01


def test_the_farthest_row_comes_first_and_kinds_keep_apart() -> None:
    seeds = drawn(np.random.default_rng(4), bias=2.0)
    one = {"estimator": "bound", "quantity": "log p", "compared": "one side", "ulps": np.nan}
    sure = {"estimator": "exact", "quantity": "KL", "compared": "ulp", "z_score": np.nan}
    more = pd.DataFrame([one | {"z_score": 0.0, "seed": 0}, sure | {"ulps": calibration_ulps(), "seed": 0}])
    table = statistics.calibration_rows(pd.concat([seeds, more], ignore_index=True)).set_index("estimator")
    assert table.index[0] == "row 0"
    assert table["off"].sum() == 1
    assert np.isnan(table.loc["bound", "score"])
    beyond = pd.DataFrame([one | {"z_score": 9.0, "seed": 0}, sure | {"ulps": calibration_ulps() + 1, "seed": 0}])
    broken = pd.DataFrame([one | {"estimator": "nan", "compared": "standard error", "z_score": np.nan, "seed": 0}])
    table = statistics.calibration_rows(pd.concat([seeds, beyond, broken], ignore_index=True)).set_index("estimator")
    assert table.loc[["bound", "exact", "nan"], "off"].all()


def test_one_seed_is_no_joint_test(sweep: tables.Sweep) -> None:
    seeds = sweep.calibration_seeds
    assert statistics.calibration_tests(seeds[seeds["seed"] == 0]).empty
    assert statistics.calibration_tests(seeds.head(0)).empty
    row = statistics.calibration_tests(seeds).iloc[0]
    assert (row["rows"], row["seeds"]) == (15, 20)


def test_older_tables_are_compared_by_their_z() -> None:
    frame = pd.DataFrame({"estimator": ["a", "b", "c", "d"], "z_score": [0.1, -6.0, 2.5, np.nan]})
    row = statistics.calibration_summary(frame).iloc[0]
    assert [row["n"], row["beyond_2"], row["beyond_limit"], row["largest"], row["estimator"]] == [3, 2, 1, 6.0, "b"]
    assert row["deterministic"] == 0


def test_deterministic_rows_count_and_can_be_off() -> None:
    frame = pd.DataFrame({"estimator": ["a", "b", "c"], "z_score": [0.1, np.nan, np.nan]})
    frame = frame.assign(compared=["standard error", "ulp", "ulp"], ulps=[np.nan, 3.0, calibration_ulps() + 1])
    row = statistics.calibration_summary(frame).iloc[0]
    assert [row["n"], row["deterministic"], row["beyond_limit"]] == [3, 2, 1]
    assert row["expected_beyond_2"] == pytest.approx(0.0455)
    assert is_off(frame).tolist() == [False, False, True]
