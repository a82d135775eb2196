"""Curves: power laws on log-log axes, how many trials stand behind each point."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from analysis.statistics.draws.streams import STREAM, with_streams
from analysis.statistics.intervals import CONFIDENCE, EVERYTHING, By, as_list, summarise, t_interval
from analysis.tables.columns import DIMENSION, FAILED, FINISHED, RUNNING, STOPPED

# Expected slopes of log signal-to-noise (Rainforth et al. 2018; Tucker et al. 2018): L averages, K sharpens the bound.
SNR_SLOPES_IN_K = {
    ("encoder", "dreg"): 0.5,
    ("encoder", "pathwise"): -0.5,
    ("decoder", "pathwise"): 0.5,
    ("decoder", "dreg"): 0.5,
}
SNR_SLOPE_IN_L = 0.5
VARIANCE_SLOPES = {"iid": -1.0, "antithetic": -1.0}
LINE = ["trial", "replicate", STREAM]
Exact = Callable[[pd.DataFrame], pd.Series]
"""Which rows of a table of slopes have one that theory makes the same in every trial."""


def fit_slope(
    frame: pd.DataFrame,
    x: str = "num_samples",
    y: str = "variance",
    by: By = ("quantity", "sampling"),
    *,
    unit: By = ("trial", "replicate"),
    independent: By | None = None,
    error: str | None = "standard_error",
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """Slope of log y against log x, with an interval over independent units.

    Within one replicate every L is computed from the same draws, so its points are not independent and a regression's
    own error would be wrong. Each replicate therefore gets its own weighted line (weights from the points' relative
    errors), and the interval is Student t over the slopes of the units. With a single unit only the regression's error
    is left, scaled up where the points scatter more than their errors say; `method` names it.

    >>> frame = pd.DataFrame({"trial": [0, 0, 1, 1], "replicate": 0, "num_samples": [1, 4, 1, 4]})
    >>> frame["variance"] = [8.0, 2.0, 4.0, 1.0]
    >>> fit_slope(frame, by=(), error=None)[["n", "slope"]]
       n  slope
    0  2   -1.0

    log s^2 is biased low by half its squared relative error; that is added back before fitting.

    Args:
        frame: Rows with positive x and y (others are left out).
        x: Column for the abscissa.
        y: Column for the ordinate.
        by: Columns that separate the lines.
        unit: Columns that name a line; finer rows must not exist within (unit, x).
        independent: Columns, of `unit`, that name what is independent; lines that agree in them are averaged first and
            count once (None: each line is independent).
        error: Column with the standard error of y (None: equal weights, no bias correction).
        confidence: Level of the interval.

    Returns:
        Columns `by`, `n` (independent units), `points` (mean per line), `slope`, `standard_error`, `low`, `high`,
        `intercept` (mean of log y at x = 1), `method`.
    """
    keys = as_list(by)
    lines = _lines(frame, x, y, [*keys, *as_list(unit)], error)
    return _over(lines, keys, as_list(independent), "Student t over lines", confidence)


def _over(lines: pd.DataFrame, keys: list[str], unit: list[str], method: str, confidence: float) -> pd.DataFrame:
    """Mean slope of the lines with Student's t over the units (none: over the lines themselves)."""
    if lines.empty:
        names = ["n", "points", "slope", "standard_error", "low", "high", "intercept", "method"]
        return pd.DataFrame(columns=[*keys, *names]).astype(dict.fromkeys(names[:-1], "float64"))
    table = summarise(lines, "slope", keys, unit=unit, confidence=confidence).rename(columns={"mean": "slope"})
    carried = ["points", "intercept", "line_error", "degrees"]
    group = lines.assign(**{EVERYTHING: 0}).groupby(keys or [EVERYTHING], dropna=False)
    table[carried] = group[carried].mean().to_numpy()
    alone = (table["n"] == 1).to_numpy()
    low, high = t_interval(table["slope"], table["line_error"], table["degrees"], confidence)
    table["standard_error"] = table["line_error"].where(alone, table["standard_error"])
    table["low"], table["high"] = np.where(alone, low, table["low"]), np.where(alone, high, table["high"])
    table["method"] = np.where(alone, "one weighted regression", method)
    return table[[*keys, "n", "points", "slope", "standard_error", "low", "high", "intercept", "method"]]


