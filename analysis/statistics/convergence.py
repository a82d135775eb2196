"""Whether training ended too early: how fast the validation bound still rose, and the most that more may gain."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics.intervals import CONFIDENCE, t_interval
from analysis.tables.columns import RANK

LAST_SHARE = 0.1
"""Of the epochs: where a best epoch says that training was still paying, and how far ahead a gain is bounded."""
WINDOW = 0.2
"""Share of the epochs whose slope is taken; in half of it the noise from epoch to epoch drowns the slope."""
FEWEST = 4
"""Epochs in the window below which no slope is taken."""
COLUMNS = ["trial", "n", "epochs", "late", "slope", "low", "high", "ahead", "most"]


def was_late(replicates: pd.DataFrame) -> pd.Series:
    """Whether the best epoch of each replicate lies in the last tenth; where most do, training was too short."""
    return replicates["best_epoch"] >= (1.0 - LAST_SHARE) * replicates["epochs"]


def still_rising(
    replicates: pd.DataFrame, history: pd.DataFrame, value: str = RANK, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Slope of the validation bound over the last fifth of training, by trial.

    A training curve flattens, or turns where the model begins to learn its training images by heart: what it rose per
    epoch so far is the most that it will rise. So `most` is an upper limit of the gain from a tenth more epochs; the
    gain itself, and what lies further ahead, cannot be extrapolated. (On the default sweep, continued, the limit held
    in 77 of 78 looks; the same slope over as many epochs again promised 6.7 nats where 0.9 came.)

    Args:
        replicates: One row per replicate, with `best_epoch` and `epochs`.
        history: Its epochs.
        value: Column of the history that the best epoch is chosen by.
        confidence: Level of the interval over replicates.

    Returns:
        One row per trial: `n` (replicates), `epochs`, `late` (replicates that were best in the last tenth), `slope`
        (nats per epoch; NaN from fewer than four epochs), `low`, `high`, `ahead` (epochs: a tenth), `most` (nats; the
        upper limit times `ahead`, never below zero; NaN from one replicate).
    """
    if not {"best_epoch", "epochs"} <= set(replicates.columns):
        return pd.DataFrame(columns=COLUMNS)
    known = replicates.dropna(subset=["best_epoch", "epochs"])
    known = known[known["epochs"] > 0]
    if known.empty:
        return pd.DataFrame(columns=COLUMNS)
    table = known.assign(late=was_late(known)).groupby("trial").agg(epochs=("epochs", "max"), late=("late", "sum"))
    slopes = _slopes(known, history, value).groupby("trial")["slope"].agg(["count", "mean", "sem"])
    table = table.assign(n=known.groupby("trial").size()).join(slopes)
    low, high = t_interval(table["mean"], table["sem"], table["count"] - 1.0, confidence)
    table = table.assign(slope=table["mean"], low=low, high=high, ahead=np.ceil(LAST_SHARE * table["epochs"]))
    table["most"] = (table["high"] * table["ahead"]).clip(lower=0.0)
    return table.reset_index()[COLUMNS]


def _slopes(replicates: pd.DataFrame, history: pd.DataFrame, value: str) -> pd.DataFrame:
    """Least-squares slope of each replicate over its last epochs."""
    if value not in history or history.empty:
        return pd.DataFrame({"trial": pd.Series(dtype="int64"), "slope": pd.Series(dtype=float)})
    rows = history[["trial", "replicate", "epoch", value]].merge(
        replicates[["trial", "replicate", "epochs"]], on=["trial", "replicate"]
    )
    rows = rows[(rows["epoch"] > (1.0 - WINDOW) * rows["epochs"]) & np.isfinite(rows[value])]
    groups = [rows["trial"], rows["replicate"]]
    x = rows["epoch"] - rows["epoch"].groupby(groups).transform("mean")
    sums = pd.DataFrame({"xy": x * rows[value], "xx": x**2, "n": 1.0}).groupby(groups).sum()
    slope = (sums["xy"] / sums["xx"]).where((sums["n"] >= FEWEST) & (sums["xx"] > 0))
    return slope.rename("slope").reset_index()
