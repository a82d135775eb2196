"""Where the variance of an estimate comes from, what it costs, what is predicted of it, and why k3's is none."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics.intervals import EVERYTHING, By, as_list, share_interval, summarise, variance_interval
from analysis.tables.columns import BOUND, DIMENSION

COMPONENTS = ("between_replicates", "between_images", "monte_carlo")
CARRYING, SHARE_CARRYING = 30.0, 1 / 12
"""Effective draws that a measured variance must rest on, and the share of the draws where that is fewer: of a normal
variable's it rests on a third."""


def metric_of(quantity: str, num_importance_samples: float, columns: Collection[str]) -> str:
    """The replicate metric that an estimator of the variance study estimates.

    >>> metric_of("iwae", 8.0, []), metric_of("k1", np.nan, ["test.kl_monte_carlo"]), metric_of("k1", np.nan, [])
    ('test.iwae_8', 'test.kl_monte_carlo', 'test.kl')

    Args:
        quantity: Its name in the study: `iwae`, `reconstruction`, `elbo_*` for an estimator of the ELBO, or an
            estimator of the KL.
        num_importance_samples: K, for `iwae`.
        columns: Metrics that the sweep has; one that was estimated from draws is preferred to its closed form.
    """
    if quantity == "iwae":
        return f"test.iwae_{int(num_importance_samples)}"
    if quantity == "reconstruction":
        return "test.reconstruction"
    drawn, exact = (f"test.{quantity}", BOUND) if quantity.startswith("elbo_") else ("test.kl_monte_carlo", "test.kl")
    return drawn if drawn in columns else exact


def variance_components(measured: pd.DataFrame, by: By = (DIMENSION,)) -> pd.DataFrame:
    """Variance of one estimate (one replicate, one image, L draws) split into its three sources.

    estimate = mean + replicate + image + draw:
    `between_replicates` is the variance over seeds of the metric, pooled as in the intervals (what another seed
    changes); `between_images` the variance over images (what another image changes); `monte_carlo` the variance given
    model and image (what other draws change, falls with L). They are the numbers that plans rest on.

    Args:
        measured: Rows of `planning.measured`, of one scheme of the draws.
        by: The columns that it was grouped by.

    Returns:
        Columns `by`, `quantity`, `num_importance_samples`, `num_samples`, `component`, `variance` (nats^2; NaN where
        one replicate shows no spread) with its chi-square interval `low`, `high` (NaN for `monte_carlo`, which rests on
        hundreds of draws for each image), `share` (of the known components), `share_low`, `share_high` (at the ends of
        the component's own interval).
    """
    cell = [*as_list(by), "quantity", "num_importance_samples", "num_samples"]
    long = measured.melt(cell, list(COMPONENTS), var_name="component", value_name="variance")
    degrees = measured.assign(monte_carlo=np.nan).melt(
        cell, ["replicate_degrees", "image_degrees", "monte_carlo"], value_name="degrees"
    )
    low, high = variance_interval(long["variance"].astype(float), degrees["degrees"].astype(float))
    long = long.assign(low=low, high=high)
    long["component"] = pd.Categorical(long["component"], COMPONENTS, ordered=True)
    long = long.sort_values([*cell, "component"], ignore_index=True).astype({"component": "str"})
    rest = long.groupby(cell, dropna=False)["variance"].transform("sum") - long["variance"].fillna(0.0)
    for share, end in (("share", "variance"), ("share_low", "low"), ("share_high", "high")):
        long[share] = long[end] / (long[end] + rest)
    return long


def predicted_vs_measured(replicates: pd.DataFrame, by: By = (DIMENSION,), *, confidence: float = 0.99) -> pd.DataFrame:
    """Measured over predicted variance of k1, per trial, which must be 1: (loc, scale) give Var k1 in closed form.

    A trial's ratio is the mean over its replicates; its error follows from the replicates' own errors, which are known
    from the draws, so the interval is normal.

    Args:
        replicates: Replicates with `variance.k1_ratio` and `variance.k1_ratio.standard_error`, joined or not.
        by: Columns carried along (constant within a trial).
        confidence: Level of the interval.

    Returns:
        Columns `trial`, `by`, `n`, `ratio`, `standard_error`, `low`, `high`, `contains_one`; empty without a study.
    """
    keys = ["trial", *as_list(by)]
    names = [*keys, "n", "ratio", "standard_error", "low", "high", "contains_one"]
    if "variance.k1_ratio" not in replicates.columns:
        return pd.DataFrame(columns=names)
    studied = replicates[replicates["variance.k1_ratio"].notna()]
    work = studied[keys].assign(
        ratio=studied["variance.k1_ratio"], squared=studied["variance.k1_ratio.standard_error"].astype(float) ** 2
    )
    table = work.groupby(keys, dropna=False).agg(
        n=("ratio", "count"), ratio=("ratio", "mean"), squared=("squared", "sum")
    )
    table = table.reset_index()
    table["standard_error"] = np.sqrt(table["squared"]) / table["n"]
    half = stats.norm.ppf(0.5 + confidence / 2) * table["standard_error"]
    table["low"], table["high"] = table["ratio"] - half, table["ratio"] + half
    table["contains_one"] = (table["low"] <= 1.0) & (table["high"] >= 1.0)
    return table[names]


