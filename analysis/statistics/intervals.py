"""Intervals: means of few replicates (Student t), variances (kurtosis-aware), shares, anything else (BCa bootstrap)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

Floats = npt.NDArray[np.float64]
By = str | Sequence[str]

CONFIDENCE = 0.95
VALUE, MISSING, EVERYTHING = "_value", "_missing", "_all"  # columns of intermediate frames


def summarise(
    frame: pd.DataFrame, value: str, by: By = (), *, unit: By | None = None, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """Mean of `value` per group with its Student t-interval.

    Args:
        frame: One row per measurement; rows whose `value` is not finite are left out and counted in `missing`.
        value: Column to average.
        by: Columns that define the groups; none: one group.
        unit: Columns that name the independent unit (`"trial"` where a group mixes several configurations). Rows of one
            unit are averaged first and count once. None: each row is independent (replicates of one configuration).
        confidence: Level of the interval.

    Returns:
        Columns `by`, `n` (independent units), `missing`, `mean`, `standard_error`, `low`, `high`, sorted by `by`.
        With n = 1 there is no spread to judge by: standard error and interval are NaN.
    """
    keys, units = as_list(by), as_list(unit)
    values = frame[value].to_numpy(float)
    finite = np.isfinite(values)
    work = frame[list(dict.fromkeys([*keys, *units]))].assign(
        **{VALUE: np.where(finite, values, np.nan), MISSING: ~finite}
    )
    if units:
        grouped = work.groupby(list(dict.fromkeys([*keys, *units])), dropna=False)
        work = pd.DataFrame({VALUE: grouped[VALUE].mean(), MISSING: grouped[MISSING].sum()}).reset_index()
    table = _moments(work, keys)
    low, high = t_interval(table["mean"], table["standard_error"], table["n"] - 1, confidence)
    return table.assign(low=low, high=high)[[*keys, "n", "missing", "mean", "standard_error", "low", "high"]]


def _moments(work: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Columns `keys`, `n`, `mean`, `standard_error` (NaN for n = 1), `missing`; one row in all without keys."""
    grouped = (work if keys else work.assign(**{EVERYTHING: 0})).groupby(keys or [EVERYTHING], dropna=False)
    # One groupby, four reductions: half the time of `agg` with four names.
    values, missing = grouped[VALUE], grouped[MISSING].sum()
    table = pd.DataFrame(
        {"n": values.count(), "mean": values.mean(), "standard_error": values.sem(), "missing": missing}
    )
    if keys:
        table = table.reset_index()
    else:
        table = table.reindex([0]).reset_index(drop=True)
        table[["n", "missing"]] = table[["n", "missing"]].fillna(0)
    return table.astype({"n": "int64", "missing": "int64"})


def t_interval(mean: Any, standard_error: Any, degrees: Any, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Student t-interval, elementwise; NaN where there are no degrees of freedom."""
    mean, error = np.asarray(mean, dtype=float), np.asarray(standard_error, dtype=float)
    degrees = np.asarray(degrees, dtype=float)
    half = stats.t.ppf(0.5 + confidence / 2, np.where(degrees >= 1, degrees, np.nan)) * error
    return mean - half, mean + half


def bootstrap(
    frame: pd.DataFrame,
    value: str,
    by: By = (),
    *,
    statistic: Callable[..., Any] = np.median,
    resamples: int = 2000,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> pd.DataFrame:
    """A statistic per group with its BCa bootstrap interval (Efron 1987), for values that are no means of few
    replicates.

    Args:
        frame: One row per independent measurement; rows that are not finite are left out.
        value: Column.
        by: Columns that define the groups.
        statistic: `f(values, axis)`, for example `np.median`.
        resamples: Bootstrap resamples.
        confidence: Level of the interval.
        seed: Each group starts from this seed: the same frame, the same interval.

    Returns:
        Columns `by`, `n`, `estimate`, `low`, `high`; with n < 2 the interval is NaN, with equal values it has no width.
    """
    keys = as_list(by)
    usable = frame[np.isfinite(frame[value].to_numpy(float))]
    rows = []
    for label, group in groups(usable, keys):
        values = group[value].to_numpy(float)
        if len(values) == 0:
            continue
        low, high = _bca(values, statistic, resamples, confidence, seed)
        rows.append((*label, len(values), float(statistic(values, axis=0)), low, high))
    return pd.DataFrame(rows, columns=[*keys, "n", "estimate", "low", "high"])


def _bca(
    values: Floats, statistic: Callable[..., Any], resamples: int, confidence: float, seed: int
) -> tuple[float, float]:
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0.0:
        return float(values[0]), float(values[0])
    result = stats.bootstrap(
        (values,),
        statistic,
        n_resamples=resamples,
        confidence_level=confidence,
        method="BCa" if _jackknife_varies(values, statistic) else "percentile",
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _jackknife_varies(values: Floats, statistic: Callable[..., Any]) -> bool:
    """BCa's acceleration divides by the spread of the leave-one-out values, which can be 0 (a median among ties)."""
    left_out = [float(statistic(np.delete(values, i), axis=0)) for i in range(len(values))]
    return bool(np.ptp(left_out) > 0.0)


def variance_interval(
    variance: Any, n: Any, excess_kurtosis: Any, confidence: float = CONFIDENCE
) -> tuple[Floats, Floats]:
    """Interval of a variance that does not assume a normal population, elementwise.

    Var(s^2) = sigma^4 (2/(n-1) + kappa/n), so log s^2 has the standard error sqrt(2/(n-1) + kappa/n) (delta method);
    the interval is symmetric on the log scale. The chi-square interval is the case kappa = 0 and covers too rarely for
    k1.

    Args:
        variance: Sample variances s^2 (denominator n - 1).
        n: Independent draws behind each.
        excess_kurtosis: Of the population; 0 for a normal.
        confidence: Level of the interval.

    Returns:
        (low, high); NaN where n < 2.
    """
    variance, n = np.asarray(variance, dtype=float), np.asarray(n, dtype=float)
    n = np.where(n >= 2, n, np.nan)
    error = np.sqrt(np.maximum(2.0 / (n - 1.0) + np.asarray(excess_kurtosis, dtype=float) / n, 0.0))
    half = stats.norm.ppf(0.5 + confidence / 2) * error
    return variance * np.exp(-half), variance * np.exp(half)


def share_interval(count: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson interval of a share; (NaN, NaN) of nothing."""
    if total == 0:
        return np.nan, np.nan
    interval = stats.binomtest(count, total).proportion_ci(confidence, method="wilson")
    return float(interval.low), float(interval.high)


# --- groups ---------------------------------------------------------------------------------------------------------


def as_list(by: By | None) -> list[str]:
    """Column names as a list: `"a"` -> `["a"]`."""
    return [by] if isinstance(by, str) else list(by or ())


def groups(frame: pd.DataFrame, keys: list[str]) -> list[tuple[tuple[Any, ...], pd.DataFrame]]:
    """(label, rows) per group, sorted by label; one group of everything without keys."""
    if not keys:
        return [((), frame)]
    return list(frame.groupby(keys, dropna=False))


def geometric_means(frame: pd.DataFrame, value: str, by: list[str], *, unit: str | None = None) -> pd.DataFrame:
    """`summarise` on the log scale and back: for variances, which are positive and compared by their ratios."""
    positive = frame[frame[value] > 0]
    table = summarise(positive.assign(**{value: np.log(positive[value])}), value, by, unit=unit)
    return table.assign(**{name: np.exp(table[name]) for name in ("mean", "low", "high")})
