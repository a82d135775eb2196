"""Analysis of variance against scipy and against the population it is drawn from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.few_seeds.factor_shares import INTERACTIONS, SEEDS, factor_shares


def design(effect: float, *, seeds: int = 3, start: int = 0, interaction: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(start)
    rows = [
        (a, b, effect * a + interaction * a * b + rng.normal())
        for a in range(4)
        for b in range(2)
        for _ in range(seeds)
    ]
    return pd.DataFrame(rows, columns=["a", "b", "y"])


def test_one_factor_is_scipys_f_test() -> None:
    frame = design(0.7).drop(columns="b")
    table = factor_shares(frame, "y", ["a"]).set_index("source")
    expected = stats.f_oneway(*(rows["y"] for _, rows in frame.groupby("a")))
    assert table.loc["a", ["f", "p_value"]].tolist() == pytest.approx([expected.statistic, expected.pvalue])
    assert INTERACTIONS not in table.index


def test_a_complete_design_adds_up() -> None:
    frame = design(0.7, interaction=0.5)
    table = factor_shares(frame, "y", ["b", "a"])
    assert table["share"].sum() == pytest.approx(1.0)
    assert table["degrees"].tolist() == [3, 1, 3, 16]
    assert table["source"].tolist() == ["a", "b", INTERACTIONS, SEEDS]
    by_hand = 6 * ((frame.groupby("a")["y"].mean() - frame["y"].mean()) ** 2).sum()
    assert table["sum_of_squares"].iloc[0] == pytest.approx(by_hand)


def test_a_missing_cell_is_no_error_and_a_lost_seed_changes_little() -> None:
    frame = design(1.0)
    ragged = frame.drop(index=[0, 23])
    assert factor_shares(ragged, "y", ["a", "b"])["source"].iloc[0] == "a"
    holed = frame[~((frame["a"] == 3) & (frame["b"] == 1))]
    assert np.isfinite(factor_shares(holed, "y", ["a", "b"])["share"]).all()


def test_in_a_design_with_holes_the_shares_still_add_up_and_lie_in_their_intervals() -> None:
    frame = design(30.0, interaction=1.0)
    holed = frame[~((frame["a"] == 3) & (frame["b"] == 1)) & ~((frame["a"] == 0) & (frame["b"] == 0))]
    table = factor_shares(holed, "y", ["a", "b"])
    assert table["share"].sum() == pytest.approx(1.0)
    known = table[table["source"] != SEEDS]
    assert known["share"].between(known["low"], known["high"]).all()


def test_no_replicates_or_no_factor_gives_nothing() -> None:
    assert factor_shares(design(1.0, seeds=1), "y", ["a", "b"]).empty
    assert factor_shares(design(1.0).assign(a=1), "y", ["a"]).empty
    assert factor_shares(design(1.0).head(0), "y", ["a"]).empty
    same = design(1.0).assign(y=2.0)
    assert factor_shares(same, "y", ["a", "b"]).empty


def test_the_interval_covers_the_share_of_the_population() -> None:
    effect, covered = 0.5, []
    main = 24 * np.var(effect * np.arange(4))
    share = main / (main + 24)  # sums over 24 rows, seeds of variance 1
    for start in range(100):
        row = factor_shares(design(effect, start=start), "y", ["a", "b"]).set_index("source").loc["a"]
        covered.append(row["low"] <= share <= row["high"])
    assert np.mean(covered) == pytest.approx(0.95, abs=4 * np.sqrt(0.95 * 0.05 / 100))


def test_noise_has_an_interval_from_nothing() -> None:
    row = factor_shares(design(0.0, start=2), "y", ["a"]).set_index("source").loc["a"]
    assert row["p_value"] > 0.05
    assert row["low"] == 0.0
