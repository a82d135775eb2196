"""What several pages need: a table with the latent dimension of its trial, and words that captions share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.statistics.draws.streams import STREAM, sharing
from analysis.statistics.few_seeds.best_dimension import NAMED_FROM
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


def normal_pairs(sweep: Sweep) -> bool:
    """Whether every finished trial has a diagonal Gaussian posterior under a standard normal prior."""
    done = sweep.trials[sweep.trials["status"] == FINISHED]
    pairs = {"model.posterior.name": "gaussian", "model.prior.name": "standard_normal"}
    return all(bool(done[name].eq(kind).all()) for name, kind in pairs.items() if name in done)


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


def gains_by_dimension(gains: pd.DataFrame) -> str:
    """`310 [280, 350] times less at D = 2 and 12 [11, 13] times less at D = 32`: at the least and the largest D.

    Args:
        gains: Rows of `statistics.scheme_gains` by D, of one quantity and scheme.
    """
    rows = gains.dropna(subset=["gain"]).sort_values(DIMENSION)
    ends = rows.iloc[[0, -1]] if len(rows) > 1 else rows
    return " and ".join(f"{_times(row)} times less at D = {row[DIMENSION]:g}" for _, row in ends.iterrows())


def _times(row: pd.Series) -> str:
    """A gain with its interval, to three digits."""
    return interval(row["gain"], row["low"], row["high"], most=3)


def law_by_dimension(gains: pd.DataFrame) -> str:
    """How the gain grows with L at the least and the largest D: a power where the fit holds, else its local slopes."""
    rows = gains.dropna(subset=["first_slope"]).sort_values(DIMENSION)
    ends = rows.iloc[[0, -1]] if len(rows) > 1 else rows
    bent = ends[[_is_bent(row) for _, row in ends.iterrows()]]
    said = [f"{_law(row)} at D = {row[DIMENSION]:g}" for _, row in ends.drop(bent.index).iterrows()]
    if len(bent):
        slopes = [
            f"{figure(row['first_slope'], 3)} to {figure(row['last_slope'], 3)} at D = {row[DIMENSION]:g}"
            for _, row in bent.iterrows()
        ]
        said.append(f"as no power of L: local slopes {' and '.join(slopes)}")
    return " and ".join(said)


def _is_bent(row: pd.Series) -> bool:
    """Whether the line is known well enough to say that it is no power of L."""
    return not row["power_law"] and row["points"] >= 3 and math.isfinite(row["bend_low"])


def _law(row: pd.Series) -> str:
    """`as L to the power −2.0`, or what is known of the slope."""
    if row["power_law"]:
        return f"as L to the power {figure(row['slope'], 3)}"
    return f"with a slope of {figure(row['slope'], 3)}, of which too little is known to call it a law"


def shared_draws(sweep: Sweep) -> str:
    """What shared draws take from agreement over trials in the variance study; "" where each trial has its own.

    Tables of older versions name no streams: there, trials of one seed share their draws.
    """
    replicates = with_dimension(sweep, "replicates")
    studied = replicates.loc[replicates["variance.k1_ratio"].notna(), ["trial", "replicate"]]
    rows = sweep.variance.reindex(columns=[c for c in ("trial", "replicate", STREAM) if c in sweep.variance])
    named = studied.merge(rows.drop_duplicates(["trial", "replicate"]), on=["trial", "replicate"], how="left")
    trials, streams, shared = sharing(named)
    if not shared:
        return ""
    checks = f": {count(streams, 'check')}, not {trials}" if streams < trials else ", so they agree or miss together"
    return f"; trials of one seed share their draws{checks}"


def counted(replicates: pd.DataFrame) -> str:
    """`n = 12 trials, 36 replicates`, for captions; one row a replicate."""
    return f"n = {count(replicates['trial'].nunique(), 'trial')}, {count(len(replicates), 'replicate')}"


def sufficient(row: pd.Series) -> str:
    """`the smallest D within 0.4 nats of the best is D* = 8 ...`, of a row of `statistics.sufficient_dimension`."""
    tolerance = f"{figure(float(row['tolerance']), 2)} nats"
    span = f"95 % interval {row['low']:g} to {row['high']:g}"
    if row["low"] == row["high"]:
        span = "no other in the 95 % interval"
    if row["seeds"] < NAMED_FROM:
        span = f"{row['low']:g} to {row['high']:g}" if row["low"] < row["high"] else f"{row['low']:g}"
        few = count(int(row["seeds"]), "seed")
        return f"{few} cannot say which is D*, the smallest within {tolerance} of the best (95 % interval {span})"
    said = f"the smallest D within {tolerance} of the best is D* = {row['sufficient']:g}"
    return f"{said} with probability {row['probability']:.2f} ({span})"
