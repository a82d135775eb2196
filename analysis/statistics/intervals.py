"""Means of few replicates with Student t-intervals, geometric means, intervals of shares and variances."""

from __future__ import annotations

from collections.abc import Sequence
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

    >>> frame = pd.DataFrame({"model.latent_dim": [2, 2, 8, 8], "test.elbo": [-120.0, -118.0, -101.0, -99.0]})
    >>> summarise(frame, "test.elbo", by="model.latent_dim")[["model.latent_dim", "n", "mean", "low"]].round(1)
       model.latent_dim  n   mean    low
    0                 2  2 -119.0 -131.7
    1                 8  2 -100.0 -112.7

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


def variance_interval(variance: Any, degrees: Any, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
    """Chi-square interval of a variance, elementwise; NaN without a degree of freedom."""
    variance, degrees = np.asarray(variance, dtype=float), np.asarray(degrees, dtype=float)
    squares = variance * degrees
    known, tail = np.where(degrees > 0, degrees, np.nan), (1.0 - confidence) / 2.0
    return squares / stats.chi2.isf(tail, known), squares / stats.chi2.ppf(tail, known)


def share_interval(count: int, total: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson interval of a share; (NaN, NaN) of nothing.

    >>> low, high = share_interval(18, 20)
    >>> f"{low:.2f} to {high:.2f}"
    '0.70 to 0.97'
    """
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
