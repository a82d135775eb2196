"""The headline without the winner's curse: leave-one-seed-out by hand, its bias and its coverage by simulation."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis.statistics.few_seeds import winner as module
from analysis.statistics.few_seeds.winner import winner, winner_on_fresh_seeds


def table_of(values: dict[str, list[float]], column: str = "y") -> pd.DataFrame:
    rows = [(cell, seed, y) for cell, ys in values.items() for seed, y in enumerate(ys)]
    return pd.DataFrame(rows, columns=["config_hash", "seed", column])


def test_each_seed_is_read_where_the_others_choose() -> None:
    frame = table_of({"a": [5.0, 1.0, 3.0], "b": [2.0, 4.0, 2.5]})
    row = winner(frame, "y").iloc[0]
    # Without seed 0, b wins (3.25 to 2): read 2. Without 1, a (4 to 2.25): read 1. Without 2, a and b tie: a, read 3.
    assert row["config_hash"] == "a"
    assert row["estimate"] == pytest.approx((2.0 + 1.0 + 3.0) / 3)
    assert row["chosen_mean"] == pytest.approx(3.0)
    assert row["optimism"] == pytest.approx(1.0)
    assert row["readings"] == 3
    pooled = np.sqrt((np.var([5, 1, 3], ddof=1) + np.var([2, 4, 2.5], ddof=1)) / 2)
    assert row["standard_error"] == pytest.approx(pooled / np.sqrt(3))
    assert row["low"] < row["estimate"] < row["high"]


def test_the_choice_may_be_by_another_column() -> None:
    frame = table_of({"a": [5.0, 1.0, 3.0], "b": [2.0, 4.0, 2.5]})
    by = table_of({"a": [0.0, 0.1, 0.2], "b": [9.0, 9.1, 9.3]}, "rank")
    row = winner(frame.merge(by), "y", choose_by="rank").iloc[0]
    assert row["config_hash"] == "b"
    assert row["estimate"] == row["chosen_mean"] == pytest.approx(8.5 / 3)
    assert row["optimism"] == pytest.approx(0.0, abs=1e-12)


def test_losses_are_the_mirror() -> None:
    frame = table_of({"a": [5.0, 1.0, 3.0], "b": [2.0, 4.0, 2.5]})
    up, down = winner(frame, "y").iloc[0], winner(frame.assign(y=-frame["y"]), "y", maximise=False).iloc[0]
    assert [down["estimate"], down["low"], down["high"]] == pytest.approx([-up["estimate"], -up["high"], -up["low"]])
    assert down["optimism"] == pytest.approx(up["optimism"])


def test_one_candidate_is_its_t_interval_and_one_seed_gives_nothing() -> None:
    row = winner(table_of({"a": [5.0, 1.0, 3.0]}), "y").iloc[0]
    own = stats.ttest_1samp([5.0, 1.0, 3.0], 0.0).confidence_interval(0.95)
    assert [row["low"], row["high"]] == pytest.approx([own.low, own.high])
    alone = winner(table_of({"a": [5.0], "b": [6.0]}), "y").iloc[0]
    assert np.isnan([alone["estimate"], alone["low"], alone["high"]]).all()
    assert alone["chosen_mean"] == 6.0
    assert "one seed" in alone["note"]
    assert winner(table_of({"a": [np.nan]}), "y").empty


def test_ragged_seeds_are_read_where_they_are() -> None:
    frame = table_of({"a": [5.0, 1.0, 3.0, 3.0], "b": [2.0, 4.0], "c": [np.nan, np.nan, 0.0, 0.0]})
    row = winner(frame, "y").iloc[0]
    # Seed 0: b (4) beats a (7/3): read 2. Seed 1: a (11/3): read 1. Seeds 2 and 3: a and b tie at 3: a, read 3 twice.
    assert row["estimate"] == pytest.approx((2.0 + 1.0 + 3.0 + 3.0) / 4)
    assert row["candidates"] == 3


def test_the_probability_that_another_is_better_is_students_t_for_two() -> None:
    frame = table_of({"a": [3.0, 4.0, 5.5], "b": [2.0, 3.5, 4.0]})
    row = winner(frame, "y", resamples=20_000).iloc[0]
    sd = row["standard_error"] * np.sqrt(3)
    expected = stats.t.sf((np.mean([3.0, 4.0, 5.5]) - np.mean([2.0, 3.5, 4.0])) / (sd * np.sqrt(2 / 3)), 4)
    assert row["probability_not_best"] == pytest.approx(expected, abs=0.015)


def test_the_headline_is_unbiased_and_covers_the_chosen_cell() -> None:
    rng = np.random.default_rng(5)
    sweeps, cells, seeds = 100, 6, 3
    off, luck, covered = [], [], []
    for _ in range(sweeps):
        frame = table_of({str(c): list(rng.normal(size=seeds)) for c in range(cells)})
        row = winner(frame, "y", resamples=200).iloc[0]
        off.append(row["estimate"])
        luck.append(row["chosen_mean"])
        covered.append(row["low"] <= 0.0 <= row["high"])
    assert np.mean(off) == pytest.approx(0.0, abs=4 * np.std(off) / np.sqrt(sweeps))
    assert np.mean(luck) > 0.6  # the largest of six means of three
    assert np.mean(covered) > 0.95 - 3 * np.sqrt(0.95 * 0.05 / sweeps)


def test_fresh_seeds_measure_what_the_others_chose() -> None:
    frame = pd.concat(
        [
            table_of({"a": [5.0, 6.0], "b": [4.0, 4.5]}).assign(phase="factorial"),
            table_of({"a": [3.0, 3.5, 4.0], "b": [7.0, 7.5, 8.5]}).assign(phase="confirm"),
        ],
        ignore_index=True,
    )
    row = winner_on_fresh_seeds(frame, "y", fresh=frame["phase"] == "confirm").iloc[0]
    assert row["config_hash"] == "a"
    assert row["estimate"] == pytest.approx(3.5)
    assert row["optimism"] == pytest.approx(2.0)
    assert row["degrees"] == 4
    assert row["basis"] == module.FRESH
    assert winner_on_fresh_seeds(frame, "y", fresh=frame["phase"] == "search").empty
