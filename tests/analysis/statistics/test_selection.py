"""How trials ended, which are best, and how honest the best one's number is."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from analysis import statistics, tables


def test_outcomes_count_every_trial_once(sweep: tables.Sweep) -> None:
    table = statistics.outcomes(sweep.trials)
    assert table["n"].sum() == len(sweep.trials)
    assert table["share"].sum() == pytest.approx(1.0)
    assert table.groupby("outcome")["n"].sum().to_dict() == {
        "finished": len(sweep.trials) - 4,
        "suspect": 1,
        "stopped": 2,
        "failed": 1,
    }
    assert table.loc[table["outcome"] == "failed", "reason"].item().startswith("TrainingDiverged")
    assert table.loc[table["outcome"] == "suspect", "trials"].item() == "0"


def test_time_shares_sum_to_one_and_leave_out_totals() -> None:
    trials = pd.DataFrame(
        {"seconds.training": [3.0, 5.0], "seconds.tracking": [2.0, np.nan], "seconds.total": [9.0, 9.0]}
    )
    table = statistics.time_shares(trials).set_index("component")
    assert table["seconds"].to_dict() == {"training": 8.0, "tracking": 2.0}
    assert table["share"].tolist() == [0.8, 0.2]
    assert table["n"].tolist() == [2, 1]


def test_search_history_is_a_running_best_of_finished_trials(sweep: tables.Sweep) -> None:
    table = statistics.search_history(sweep.trials)
    finished = sweep.trials[sweep.trials["status"] == "finished"]
    assert table["trial"].tolist() == finished["trial"].tolist()
    assert table["best"].tolist() == np.maximum.accumulate(finished["validation.elbo"]).tolist()
    assert table["is_best"].tolist() == [
        value == best and value > before
        for value, best, before in zip(table["value"], table["best"], [-np.inf, *table["best"].iloc[:-1]])
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_pareto_front_is_what_nobody_beats(seed: int) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {"bound": rng.integers(0, 8, 60).astype(float), "seconds": rng.integers(0, 8, 60).astype(float)}
    )
    frame.loc[0, "bound"] = np.nan
    front = statistics.pareto_front(frame, maximise=["bound"], minimise=["seconds"])["front"]
    for i, row in frame.iterrows():
        beaten = (
            (frame["bound"] >= row["bound"])
            & (frame["seconds"] <= row["seconds"])
            & ((frame["bound"] > row["bound"]) | (frame["seconds"] < row["seconds"]))
        ).any()
        assert front[i] == (not beaten and not np.isnan(row["bound"]))


def test_the_headline_number_comes_from_fresh_seeds(replicates: pd.DataFrame) -> None:
    table = statistics.best_configurations(replicates, count=None)
    confirmed = table[table["confirmed"]]
    assert len(confirmed) == 2
    for row in confirmed.to_dict("records"):
        own = replicates[(replicates["config_hash"] == row["config_hash"]) & (replicates["phase"] == "confirm")]
        assert row["mean"] == pytest.approx(own["test.elbo"].mean())
        assert row["n"] == len(own) == 5
        assert row["optimism"] == pytest.approx(row["search_mean"] - row["mean"])
    rest = table[~table["confirmed"]]
    assert rest["note"].str.contains("biased upwards").all()
    assert rest["optimism"].isna().all()
    searched = replicates[replicates["phase"] != "confirm"].groupby("config_hash")["validation.elbo"].mean()
    assert table["config_hash"].tolist() == searched.sort_values(ascending=False).index.tolist()


def test_the_winner_of_a_search_is_biased_and_its_confirmation_is_not() -> None:
    """Forty equal configurations: the search's best looks better than it is; fresh seeds tell the truth."""
    rng, optimism, headline = np.random.default_rng(13), [], []
    for _ in range(25):
        search = pd.DataFrame({"config_hash": np.repeat([f"{i:02d}" for i in range(40)], 3), "phase": "search"})
        confirm = pd.DataFrame({"config_hash": np.repeat([f"{i:02d}" for i in range(40)], 3), "phase": "confirm"})
        frame = pd.concat([search, confirm], ignore_index=True)
        frame["trial"], frame["test.elbo"] = 0, rng.normal(size=len(frame))
        frame["validation.elbo"] = frame["test.elbo"]
        best = statistics.best_configurations(frame, count=1).iloc[0]
        optimism.append(best["search_mean"])
        headline.append(best["mean"])
    assert np.mean(optimism) > 0.8
    assert abs(np.mean(headline)) < 4 * stats.sem(headline)


def test_the_best_of_each_dimension(replicates: pd.DataFrame) -> None:
    table = statistics.best_configurations(replicates, per="model.latent_dim", count=1)
    assert table["model.latent_dim"].tolist() == [2, 4, 8, 16]
    assert table["rank"].tolist() == [1, 1, 1, 1]
