"""Curves: the knee of a bound over dimensions, power laws on log-log axes, how many trials stand behind each point."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics.intervals import CONFIDENCE, EVERYTHING, By, Floats, as_list, groups, summarise, t_interval
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


def knee(
    frame: pd.DataFrame,
    value: str,
    by: str = DIMENSION,
    *,
    within: By = (),
    maximise: bool = True,
    resamples: int = 2000,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> pd.DataFrame:
    """D*: the smallest D whose mean is within one standard error of the best mean (Breiman et al. 1984, section 3.4.3).

    The standard error is that of the best D's mean. The interval is a percentile bootstrap that resamples replicates
    within each D; residuals are inflated by sqrt(n/(n-1)), without which three replicates would look a third less
    variable.

    >>> frame = pd.DataFrame({"model.latent_dim": [2, 2, 4, 4, 8, 8]})
    >>> frame["test.elbo"] = [-120.0, -118.0, -99.7, -99.1, -100.0, -98.0]
    >>> knee(frame, "test.elbo")[["knee", "best", "best_mean", "threshold"]]
       knee  best  best_mean  threshold
    0   4.0   8.0      -99.0     -100.0

    Args:
        frame: One row per replicate.
        value: Column, for example `test.elbo`.
        by: The dimension.
        within: Columns that split the frame into separate curves (`kl.estimator`).
        maximise: False for losses and bits per dimension.
        resamples: Bootstrap resamples.
        confidence: Level of the interval.
        seed: Of the bootstrap.

    Returns:
        One row per curve: `within`, `knee`, `low`, `high`, `best` (D of the best mean), `best_mean`, `threshold`,
        `probability` (share of resamples with this very knee), `dimensions`, `n` (replicates), `note` ("" or why there
        is no knee or no interval).
    """
    keys = as_list(within)
    usable = frame[np.isfinite(frame[value].to_numpy(float))]
    rows = []
    for label, group in groups(usable, keys):
        dims = np.sort(group[by].unique())
        if len(dims) == 0:
            continue
        sign = 1.0 if maximise else -1.0
        samples = [sign * group.loc[group[by] == d, value].to_numpy(float) for d in dims]
        rows.append((*label, *_knee(dims, samples, sign, resamples, confidence, seed), len(group)))
    names = ["knee", "low", "high", "best", "best_mean", "threshold", "probability", "dimensions", "note", "n"]
    return pd.DataFrame(rows, columns=[*keys, *names])


def _knee(
    dims: Floats, samples: list[Floats], sign: float, resamples: int, confidence: float, seed: int
) -> tuple[float | str, ...]:
    """The columns of one curve from `knee` to `note`."""
    means = np.array([s.mean() for s in samples])
    errors = np.array([s.std(ddof=1) / np.sqrt(len(s)) if len(s) > 1 else np.nan for s in samples])
    best = int(np.argmax(means))
    threshold = means[best] - errors[best]
    head = (float(dims[best]), sign * means[best], sign * threshold)
    if len(dims) == 1:
        return (np.nan, np.nan, np.nan, *head, np.nan, 1.0, "one dimension only: a curve needs two")
    if np.isnan(threshold):
        note = "one replicate at the best dimension: no standard error"
        return (np.nan, np.nan, np.nan, *head, np.nan, float(len(dims)), note)
    smallest = float(dims[int(np.argmax(means >= threshold))])
    knees = dims[_resampled_knees(samples, resamples, seed)]
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(knees, [tail, 1.0 - tail], method="inverted_cdf")
    single = sum(len(s) == 1 for s in samples)
    note = f"{single} of {len(dims)} dimensions have one replicate: the interval is too narrow" if single else ""
    return (smallest, float(low), float(high), *head, float(np.mean(knees == smallest)), float(len(dims)), note)


def _resampled_knees(samples: list[Floats], resamples: int, seed: int) -> np.ndarray:
    """Index of the knee in each resample."""
    rng = np.random.default_rng(seed)
    means, errors = np.empty((len(samples), resamples)), np.zeros((len(samples), resamples))
    for i, values in enumerate(samples):
        n = len(values)
        inflation = np.sqrt(n / (n - 1)) if n > 1 else 0.0
        drawn = (values - values.mean())[rng.integers(0, n, size=(resamples, n))] * inflation
        means[i] = values.mean() + drawn.mean(axis=1)
        if n > 1:
            errors[i] = drawn.std(axis=1, ddof=1) / np.sqrt(n)
    best = means.argmax(axis=0)
    columns = np.arange(resamples)
    within: np.ndarray = means >= means[best, columns] - errors[best, columns]
    knees: np.ndarray = within.argmax(axis=0)
    return knees


def fit_slope(
    frame: pd.DataFrame,
    x: str = "num_samples",
    y: str = "variance",
    by: By = ("quantity", "sampling"),
    *,
    unit: By = ("trial", "replicate"),
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
        unit: Columns that name an independent line; finer rows must not exist within (unit, x).
        error: Column with the standard error of y (None: equal weights, no bias correction).
        confidence: Level of the interval.

    Returns:
        Columns `by`, `n` (lines), `points` (mean per line), `slope`, `standard_error`, `low`, `high`, `intercept` (mean
        of log y at x = 1), `method`.
    """
    keys, units = as_list(by), as_list(unit)
    lines = _lines(frame, x, y, [*keys, *units], error)
    if lines.empty:
        names = ["n", "points", "slope", "standard_error", "low", "high", "intercept", "method"]
        return pd.DataFrame(columns=[*keys, *names]).astype(dict.fromkeys(names[:-1], "float64"))
    table = summarise(lines, "slope", keys, confidence=confidence).rename(columns={"mean": "slope"})
    carried = ["points", "intercept", "line_error", "degrees"]
    group = lines.assign(**{EVERYTHING: 0}).groupby(keys or [EVERYTHING], dropna=False)
    table[carried] = group[carried].mean().to_numpy()
    alone = (table["n"] == 1).to_numpy()
    low, high = t_interval(table["slope"], table["line_error"], table["degrees"], confidence)
    table["standard_error"] = table["line_error"].where(alone, table["standard_error"])
    table["low"], table["high"] = np.where(alone, low, table["low"]), np.where(alone, high, table["high"])
    table["method"] = np.where(alone, "one weighted regression", "Student t over lines")
    return table[[*keys, "n", "points", "slope", "standard_error", "low", "high", "intercept", "method"]]


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

    The slope in L is exact; those in K are limits for large K, which a small K need not have reached.

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
        fitted = fit_slope(rows, x, "signal_to_noise", keys, confidence=confidence)
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
        `fit_slope`'s columns with `num_importance_samples`, `expected` (NaN for sobol) and `contains_expected`.
    """
    keys = [*as_list(by), "quantity", "sampling", "num_importance_samples"]
    # A pair is two draws: antithetic draws start at L = 2, and what is called so at L = 1 is one independent draw.
    paired = (variance["sampling"] != "antithetic") | (variance["num_samples"] > 1)
    table = fit_slope(variance[paired], by=keys, confidence=confidence)
    expected = table["sampling"].map(VARIANCE_SLOPES).astype("float64")
    inside = (table["low"] <= expected) & (expected <= table["high"])
    return table.assign(expected=expected, contains_expected=inside)


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
