"""What antithetic pairs and scrambled Sobol points gain over independent draws, by latent dimension.

    gains = scheme_gains(variance)
    gains[["model.latent_dim", "quantity", "sampling", "num_samples", "gain", "power_law", "first_slope", "last_slope"]]

The gain is a ratio of variances at one L and needs no law. A power law is named only where the fit holds: where log
variance against log L bends so little that its slope is the same at both ends.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics.draws.streams import STREAM, with_streams
from analysis.statistics.intervals import By, as_list, geometric_means, summarise
from analysis.tables.columns import DIMENSION

BEND = 0.25
"""Most that the slope may change from the smallest to the largest L where the line is called a power law."""
LEAST = {"antithetic": 2}
"""Scheme -> its smallest L: a pair is two draws."""
LINE = ["trial", "replicate", STREAM]


def scheme_gains(variance: pd.DataFrame, by: By = (DIMENSION,)) -> pd.DataFrame:
    """The gain at the largest L, and whether it grows as a power of L.

    The unit is the stream of draws. Each replicate has one for its trial, and a table of an older version one a seed.

    Args:
        variance: Variance study joined with the configuration.
        by: Columns that get a gain each.

    Returns:
        One row per `by`, `quantity`, `num_importance_samples` and `sampling` (but independent draws): `num_samples`
        (the largest L that both have), `n` (streams), `gain` (variance of independent draws over that of the scheme,
        geometric mean) with `low` and `high`; of log variance against log L: `points` (values of L), `slope` (least
        squares over them), `first_slope` and `last_slope` (between the two smallest and the two largest L), `bend`
        (change of the slope from the smallest to the largest L by a parabola) with `bend_low` and `bend_high`; and
        `power_law` (whether that interval lies within ±`BEND`; never with fewer than 3 L or 2 streams).
    """
    keys = [*as_list(by), "quantity", "num_importance_samples"]
    rows = with_streams(variance)
    least = rows["sampling"].astype("object").map(LEAST).astype("float64").fillna(1.0)
    rows = rows[(rows["variance"] > 0) & (rows["num_samples"] >= least)]
    schemes = rows[rows["sampling"] != "iid"]
    names = [*keys, "sampling"]
    ratios = _ratios(rows, schemes, keys)
    if ratios.empty:
        columns = ["num_samples", "n", "gain", "low", "high", "points", "slope", "first_slope", "last_slope"]
        return pd.DataFrame(columns=[*names, *columns, "bend", "bend_low", "bend_high", "power_law"])
    table = geometric_means(ratios, "gain", [*names, "num_samples"], unit=STREAM).rename(columns={"mean": "gain"})
    table = table[[*names, "num_samples", "n", "gain", "low", "high"]]
    shapes = _local_slopes(schemes, names).merge(_bends(schemes, names), on=names, how="left")
    table = table.merge(shapes, on=names, how="left")
    straight = (table["bend_low"] >= -BEND) & (table["bend_high"] <= BEND)
    return table.assign(power_law=straight).sort_values(names, ignore_index=True)


def _ratios(rows: pd.DataFrame, schemes: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Replicate by replicate: the variance of independent draws over that of each scheme, at the largest common L."""
    at = [*dict.fromkeys([*keys, *LINE]), "num_samples"]
    iid = rows.loc[rows["sampling"] == "iid", [*at, "variance"]]
    both = schemes[[*at, "sampling", "variance"]].merge(iid, on=at, suffixes=("", "_iid"))
    largest = both.groupby([*keys, "sampling"], dropna=False)["num_samples"].transform("max")
    both = both[both["num_samples"] == largest]
    return both.assign(gain=both["variance_iid"] / both["variance"])


def _local_slopes(schemes: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Slopes between neighbouring L of the mean log variance: the first and the last."""
    logs = schemes.assign(y=np.log(schemes["variance"]), x=np.log(schemes["num_samples"].astype(float)))
    means = logs.groupby([*names, "x"], dropna=False)["y"].mean().reset_index()
    grouped = means.groupby(names, dropna=False)
    slopes = grouped.apply(lambda line: np.polyfit(line["x"], line["y"], 1)[0] if len(line) > 1 else np.nan)
    means["slope"] = grouped["y"].diff() / grouped["x"].diff()
    ends = means.dropna(subset=["slope"]).groupby(names, dropna=False)["slope"].agg(["first", "last", "size"])
    ends = ends.rename(columns={"first": "first_slope", "last": "last_slope"})
    return ends.assign(points=ends.pop("size") + 1, slope=slopes).reset_index()


def _bends(schemes: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Change of the slope over the measured L, from the parabola through each line, with an interval over streams."""
    columns = list(dict.fromkeys([*names, *LINE]))
    work = schemes[columns].assign(
        y=np.log(schemes["variance"].to_numpy(float)), u=np.log(schemes["num_samples"].to_numpy(float))
    )
    grouped = work.groupby(columns, dropna=False)["u"]
    work["span"], work["points"] = grouped.transform("max") - grouped.transform("min"), grouped.transform("size")
    work["u"] -= grouped.transform("mean")
    work["uu"], work["uuu"] = work["u"] ** 2, work["u"] ** 3
    work = work[work["points"] > 2]
    sums = work.groupby(columns, dropna=False)[["uu", "uuu"]].transform("sum")
    # What of u^2 the constant and u do not explain: its coefficient is the parabola's.
    v = work["uu"] - sums["uu"] / work["points"] - work["u"] * sums["uuu"] / sums["uu"]
    work = work.assign(vy=v * work["y"], vv=v**2)
    lines = work.groupby(columns, dropna=False)[["vy", "vv", "span"]].agg({"vy": "sum", "vv": "sum", "span": "first"})
    frame = lines.assign(bend=2.0 * lines["vy"] / lines["vv"] * lines["span"]).reset_index()
    if frame.empty:
        return frame[names].assign(bend=np.nan, bend_low=np.nan, bend_high=np.nan)
    table = summarise(frame, "bend", names, unit=STREAM)
    return table.rename(columns={"mean": "bend", "low": "bend_low", "high": "bend_high"})[
        [*names, "bend", "bend_low", "bend_high"]
    ]
