"""Which trials: how they ended, which are best, which are not dominated, how the search went, where the time went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from analysis.statistics.few_seeds.pooled import pooled_means
from analysis.statistics.intervals import CONFIDENCE, By, as_list
from analysis.tables.columns import (
    BOUND,
    CONFIRM,
    COUNTING,
    DIMENSION,
    FAILED,
    FINISHED,
    RANK,
    RUNNING,
    STOPPED,
    configuration_columns,
    varying,
)

SUSPECT = "suspect"
"""Outcome of a trial that finished, but whose numbers are in doubt."""
OUTCOMES = (FINISHED, SUSPECT, STOPPED, FAILED, RUNNING)
WINNERS_CURSE = "chosen and measured on the same replicates: biased upwards"
CONFIRMED = "measured on fresh seeds"
NUMBERS = ["n", "mean", "standard_error", "low", "high"]
"""Columns of `summarise` that make a configuration's headline number."""


def outcomes(trials: pd.DataFrame) -> pd.DataFrame:
    """How trials ended, each counted once: `finished`, `suspect` (finished, in doubt), `stopped`, `failed`, `running`.

    >>> trials = pd.DataFrame({"trial": [0, 1, 2], "status": ["finished", "failed", "finished"], "suspect": ""})
    >>> outcomes(trials.assign(reason=["", "TrainingDiverged", ""]))[["outcome", "reason", "n", "trials"]]
        outcome            reason  n trials
    0  finished                    2   0, 2
    1    failed  TrainingDiverged  1      1

    Returns:
        Columns `outcome`, `reason` ("" where there is none), `n`, `share`, `trials` (their numbers, "0, 4, 7"); the
        most frequent reason of each outcome first.
    """
    names = ["outcome", "reason", "n", "share", "trials"]
    if trials.empty:
        return pd.DataFrame(columns=names)
    doubtful = (trials["status"] == FINISHED) & (trials["suspect"] != "")
    work = pd.DataFrame({"trial": trials["trial"], "outcome": trials["status"].mask(doubtful, SUSPECT)})
    work["reason"] = trials["reason"].mask(doubtful, trials["suspect"]).fillna("")
    # Where and by how much each trial fell behind is its own: what they share is that they did.
    work.loc[work["outcome"] == STOPPED, "reason"] = work["reason"].str.partition(":")[0]
    grouped = work.groupby(["outcome", "reason"])["trial"]
    table = grouped.agg(n="size", trials=lambda numbers: ", ".join(map(str, sorted(numbers)))).reset_index()
    order = {name: i for i, name in enumerate(OUTCOMES)}
    table = table.assign(order=table["outcome"].map(order), share=table["n"] / len(trials))
    return table.sort_values(["order", "n", "reason"], ascending=[True, False, True], ignore_index=True)[names]


def time_shares(trials: pd.DataFrame) -> pd.DataFrame:
    """Where the time went: columns `component`, `seconds` (sum over trials), `share`, `n` (trials that report it)."""
    parts = [c for c in trials.columns if c.startswith("seconds.") and not c.endswith((".standard_error", ".total"))]
    table = pd.DataFrame(
        {
            "component": [name.removeprefix("seconds.") for name in parts],
            "seconds": [float(trials[name].sum()) for name in parts],
            "n": [int(trials[name].notna().sum()) for name in parts],
        }
    )
    total = table["seconds"].sum()
    table["share"] = table["seconds"] / total if total > 0 else np.nan
    ordered = table.sort_values("seconds", ascending=False, kind="stable", ignore_index=True)
    return ordered[["component", "seconds", "share", "n"]]


def search_history(trials: pd.DataFrame, value: str = RANK, *, maximise: bool = True) -> pd.DataFrame:
    """The finished trials in order: columns `trial`, `phase`, `value`, `best` (so far), `is_best`."""
    rows = trials[trials["status"] == FINISHED]
    rows = (
        rows[np.isfinite(rows[value].to_numpy(float))] if value in rows.columns else rows.head(0).assign(**{value: 0.0})
    )
    rows = rows.sort_values("trial", ignore_index=True)
    best = rows[value].cummax() if maximise else rows[value].cummin()
    table = rows[["trial", "phase"]].assign(value=rows[value], best=best)
    return table.assign(is_best=(table["best"] != table["best"].shift()).astype(bool))


def incumbent_kept(history: pd.DataFrame) -> tuple[int, int]:
    """Of the trials after the first, how many left the best so far what it was: (kept, trials after the first).

    >>> incumbent_kept(pd.DataFrame({"is_best": [True, False, True, False]}))
    (2, 3)

    Args:
        history: `search_history`'s rows.
    """
    return int((~history["is_best"]).sum()), max(len(history) - 1, 0)


def pareto_front(frame: pd.DataFrame, maximise: Sequence[str] = (), minimise: Sequence[str] = ()) -> pd.DataFrame:
    """Mark the rows that no other row beats: as good in every column and better in one.

    >>> frame = pd.DataFrame({"test.elbo": [-99.0, -98.0, -99.5], "seconds.training": [10.0, 30.0, 20.0]})
    >>> pareto_front(frame, maximise=["test.elbo"], minimise=["seconds.training"])["front"].tolist()
    [True, True, False]

    Args:
        frame: One row per trial.
        maximise: Columns where more is better.
        minimise: Columns where less is better.

    Returns:
        The frame with a column `front` (False where a value is not finite).
    """
    points = np.column_stack(
        [-frame[c].to_numpy(float) for c in maximise] + [frame[c].to_numpy(float) for c in minimise]
    )
    usable = np.flatnonzero(np.isfinite(points).all(axis=1))
    kept: list[int] = []
    # In lexicographic order a point is only ever beaten by an earlier one, and then by one of the front.
    for i in usable[np.lexsort(points[usable].T[::-1])]:
        ahead = points[kept]
        if not ((ahead <= points[i]).all(axis=1) & (ahead < points[i]).any(axis=1)).any():
            kept.append(i)
    front = np.zeros(len(frame), dtype=bool)
    front[kept] = True
    return frame.assign(front=front)


