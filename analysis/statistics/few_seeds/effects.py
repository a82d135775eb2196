"""Whether a factor matters: one effect over all dimensions first, seed by seed; then each dimension by itself.

    table = effects(replicates, "test.elbo", "kl.estimator")
    table[["scope", "first", "second", "difference", "low", "high", "p_holm", "probability", "verdict"]]

Three seeds at one dimension rarely tell two levels apart. The mean difference over all dimensions of one seed is a much
better measured number, and three of those often do. It is tested first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from analysis.statistics.comparisons import LEVEL, holm, paired_differences, student_p_value
from analysis.statistics.few_seeds.pooled import pooled_means
from analysis.statistics.intervals import CONFIDENCE, By, Floats, as_list, t_interval
from analysis.tables.columns import DIMENSION, FACTORIAL, varying

OVERALL = "all"
"""`scope` of the effect over all dimensions; the other rows have their own dimension."""
FIRST, SECOND, EQUIVALENT, UNKNOWN = "first better", "second better", "no difference that matters", "cannot tell yet"
"""Column `verdict`."""
POWER = 0.8
"""Probability of finding what is worth finding."""
MOST_RATIO = 50.0
"""Differences beyond so many standard deviations need two seeds, and the noncentral t is not evaluated there."""
MOST_SEEDS = 1000
"""A difference that more would not find is out of reach."""
COLUMNS = ["factor", "scope", DIMENSION, "first", "second", "n", "pairs", "first_mean", "second_mean", "difference"]
COLUMNS += ["sd", "standard_error", "degrees", "low", "high", "p_value", "p_holm", "probability", "margin"]
COLUMNS += ["p_equivalent", "seeds_needed", "verdict"]


def effects(
    frame: pd.DataFrame,
    value: str,
    factor: str,
    *,
    by: By = (),
    margin: float | None = None,
    maximise: bool = True,
    level: float = LEVEL,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """Differences between the levels of a factor on the same seeds, all else equal: over all D, then at each D.

    Over all D the unit is the seed: its differences are averaged first, so that whatever a seed does to all dimensions
    counts once (n - 1 degrees of freedom). Three seeds that happen to agree would look far too sure: where the spread
    pooled over the dimensions gives the wider interval, that one is taken. At each D the variance of the differences is
    pooled over the dimensions.
    Each of the two families has Holm's correction (Holm 1979) over its own rows. Two one-sided tests (Schuirmann 1987)
    judge whether a difference is smaller than the margin; `seeds_needed` is the number with which a difference as large
    as the margin would be found with a probability of 0.8 (noncentral t, with the spread of the differences as seen).

    Args:
        frame: Replicates joined with their configuration; pairs agree in all that varies but the factor.
        value: Column to compare.
        factor: Configuration column; its first level (or `closed_form`) is compared with each other level.
        by: Columns that separate whole comparisons, each with its own corrections.
        margin: The largest difference that does not matter, in the unit of `value` (None: one seed standard deviation,
            pooled over the compared cells).
        maximise: False for losses and bits per dimension.
        level: Of all tests.
        confidence: Level of each single interval.

    Returns:
        Columns `by`, `factor`, `scope` ("all" or "one"), `model.latent_dim` (NaN over all), `first`, `second`, `n`
        (seeds), `pairs`, `first_mean`, `second_mean`, `difference` (first minus second), `sd` (of the differences),
        `standard_error`, `degrees`, `low`, `high`, `p_value`, `p_holm`, `probability` (that the first is better),
        `margin`, `p_equivalent`, `seeds_needed` (NaN from fewer than three seeds), `verdict`. Empty without pairs.
    """
    keys = as_list(by)
    overall = paired_differences(frame, value, factor, by=keys)
    each = paired_differences(frame, value, factor, by=[*keys, DIMENSION])
    overall, each = overall[overall["n"] > 0], each[each["n"] > 0]
    if overall.empty:
        return pd.DataFrame(columns=[*keys, *COLUMNS])
    each = _with_pooled_spread(each, keys).assign(scope="one")
    overall = _no_surer_than(each, _with_own_spread(overall), keys).assign(scope=OVERALL, **{DIMENSION: np.nan})
    if each[DIMENSION].nunique() < 2:  # the overall effect is that of the only dimension
        overall, each = overall.assign(**{DIMENSION: each[DIMENSION].iloc[0]}), each.head(0)
    table = pd.concat([part for part in (overall, each) if len(part)], ignore_index=True)
    table["margin"] = seed_deviation(frame, value, factor) if margin is None else margin
    table["p_value"] = student_p_value(table["difference"], table["standard_error"], table["degrees"])
    families = table.groupby([*keys, "scope"], dropna=False)["p_value"]
    table["p_holm"] = families.transform(lambda p_values: pd.Series(holm(p_values.to_numpy(float)), p_values.index))
    low, high = t_interval(table["difference"], table["standard_error"], table["degrees"], confidence)
    table = table.assign(low=low, high=high)
    sign = 1.0 if maximise else -1.0
    table["probability"] = _t_below(sign * table["difference"], table)
    one_sided = [_t_below(side * table["difference"] - table["margin"], table) for side in (-1.0, 1.0)]
    table["p_equivalent"] = np.maximum(*one_sided)
    table["seeds_needed"] = seeds_needed(table["sd"], table["degrees"], table["margin"])
    better = np.where(sign * table["difference"] > 0, FIRST, SECOND)
    same = np.where(table["p_equivalent"] < level, EQUIVALENT, UNKNOWN)
    table["verdict"] = np.where(table["p_holm"] < level, better, same)
    return table.sort_values([*keys, "scope", "second", DIMENSION], kind="stable", ignore_index=True)[[*keys, *COLUMNS]]


def _with_own_spread(table: pd.DataFrame) -> pd.DataFrame:
    """`sd` and `degrees` of each row's own differences."""
    return table.assign(sd=table["standard_error"] * np.sqrt(table["n"]), degrees=(table["n"] - 1).astype(float))