def _over_what_is_independent(lines: pd.DataFrame, keys: list[str], exact: Exact, confidence: float) -> pd.DataFrame:
    """Slopes with the unit that is independent: the stream of draws, or the trial whose own slope it is.

    Where theory makes the slope the same in every trial, lines differ by their draws alone. Where each model has a
    slope of its own, several trials are a sample of models, and a single one is judged by its replicates.
    """
    by_stream = _over(lines, keys, [STREAM], "Student t over streams of draws", confidence)
    if by_stream.empty:
        return by_stream
    by_trial = _over(lines, keys, ["trial"], "Student t over trials", confidence)
    own = ~exact(by_stream) & (by_trial["n"] > 1)
    table: pd.DataFrame = by_stream.where(~own, by_trial).astype(by_stream.dtypes.to_dict())
    return table


def _lines(frame: pd.DataFrame, x: str, y: str, keys: list[str], error: str | None) -> pd.DataFrame:
    """One weighted least-squares line per group: slope, intercept, line_error, degrees, points."""
    values = frame[y].to_numpy(float)
    ok = np.isfinite(values) & (values > 0) & (frame[x].to_numpy(float) > 0)
    relative = np.ones(len(frame))
    if error is not None:
        relative = np.divide(frame[error].to_numpy(float), values, out=np.full(len(frame), np.nan), where=ok)
        ok &= np.isfinite(relative) & (relative > 0)
    work = frame.loc[ok, keys].copy()
    log_x, relative = np.log(frame.loc[ok, x].to_numpy(float)), relative[ok]
    log_y = np.log(values[ok]) + (0.5 * relative**2 if error is not None else 0.0)
    weight = 1.0 / relative**2
    columns = {"w": weight, "wx": weight * log_x, "wy": weight * log_y}
    columns |= {"wxx": weight * log_x**2, "wxy": weight * log_x * log_y, "wyy": weight * log_y**2}
    sums = work.assign(**columns).groupby(keys, dropna=False)[list(columns)].agg("sum")
    sums["points"] = work.groupby(keys, dropna=False).size()
    sums = sums[sums["points"] >= 2]
    spread = sums["wxx"] - sums["wx"] ** 2 / sums["w"]
    spread = spread.where(spread > 1e-12 * sums["wxx"].clip(lower=1e-300))
    covariance = sums["wxy"] - sums["wx"] * sums["wy"] / sums["w"]
    slope = covariance / spread
    left = (sums["wyy"] - sums["wy"] ** 2 / sums["w"] - slope * covariance).clip(lower=0.0)
    degrees = sums["points"] - 2
    scale = (left / degrees.where(degrees > 0)).fillna(1.0)
    scale = scale.clip(lower=1.0) if error is not None else scale
    table = pd.DataFrame({"slope": slope, "intercept": (sums["wy"] - slope * sums["wx"]) / sums["w"]})
    table["line_error"], table["degrees"], table["points"] = np.sqrt(scale / spread), degrees, sums["points"]
    return table.dropna(subset=["slope"]).reset_index()