def best_configurations(
    replicates: pd.DataFrame,
    value: str = BOUND,
    *,
    rank_by: str = RANK,
    per: By = (),
    count: int | None = 10,
    maximise: bool = True,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """The best configurations with an honest number for each.

    Configurations are ranked by the mean of `rank_by` over the replicates that chose them (every phase but `confirm`).
    Their headline number is `value` over the fresh seeds of `confirm`; where there was none, it is measured on the very
    replicates that were selected, which is biased upwards (the winner's curse) and says so.

    >>> frame = pd.DataFrame({"config_hash": list("aabbaa"), "trial": [0, 0, 1, 1, 2, 2], "model.latent_dim": 8})
    >>> frame = frame.assign(phase=["search"] * 4 + ["confirm"] * 2, **{"validation.elbo": [5, 5, 4, 4, 1, 1]})
    >>> frame["test.elbo"] = [-98.0, -98.2, -99.0, -99.2, -98.6, -98.8]
    >>> best_configurations(frame)[["rank", "config_hash", "trials", "n", "mean", "confirmed", "optimism"]]
       rank config_hash trials  n  mean  confirmed  optimism
    0     1           a   0, 2  2 -98.7       True       0.6
    1     2           b      1  2 -99.1      False       NaN

    Args:
        replicates: Replicates joined with their configuration.
        value: Column of the headline number.
        rank_by: Column that ranks.
        per: Columns within which to rank (`model.latent_dim`: the best of each D).
        count: Rows kept in each ranking (None: all).
        maximise: Direction of both columns.
        confidence: Level of the interval.

    Returns:
        Columns `per`, `rank`, `config_hash`, `trials`, `n`, `mean`, `standard_error`, `low`, `high` (headline; the
        seed variance is pooled over configurations that differ in D alone, `pooled_means`),
        `confirmed`, `search_n`, `search_mean`, `optimism` (search minus confirmation), `note`, then the configuration.
    """
    keys = as_list(per)
    replicates = replicates[np.isfinite(replicates[[value, rank_by]].to_numpy(float)).all(axis=1)]
    table = _headline_numbers(replicates, value, confidence)
    table["score"] = table["config_hash"].map(_scores(replicates, rank_by)) * (1 if maximise else -1)
    listed = replicates.groupby("config_hash")["trial"].agg(lambda t: ", ".join(map(str, sorted(set(t)))))
    table["trials"] = table["config_hash"].map(listed)
    settings = [c for c in configuration_columns(replicates) if c not in COUNTING]
    table = table.merge(replicates.drop_duplicates("config_hash")[["config_hash", *settings]], on="config_hash")
    table = table.sort_values(
        [*keys, "score", "config_hash"], ascending=[True] * len(keys) + [False, True], ignore_index=True
    )
    table["rank"] = (table.groupby(keys, dropna=False).cumcount() if keys else pd.Series(table.index)) + 1
    table = table if count is None else table[table["rank"] <= count].reset_index(drop=True)
    table["optimism"] = (table["mean_search"] - table["mean"]).where(table["confirmed"])
    table["note"] = np.where(table["confirmed"], CONFIRMED, WINNERS_CURSE)
    table = table.rename(columns={"n_search": "search_n", "mean_search": "search_mean"}).astype({"n": "int64"})
    first = [*keys, "rank", "config_hash", "trials", *NUMBERS, "confirmed"]
    first += ["search_n", "search_mean", "optimism", "note"]
    return table[[*first, *(c for c in settings if c not in keys)]]


def _headline_numbers(replicates: pd.DataFrame, value: str, confidence: float) -> pd.DataFrame:
    """Mean of each configuration on the seeds of `confirm` where it has any, otherwise on those that chose it.

    Returns:
        Columns `config_hash`, `NUMBERS`, the same of the search alone with the suffix `_search`, `confirmed`.
    """
    confirming = replicates["phase"] == CONFIRM
    settings = [name for name in varying(replicates) if name != DIMENSION]
    search, confirm = (
        pooled_means(rows, value, [*settings, "config_hash"], within=settings, confidence=confidence)[
            ["config_hash", *NUMBERS]
        ]
        for rows in (replicates[~confirming], replicates[confirming])
    )
    table = search.merge(confirm, on="config_hash", how="outer", suffixes=("_search", ""))
    table["confirmed"] = table["n"].notna()
    for name in NUMBERS:
        table[name] = table[name].fillna(table[f"{name}_search"])
    return table


def _scores(replicates: pd.DataFrame, rank_by: str) -> pd.Series:
    """What each configuration ranks by: its mean over the trials that chose it.

    A configuration that was only confirmed (its search trial is gone) ranks by its confirmation.
    """
    confirming = replicates["phase"] == CONFIRM
    chosen_by = replicates[~confirming].groupby("config_hash")[rank_by].mean()
    return chosen_by.combine_first(replicates[confirming].groupby("config_hash")[rank_by].mean())