def _with_pooled_spread(table: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """`sd`, `standard_error` and `degrees` from the differences of all dimensions; none for a single pair."""
    own = (table["n"] - 1).astype(float)
    squares = (own * table["n"] * table["standard_error"] ** 2).fillna(0.0)
    group = [table[name] for name in (*keys, "second")]
    degrees = own.groupby(group).transform("sum")
    variance = squares.groupby(group).transform("sum") / degrees.where(degrees > 0)
    several = table["n"] > 1
    table = table.assign(sd=variance.where(several) ** 0.5, degrees=degrees.where(several))
    return table.assign(standard_error=table["sd"] / np.sqrt(table["n"]))


def _no_surer_than(each: pd.DataFrame, overall: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """The overall rows, with the error of a mean over independent dimensions where its interval is the wider one."""
    group = [*keys, "second"]
    known = each[each["standard_error"].notna()].assign(square=lambda rows: rows["standard_error"] ** 2)
    sums = known.groupby(group)["square"].agg(["sum", "count"]).join(known.groupby(group)["degrees"].first())
    pooled = overall[group].join(sums, on=group)
    error = np.sqrt(pooled["sum"]) / pooled["count"]
    half = error * stats.t.ppf(0.975, pooled["degrees"])
    wider = half > overall["standard_error"] * stats.t.ppf(0.975, overall["degrees"].where(overall["degrees"] > 0))
    return overall.assign(
        standard_error=overall["standard_error"].mask(wider, error),
        degrees=overall["degrees"].mask(wider, pooled["degrees"]),
        sd=overall["sd"].mask(wider, error * np.sqrt(overall["n"])),
    )


def _t_below(value: pd.Series, table: pd.DataFrame) -> Floats:
    """P(t <= value / standard error) with each row's degrees of freedom; NaN where it has no standard error."""
    error = table["standard_error"].to_numpy(float)
    exact = np.sign(value.to_numpy(float)) * np.inf
    ratio = np.divide(value.to_numpy(float), error, out=np.where(value == 0, 0.0, exact), where=error > 0)
    return np.where(np.isfinite(error), stats.t.cdf(ratio, table["degrees"].fillna(1.0)), np.nan)


def seed_deviation(frame: pd.DataFrame, value: str, factor: str) -> float:
    """One seed standard deviation of `value`, pooled over all configurations that were compared."""
    cells = list(dict.fromkeys([factor, DIMENSION, *varying(frame)]))
    means = pooled_means(frame, value, cells)
    return float(means["pooled_sd"].max()) if means["pooled_sd"].notna().any() else np.nan


def seeds_needed(sd: Any, degrees: Any, difference: Any, *, level: float = LEVEL, power: float = POWER) -> Floats:
    """Fewest seeds with which a paired t-test finds a true `difference` with probability `power`, elementwise.

    Args:
        sd: Standard deviation of the paired differences, as estimated.
        degrees: Degrees of freedom of that estimate: with fewer than two it says too little, and the answer is NaN.
        difference: To be found, in the unit of `sd`.
        level: Of the two-sided test.
        power: Probability of finding it.

    Returns:
        The numbers of seeds, at least 2; infinite above 1,000; NaN where it cannot be known.
    """
    sd, degrees, difference = np.broadcast_arrays(*(np.asarray(x, dtype=float) for x in (sd, degrees, difference)))
    known = np.isfinite(sd) & (degrees >= 2) & (difference > 0)
    ratio = np.divide(difference, sd, out=np.full(sd.shape, np.inf), where=known & (sd > 0))
    ratio = np.clip(ratio, 1e-9, MOST_RATIO)

    def enough(n: Floats) -> npt.NDArray[np.bool_]:
        critical = stats.t.ppf(1.0 - level / 2, n - 1)
        return np.asarray(stats.nct.sf(critical, n - 1, ratio * np.sqrt(n)) >= power)

    low, high = np.ones(sd.shape), np.full(sd.shape, float(MOST_SEEDS))  # low is too few, high enough where any is
    reachable = enough(high)
    while np.any(high - low > 1):
        middle = np.floor((low + high) / 2)
        middle = np.maximum(middle, 2.0)
        ok = enough(middle)
        high, low = np.where(ok & (high - low > 1), middle, high), np.where(~ok & (high - low > 1), middle, low)
    return np.where(known, np.where(reachable, high, np.inf), np.nan)


def declared_factors(trials: pd.DataFrame, phase: str = FACTORIAL) -> list[str]:
    """Settings that the design crosses, other than the dimension, whatever became of their trials.

    A setting that some trials lack altogether (a layer size of linear networks) is no factor by that alone.
    """
    designed = trials[trials["phase"] == phase]
    return [name for name in varying(designed) if name != DIMENSION and designed[name].nunique() > 1]
