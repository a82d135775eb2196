"""What several pages need: a table with the latent dimension of its trial, and words that captions share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION, FINISHED
from analysis.wording import count, figure, interval


def with_dimension(sweep: Sweep, table: str) -> pd.DataFrame:
    """Rows of finished trials with their D, and nothing else: the variance table has hundreds of thousands of rows."""
    frame: pd.DataFrame = getattr(sweep, table)
    finished = sweep.trials.loc[sweep.trials["status"] == FINISHED, ["trial", DIMENSION]]
    return frame.merge(finished, on="trial", how="inner", validate="many_to_one")


def floor_without_z(sweep: Sweep) -> float:
    """The bound of a histogram of each pixel on the test split; NaN where the sweep did not write it."""
    rows = sweep.references
    rows = rows[(rows["reference"] == "histogram_floor") & (rows["split"] == "test")]
    return float(rows["nats"].iloc[0]) if len(rows) else math.nan


def spread(dimensions: Iterable[float]) -> bool:
    """Whether latent dimensions lie so far apart that a logarithmic axis shows them better."""
    values = list(dimensions)
    return len(values) > 1 and max(values) >= 6 * min(values)


def left_out(dimensions: Iterable[float], most: int) -> str:
    """`8 of 11 latent dimensions are drawn, evenly spread. `, for captions; "" where a figure holds them all."""
    number = len(set(dimensions))
    return f"{most} of {count(number, 'latent dimension')} are drawn, evenly spread. " if number > most else ""


def slope_text(row: Mapping[str, Any] | pd.Series) -> str:
    """`−1.00 [−1.02, −0.98]`, of a row of `statistics.fit_slope`."""
    return interval(float(row["slope"]), float(row["low"]), float(row["high"]), most=3)


def slopes_by_dimension(slopes: pd.DataFrame) -> str:
    """`−2.13 at D = 2 and −1.34 at D = 32`: the power law's slope at the least and the largest D.

    Args:
        slopes: Rows of `statistics.variance_slopes` by D, of one quantity and scheme.
    """
    rows = slopes.dropna(subset=["slope"]).sort_values(DIMENSION)
    ends = rows.iloc[[0, -1]] if len(rows) > 1 else rows
    return " and ".join(
        f"{figure(slope, 3)} at D = {dim:g}" for slope, dim in ends[["slope", DIMENSION]].itertuples(index=False)
    )


def shared_draws(replicates: pd.DataFrame) -> str:
    """`; trials of one seed share their draws: 3 checks, not 12`, for the variance study; "" where none share any.

    Args:
        replicates: Rows of the replicates table with `seed`.
    """
    studied = replicates[replicates["variance.k1_ratio"].notna()]
    trials, seeds = studied["trial"].nunique(), studied["seed"].nunique()
    return f"; trials of one seed share their draws: {count(seeds, 'check')}, not {trials}" if seeds < trials else ""


def counted(replicates: pd.DataFrame) -> str:
    """`n = 12 trials, 36 replicates`, for captions; one row a replicate."""
    return f"n = {count(replicates['trial'].nunique(), 'trial')}, {count(len(replicates), 'replicate')}"


def sufficient(row: pd.Series) -> str:
    """`the smallest D within 0.4 nats of the best is D* = 8 ...`, of a row of `statistics.sufficient_dimension`."""
    tolerance = f"{figure(float(row['tolerance']), 2)} nats"
    span = f"95 % interval {row['low']:g} to {row['high']:g}"
    if row["low"] == row["high"]:
        span = "no other in the 95 % interval"
    said = f"the smallest D within {tolerance} of the best is D* = {row['sufficient']:g}"
    return f"{said} with probability {row['probability']:.2f} ({span})"
