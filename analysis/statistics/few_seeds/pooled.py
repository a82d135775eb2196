"""Means of few seeds, with a seed variance that is pooled over the cells of a series.

    table = pooled_means(replicates, "test.elbo", ["kl.estimator", "model.latent_dim"], within="kl.estimator")
    table[["kl.estimator", "model.latent_dim", "mean", "low", "high", "sd", "degrees"]]

Three seeds say little about their own spread: the standard deviation of three is off by a factor of two in one case of
five, and an interval is narrow exactly where the seeds happened to agree. The seeds of the other dimensions of the same
series say more. Variances differ between series (another estimator, another learning rate), so none is pooled there.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from analysis.statistics.intervals import CONFIDENCE, EVERYTHING, By, Floats, as_list, summarise, t_interval

FEW_DEGREES = 3
"""Below so many degrees of freedom an interval is drawn open: its own width is hardly known."""
FEWEST_SERIES = 3
"""Series from which the spread of their variances can be judged; with fewer there is nothing to moderate with."""
POOLED, MODERATED, OWN, NONE = "pooled within the series", "moderated over the series", "of its own seeds", ""
"""Column `basis`: whose variance an interval rests on."""


def pooled_means(
    frame: pd.DataFrame,
    value: str,
    by: By,
    *,
    within: By = (),
    unit: By | None = None,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """Mean of `value` per cell, with a Student t-interval whose variance is pooled over the cells of a series.

    The pooled variance is sum (n_i - 1) s_i^2 / sum (n_i - 1), with so many degrees of freedom (Welch 1938 names the
    assumption: equal variances; here within a series only). A series of one cell has nothing to pool with: its variance
    is moderated by those of all series (`moderated`), where there are at least three, and is its own otherwise.

    Args:
        frame: One row per replicate; rows whose `value` is not finite are left out and counted in `missing`.
        value: Column to average, in its own unit.
        by: Columns that define the cells.
        within: Columns, of `by`, that define a series: cells that agree in them share their variance.
        unit: Columns that name the independent unit, as in `summarise`.
        confidence: Level of the interval.

    Returns:
        `summarise`'s columns `by`, `n`, `missing`, `mean`, then `sd` (of the cell's own seeds), `pooled_sd` (what the
        interval rests on), `degrees` (of freedom), `basis` (whose variance it is), `standard_error`, `low`, `high`.
        A cell with one seed has no interval, whatever its series knows.
    """
    keys, series = as_list(by), as_list(within)
    table = summarise(frame, value, keys, unit=unit)
    table["sd"] = table["standard_error"] * np.sqrt(table["n"])
    table[["pooled_sd", "degrees", "basis"]] = series_variance(table, series)[["pooled_sd", "degrees", "basis"]]
    alone = (table["n"] < 2).to_numpy()
    table.loc[alone, ["pooled_sd", "degrees"]], table.loc[alone, "basis"] = np.nan, NONE
    table["standard_error"] = table["pooled_sd"] / np.sqrt(table["n"])
    table["low"], table["high"] = t_interval(table["mean"], table["standard_error"], table["degrees"], confidence)
    columns = ["n", "missing", "mean", "sd", "pooled_sd", "degrees", "basis", "standard_error", "low", "high"]
    return table[[*keys, *columns]]


def series_variance(cells: pd.DataFrame, within: list[str]) -> pd.DataFrame:
    """The seed standard deviation that each cell's series gives it, with its degrees of freedom.

    Args:
        cells: One row per cell with `n` and `sd` (NaN for n = 1).
        within: Columns that define a series; none: all cells are one.

    Returns:
        Columns `pooled_sd`, `degrees`, `basis`, in the order and with the index of `cells`; 0 degrees where no cell of
        a series has two seeds.
    """
    own = (cells["n"] - 1).clip(lower=0).astype(float)
    work = cells[within].assign(**{EVERYTHING: 0}, degrees=own, squares=(own * cells["sd"] ** 2).fillna(0.0), cells=1)
    work["cells"] = (own > 0).astype(int)
    grouped = work.groupby([*within, EVERYTHING], dropna=False)
    total = grouped[["degrees", "squares", "cells"]].sum()
    total["variance"] = np.divide(
        total["squares"], total["degrees"], out=np.full(len(total), np.nan), where=total["degrees"].to_numpy() > 0
    )
    total["basis"] = np.where(total["cells"] > 1, POOLED, np.where(total["cells"] == 1, OWN, NONE))
    single = (total["cells"] == 1).to_numpy()
    known = (total["degrees"] > 0).to_numpy()
    if single.any() and known.sum() >= FEWEST_SERIES and (total.loc[known, "variance"] > 0).all():
        squeezed, degrees = moderated(total.loc[known, "variance"], total.loc[known, "degrees"])
        total.loc[known & single, "variance"] = squeezed[single[known]]
        total.loc[known & single, "degrees"] = degrees[single[known]]
        total.loc[known & single, "basis"] = MODERATED
    spread = total.assign(pooled_sd=np.sqrt(total["variance"]))[["pooled_sd", "degrees", "basis"]]
    return spread.iloc[grouped.ngroup().to_numpy()].set_axis(cells.index)


def moderated(variances: Floats | pd.Series, degrees: Floats | pd.Series) -> tuple[Floats, Floats]:
    """Variances squeezed towards their common value, with the degrees of freedom that this is worth.

    Empirical Bayes with a scaled inverse chi-square prior (Smyth 2004, section 6.2: limma's `squeezeVar`): its d0 and
    s0^2 come from the mean and the variance of log s^2. The posterior is (d0 s0^2 + d s^2) / (d0 + d) with d0 + d
    degrees of freedom, at most all that were observed together.

    Args:
        variances: Sample variances s^2 > 0, at least three.
        degrees: Degrees of freedom d of each.

    Returns:
        (variances, degrees of freedom), one each.
    """
    variances, degrees = np.asarray(variances, dtype=float), np.asarray(degrees, dtype=float)
    centred = np.log(variances) - special.digamma(degrees / 2) + np.log(degrees / 2)
    excess = centred.var(ddof=1) - special.polygamma(1, degrees / 2).mean()
    if excess > 0:
        prior = 2.0 * _inverse_trigamma(float(excess))
        location = np.exp(centred.mean() + special.digamma(prior / 2) - np.log(prior / 2))
        squeezed = (prior * location + degrees * variances) / (prior + degrees)
    else:  # no more spread than seeds of one variance would show
        prior = np.inf
        squeezed = np.full(len(variances), float(np.average(variances, weights=degrees)))
    return squeezed, np.minimum(degrees + prior, degrees.sum())


def _inverse_trigamma(value: float) -> float:
    """x with trigamma(x) = value > 0, by Newton's method (Smyth 2004, appendix)."""
    x = 0.5 + 1.0 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        step = trigamma * (1.0 - trigamma / value) / float(special.polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x