def share_containing_one(ratios: pd.DataFrame, confidence: float = 0.95) -> pd.DataFrame:
    """One row: of `n` trials, how many (`inside`, `share`) have an interval with 1 in it; `low`, `high` by Wilson."""
    n, inside = len(ratios), int(ratios["contains_one"].sum())
    low, high = share_interval(inside, n, confidence)
    return pd.DataFrame(
        {"n": [n], "inside": [inside], "share": [inside / n if n else np.nan], "low": [low], "high": [high]}
    )


def k3_divergence(variance: pd.DataFrame, by: By = (DIMENSION,), *, carrying: float = CARRYING) -> pd.DataFrame:
    """What k3's variance rests on, at L = 1.

    With a Gaussian posterior and a standard normal prior it is infinite as soon as one posterior variance is at most
    1/2; the study says so of such pairs (`infinite`).

    A sample of an infinite variance is finite, and carried by a few draws. With m4 and s^2 of R draws, R / kurtosis =
    (sum d^2)^2 / sum d^4 is the effective number of draws that the sample variance rests on: R/3 for a normal, about 1
    where one draw is all of it.

    Args:
        variance: Variance study joined with the configuration.
        by: Columns that get a row each.
        carrying: Fewer effective draws than this and the measured variance means nothing; from few draws, fewer than a
            twelfth of them (an excess kurtosis above 9).

    Returns:
        Columns `by`, `n` (replicates), `k1_variance`, `k3_variance`, `ratio`, `excess_kurtosis` (of k3, median),
        `draws`, `carrying_draws` (median; at least 1), `limit` (fewest of them that say something), `infinite` (by its
        closed form, for an image of a replicate), `unreliable` (that, or fewer draws than the limit).
    """
    keys = as_list(by)
    names = [*keys, "n", "k1_variance", "k3_variance", "ratio", "excess_kurtosis", "draws", "carrying_draws"]
    names += ["limit", "infinite", "unreliable"]
    rows = variance[(variance["num_samples"] == 1) & (variance["sampling"] == "iid")]
    if not {"k1", "k3"} <= set(rows["quantity"]):
        return pd.DataFrame(columns=names)
    k3 = rows[rows["quantity"] == "k3"].assign(**{EVERYTHING: 0})
    # An unbiased estimate of the kurtosis can exceed the largest that R draws can have, which is about R.
    carrying_draws = (k3["draws"] / (k3["excess_kurtosis"] + 3.0)).clip(lower=1.0)
    # Tables of older versions have no such column; their closed form is infinite.
    infinite = k3["infinite"].eq(True) if "infinite" in k3 else np.isinf(k3["predicted"])
    k3 = k3.assign(carrying_draws=carrying_draws, infinite=infinite)
    k1 = rows[rows["quantity"] == "k1"].assign(**{EVERYTHING: 0})
    group = keys or [EVERYTHING]
    table = k3.groupby(group, dropna=False).agg(
        n=("variance", "count"),
        k3_variance=("variance", "median"),
        excess_kurtosis=("excess_kurtosis", "median"),
        draws=("draws", "min"),
        carrying_draws=("carrying_draws", "median"),
        infinite=("infinite", "any"),
    )
    table["k1_variance"] = k1.groupby(group, dropna=False)["variance"].median()
    table["ratio"] = table["k3_variance"] / table["k1_variance"]
    table["limit"] = np.minimum(carrying, SHARE_CARRYING * table["draws"])
    table["unreliable"] = table["infinite"] | (table["carrying_draws"] < table["limit"])
    return table.reset_index()[names]


def efficiency(variance: pd.DataFrame, by: By = (DIMENSION,)) -> pd.DataFrame:
    """Variance times time of each estimator: what an equally precise answer costs (lower is better).

    Returns:
        Columns `by`, `quantity`, `sampling`, `num_importance_samples`, `num_samples`, then of `variance_seconds`
        (nats^2 s): `n`, `mean`, `standard_error`, `low`, `high`; and the means `variance`, `seconds`.
    """
    keys = [*as_list(by), "quantity", "sampling", "num_importance_samples", "num_samples"]
    work = variance.assign(variance_seconds=variance["variance"] * variance["seconds"])
    table = summarise(work, "variance_seconds", keys).drop(columns="missing")
    means = work.groupby(keys, dropna=False)[["variance", "seconds"]].mean()
    merged: pd.DataFrame = table.merge(means.reset_index(), on=keys)
    return merged
