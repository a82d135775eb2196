"""The calibration as evidence: one seed beside a limit, and many seeds tested jointly.

Over seeds, z-scores of one row are independent standard normal numbers where the estimator is right; rows of one seed
are not independent of each other, since they share draws. So a row is judged by its mean over the seeds, and the table
by statistics whose distribution is simulated with the rows' own correlation.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics.intervals import Floats
from analysis.tables.schema import calibration_limit, calibration_ulps

BY_ERROR, BY_SIDE, BY_ULPS = "standard error", "one side", "ulp"
"""Column `compared`; tables of older versions have none, and compare everything by its z-score."""
LEVEL = 0.05
"""Chance that a right table has any row whose mean is called off."""
SIMULATIONS = 400


def compared(calibration: pd.DataFrame) -> pd.Series:
    """How each row is compared with its exact value."""
    if "compared" in calibration:
        return calibration["compared"].fillna(BY_ERROR)
    return pd.Series(BY_ERROR, index=calibration.index, dtype="str")


def is_off(calibration: pd.DataFrame) -> pd.Series:
    """Which rows of one seed are off: beyond the limit of z, or, where deterministic, beyond that of ulp."""
    off = calibration["z_score"].abs() > calibration_limit()
    if "ulps" in calibration:
        off |= (compared(calibration) == BY_ULPS) & ~(calibration["ulps"].astype(float).abs() <= calibration_ulps())
    return off


def calibration_summary(calibration: pd.DataFrame) -> pd.DataFrame:
    """How far the estimators are from their exact values, in one row.

    Returns:
        Columns `n` (checks), `deterministic` (of them, compared in ulp), `beyond_2` (|z| above 2), `expected_beyond_2`
        (by chance alone, among the rows that have two sides), `beyond_limit` (off), `largest` |z|, and the `estimator`
        that has it.
    """
    z, how = calibration["z_score"].abs(), compared(calibration)
    scored = calibration[np.isfinite(z)]
    deterministic = int((how == BY_ULPS).sum())
    worst = "" if scored.empty else str(scored.loc[z[scored.index].idxmax(), "estimator"])
    row = {
        "n": len(scored) + deterministic,
        "deterministic": deterministic,
        "beyond_2": int((z > 2.0).sum()),
        "expected_beyond_2": 0.0455 * int((how[scored.index] == BY_ERROR).sum()),
        "beyond_limit": int(is_off(calibration).sum()),
        "largest": float(z[scored.index].max()) if len(scored) else np.nan,
        "estimator": worst,
    }
    return pd.DataFrame([row])


def calibration_rows(seeds: pd.DataFrame) -> pd.DataFrame:
    """Each row over all seeds, the farthest first.

    Args:
        seeds: The table `calibration_seeds`.

    Returns:
        Columns `estimator`, `quantity`, `compared`, `n` (seeds), `mean` z, `score` (mean times the square root of n,
        standard normal where the estimator is right), `p` (two-sided), `limit` (Bonferroni's, over the rows), `ulps`
        (the largest, where deterministic) and `off`. One-sided rows have no score: their z is 0 on the right side, and
        they are off where it is beyond the limit of one seed.
    """
    keys = ["estimator", "quantity", "compared"]
    work = seeds[keys].assign(z=seeds["z_score"].astype(float), ulps=seeds["ulps"].astype(float).abs())
    grouped = work.assign(largest=work["z"].abs()).groupby(keys, sort=False)
    table = grouped.agg(n=("compared", "size"), mean=("z", "mean"), largest=("largest", "max"), ulps=("ulps", "max"))
    table = table.reset_index()
    random = table["compared"] == BY_ERROR
    table["score"] = (table["mean"] * np.sqrt(table["n"])).where(random)
    table["p"] = 2.0 * stats.norm.sf(table["score"].abs())
    table["limit"] = limit_of_means(int(random.sum()))
    broken = grouped["z"].count().to_numpy() < table["n"].to_numpy()  # a z that is no number
    off = (table["score"].abs() > table["limit"]) | (broken & (table["compared"] != BY_ULPS))
    off |= (table["compared"] == BY_SIDE) & (table["largest"] > calibration_limit())
    table["off"] = off | ((table["compared"] == BY_ULPS) & ~(table["ulps"] <= calibration_ulps()))
    far = table["score"].abs().fillna(-1.0).where(~table["off"], np.inf)
    order = far.sort_values(ascending=False, kind="stable").index
    return table.loc[order, [*keys, "n", "mean", "score", "p", "limit", "ulps", "off"]].reset_index(drop=True)


def limit_of_means(rows: int, level: float = LEVEL) -> float:
    """|score| that a right table of so many rows exceeds anywhere with probability `level` at most (Bonferroni)."""
    return float(stats.norm.isf(level / 2.0 / max(rows, 1)))


def detection_power(bias: float, seeds: int, rows: int, level: float = LEVEL) -> float:
    """Probability that a row that is `bias` standard errors off is found from the mean over so many seeds.

    >>> round(detection_power(1.0, seeds=20, rows=66), 2), round(detection_power(1.0, seeds=20, rows=77), 2)
    (0.87, 0.86)
    """
    limit, shift = limit_of_means(rows, level), bias * np.sqrt(seeds)
    return float(stats.norm.sf(limit - shift) + stats.norm.cdf(-limit - shift))


def one_seed_power(bias: float) -> float:
    """Probability that one seed puts a row that is `bias` standard errors off beyond the limit of one seed."""
    return float(stats.norm.sf(calibration_limit() - bias) + stats.norm.cdf(-calibration_limit() - bias))


def calibration_tests(seeds: pd.DataFrame) -> pd.DataFrame:
    """Joint tests of all z-scores, in one row.

    The p-values come from simulated tables whose rows have the correlation of the observed ones: rows share draws, and
    a test that took them for independent would reject too often.

    Returns:
        Columns `rows`, `seeds`, `mean`, `sd` (of all z), `ks` (largest distance of their distribution from the normal),
        `p_ks`, `spread_of_means` (mean square of the rows' scores, 1 where all are right), `p_means`, `power` (to find
        a row that is one standard error off). Empty where there are fewer than 2 seeds or no random row.
    """
    random = seeds[(seeds["compared"] == BY_ERROR) & np.isfinite(seeds["z_score"].astype(float))]
    wide = random.pivot(index="seed", columns=["estimator", "quantity"], values="z_score").dropna(axis=1)
    z = wide.to_numpy(float)
    if z.shape[0] < 2 or z.shape[1] == 0:
        return pd.DataFrame()
    n = len(z)
    size = np.sqrt(np.square(z).mean(0))
    direction = z / np.where(size > 0, size, 1.0)
    mixing = np.random.default_rng(0).normal(size=(SIMULATIONS, n, n)) / np.sqrt(n)
    simulated = mixing @ direction
    ks, means = _distance(z[None]), _spread(z[None])
    row = {
        "rows": z.shape[1],
        "seeds": n,
        "mean": float(z.mean()),
        "sd": float(z.std(ddof=1)),
        "ks": float(ks[0]),
        "p_ks": _exceeded(_distance(simulated), ks[0]),
        "spread_of_means": float(means[0]),
        "p_means": _exceeded(_spread(simulated), means[0]),
        "power": detection_power(1.0, n, z.shape[1]),
    }
    return pd.DataFrame([row])


def _distance(tables: Floats) -> Floats:
    """Kolmogorov's distance of all scores of a table from the standard normal; tables along the first axis."""
    ordered = np.sort(tables.reshape(len(tables), -1), axis=1)
    below = stats.norm.cdf(ordered)
    count = ordered.shape[1]
    steps = np.arange(count + 1) / count
    return np.asarray(np.maximum((steps[1:] - below).max(1), (below - steps[:-1]).max(1)))


def _spread(tables: Floats) -> Floats:
    """Mean over the rows of n times the squared mean over the seeds."""
    return np.asarray((tables.mean(1) ** 2 * tables.shape[1]).mean(1))


def _exceeded(simulated: Floats, observed: float) -> float:
    return float((1 + (simulated >= observed).sum()) / (1 + len(simulated)))


def quantiles(scores: pd.Series) -> pd.DataFrame:
    """`score` in order beside the normal quantile `expected` at its rank (Blom's positions)."""
    ordered = np.sort(scores.dropna().to_numpy(float))
    rank = (np.arange(1, len(ordered) + 1) - 0.375) / (len(ordered) + 0.25)
    return pd.DataFrame({"expected": stats.norm.ppf(rank), "score": ordered})