def gradient_slopes(gradients: pd.DataFrame, *, by: By = (), confidence: float = CONFIDENCE) -> pd.DataFrame:
    """Slopes of log signal-to-noise: against L (objective elbo) and against K (objective iwae), beside the theory.

    The slope in L is exact; those in K are limits for large K, which a small K need not have reached: there the trial
    is the unit.

    Returns:
        `fit_slope`'s columns with `parameters`, `estimator`, `objective`, `against` (`num_samples` or
        `num_importance_samples`), `expected` (NaN where theory names none) and `contains_expected`.
    """
    keys = [*as_list(by), "parameters", "estimator", "objective"]
    tables = []
    for objective, x in (("elbo", "num_samples"), ("iwae", "num_importance_samples")):
        rows = gradients[gradients["objective"] == objective]
        if objective == "iwae":
            rows = rows[rows["num_samples"] == rows["num_samples"].min()]
        lines = _lines(with_streams(rows), x, "signal_to_noise", [*keys, *LINE], "standard_error")
        fitted = _over_what_is_independent(lines, keys, lambda table: table["objective"] == "elbo", confidence)
        tables.append(fitted.assign(against=x))
    filled = [table for table in tables if len(table)]
    table = pd.concat(filled, ignore_index=True) if filled else tables[0]
    in_k = [SNR_SLOPES_IN_K.get(key, np.nan) for key in zip(table["parameters"], table["estimator"])]
    table["expected"] = np.where(table["against"] == "num_samples", SNR_SLOPE_IN_L, np.asarray(in_k, dtype=float))
    inside = (table["low"] <= table["expected"]) & (table["expected"] <= table["high"])
    return table.assign(contains_expected=inside)


def variance_slopes(variance: pd.DataFrame, *, by: By = (), confidence: float = CONFIDENCE) -> pd.DataFrame:
    """Slopes of log Var against log L per quantity, scheme and K, beside -1 for independent draws.

    Returns:
        `fit_slope`'s columns with `num_importance_samples`, `expected` (NaN for sobol) and `contains_expected`. `n`
        counts streams of draws where the theory holds for every trial, and trials for sobol.
    """
    keys = [*as_list(by), "quantity", "sampling", "num_importance_samples"]
    # A pair is two draws: antithetic draws start at L = 2, and what is called so at L = 1 is one independent draw.
    paired = (variance["sampling"] != "antithetic") | (variance["num_samples"] > 1)
    lines = _lines(with_streams(variance[paired]), "num_samples", "variance", [*keys, *LINE], "standard_error")
    table = _over_what_is_independent(
        lines, keys, lambda slopes: slopes["sampling"].isin(list(VARIANCE_SLOPES)), confidence
    )
    expected = table["sampling"].map(VARIANCE_SLOPES).astype("float64")
    inside = (table["low"] <= expected) & (expected <= table["high"])
    return table.assign(expected=expected, contains_expected=inside)


def expected_misses(slopes: pd.DataFrame, confidence: float = CONFIDENCE) -> float:
    """How many intervals of slopes with a theory would miss it by chance alone."""
    judged = slopes["expected"].notna() & slopes["low"].notna()
    return float((1.0 - confidence) * judged.sum())


def per_dimension_counts(trials: pd.DataFrame, replicates: pd.DataFrame, by: str = DIMENSION) -> pd.DataFrame:
    """How much evidence stands behind each point of the curve, phase by phase: an adaptive search visits D unevenly.

    Args:
        trials: All trials, whatever their status.
        replicates: Rows of the replicates table (`trial` is used).
        by: The dimension.

    Returns:
        Columns `by`, `phase`, `trials`, `finished`, `stopped`, `failed`, `running`, `suspect`, `replicates` (of
        finished trials).
    """
    done = trials[trials["status"] == FINISHED]
    rows = done["trial"].map(replicates.groupby("trial").size()).fillna(0).astype("int64")
    flags = {status: trials["status"] == status for status in (FINISHED, STOPPED, FAILED, RUNNING)}
    work = trials[[by, "phase"]].assign(trials=1, **flags, suspect=trials["suspect"] != "", replicates=0)
    work.loc[done.index, "replicates"] = rows
    columns = ["trials", *flags, "suspect", "replicates"]
    return work.astype(dict.fromkeys(columns, "int64")).groupby([by, "phase"], as_index=False)[columns].sum()
