"""Where a number's variance comes from, what the closed form predicts of it, and what k3 and the prior do to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from analysis.statistics.intervals import By, as_list, share_interval, summarise

COMPONENTS = ("between_replicates", "between_images", "monte_carlo")
METRICS = {
    "k1": "test.kl_monte_carlo",
    "k3": "test.kl_monte_carlo",
    "cross_entropy": "test.kl_monte_carlo",
    "reconstruction": "test.reconstruction",
    "elbo_closed_form": "test.elbo",
    "elbo_monte_carlo": "test.elbo_monte_carlo",
    "elbo_control_variate": "test.elbo",
}


def metric_of(quantity: str, num_importance_samples: float = np.nan, columns: Any = None) -> str:
    """The replicate metric that an estimator of the variance study estimates: `k1` -> `test.kl_monte_carlo`.

    With `columns`, a Monte Carlo metric that the table lacks falls back to its closed-form namesake (the same
    quantity).
    """
    name = f"test.iwae_{int(num_importance_samples)}" if quantity == "iwae" else METRICS[quantity]
    if columns is not None and name not in columns:
        name = name.removesuffix("_monte_carlo")
    return name


def variance_components(
    replicates: pd.DataFrame,
    variance: pd.DataFrame,
    by: By = ("model.latent_dim",),
    *,
    num_samples: int | None = None,
    sampling: str = "iid",
) -> pd.DataFrame:
    """Variance of one estimate (one replicate, one image, L draws) split into its three sources.

    estimate = mean + replicate + image + draw:
    `between_replicates` is the variance over replicates of the metric, pooled within trials (what another seed
    changes); `between_images` the variance over images of the conditional mean (what another image changes);
    `monte_carlo` the variance given model and image (what other draws change, falls with L).

    The first is taken from means over the whole split, so it holds the draws' share of that mean, `monte_carlo` /
    (images in the split), which is left in: it is smaller by the number of images.

    Args:
        replicates: Replicates joined with their configuration.
        variance: Variance study joined with the configuration.
        by: Columns that get a split each.
        num_samples: Only this L (None: every L).
        sampling: Scheme of the draws.

    Returns:
        Columns `by`, `quantity`, `num_importance_samples`, `num_samples`, `component`, `variance` (nats^2; NaN where
        one replicate shows no spread), `share` (of the known components), `replicates`, `trials`.
    """
    keys = as_list(by)
    rows = variance[variance["sampling"] == sampling]
    if num_samples is not None:
        rows = rows[rows["num_samples"] == num_samples]
    cell = [*keys, "quantity", "num_importance_samples", "num_samples"]
    means = rows.groupby(cell, dropna=False)[["variance", "between_images"]].mean()
    table = means.rename(columns={"variance": "monte_carlo"}).reset_index()
    between = between_replicates(replicates, table, by)
    table = table.merge(between, on=[*keys, "quantity", "num_importance_samples"], how="left")
    long = table.melt([*cell, "replicates", "trials"], list(COMPONENTS), var_name="component", value_name="variance")
    long["component"] = pd.Categorical(long["component"], COMPONENTS, ordered=True)
    long = long.sort_values([*cell, "component"], ignore_index=True).astype({"component": "str"})
    total = long.groupby(cell, dropna=False)["variance"].transform("sum")
    return long.assign(share=long["variance"] / total)[
        [*cell, "component", "variance", "share", "replicates", "trials"]
    ]


def between_replicates(replicates: pd.DataFrame, table: pd.DataFrame, by: By) -> pd.DataFrame:
    """Pooled within-trial variance over replicates of each estimator's metric, per group.

    Args:
        replicates: Replicates joined with their configuration.
        table: Names the estimators: `quantity`, `num_importance_samples`.
        by: Columns that get a variance each.

    Returns:
        Columns `by`, `quantity`, `num_importance_samples`, `replicates`, `trials`, `between_replicates` (nats^2).
    """
    keys = as_list(by)
    estimators = table[["quantity", "num_importance_samples"]].drop_duplicates()
    metrics = [metric_of(q, k, replicates.columns) for q, k in estimators.itertuples(index=False)]
    estimators = estimators.assign(metric=metrics).astype({"metric": "str"})
    known = [name for name in dict.fromkeys(metrics) if name in replicates.columns]
    values = replicates.melt([*keys, "trial"], known, var_name="metric").astype({"metric": "str"})
    trial = values.groupby([*keys, "metric", "trial"], dropna=False)["value"].agg(n="count", spread="var").reset_index()
    # A trial with one replicate has no variance and no degree of freedom: it adds nothing to either sum.
    degrees = (trial["n"] - 1).clip(lower=0)
    trial = trial.assign(degrees=degrees, squares=trial["spread"].fillna(0.0) * degrees)
    pooled = trial.groupby([*keys, "metric"], dropna=False).agg(
        squares=("squares", "sum"), degrees=("degrees", "sum"), replicates=("n", "sum"), trials=("n", "size")
    )
    pooled["between_replicates"] = pooled["squares"] / pooled["degrees"].where(pooled["degrees"] > 0)
    pooled = pooled.drop(columns=["squares", "degrees"]).reset_index()
    return estimators.merge(pooled, on="metric").drop(columns="metric")


def predicted_vs_measured(
    replicates: pd.DataFrame, by: By = ("model.latent_dim",), *, confidence: float = 0.99
) -> pd.DataFrame:
    """Measured over predicted variance of k1, per trial: it must be 1 (Var k1 is known in closed form from loc and
    scale).

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
    known = replicates[replicates["variance.k1_ratio"].notna()]
    work = known[keys].assign(
        ratio=known["variance.k1_ratio"], squared=known["variance.k1_ratio.standard_error"].astype(float) ** 2
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


def k3_divergence(variance: pd.DataFrame, by: By = ("model.latent_dim",), *, carrying: float = 30.0) -> pd.DataFrame:
    """What k3's variance rests on, at L = 1: infinite as soon as one posterior variance is at most 1/2.

    A sample of an infinite variance is finite, and carried by a few draws. With m4 and s^2 of R draws, R / kurtosis =
    (sum d^2)^2 / sum d^4 is the effective number of draws that the sample variance rests on: R/3 for a normal, about 1
    where one draw is all of it.

    Args:
        variance: Variance study joined with the configuration.
        by: Columns that get a row each.
        carrying: Fewer effective draws than this and the measured variance means nothing.

    Returns:
        Columns `by`, `n` (replicates), `k1_variance`, `k3_variance`, `ratio`, `excess_kurtosis` (of k3, median),
        `draws`, `carrying_draws` (median), `infinite` (by its closed form, for an image of a replicate), `unreliable`
        (that, or fewer draws than `carrying`).
    """
    keys = as_list(by)
    names = [
        *keys,
        "n",
        "k1_variance",
        "k3_variance",
        "ratio",
        "excess_kurtosis",
        "draws",
        "carrying_draws",
        "infinite",
        "unreliable",
    ]
    rows = variance[(variance["num_samples"] == 1) & (variance["sampling"] == "iid")]
    if not {"k1", "k3"} <= set(rows["quantity"]):
        return pd.DataFrame(columns=names)
    k3 = rows[rows["quantity"] == "k3"].assign(all=0)
    # An unbiased estimate of the kurtosis can exceed the largest that R draws can have, which is about R.
    carrying_draws = (k3["draws"] / (k3["excess_kurtosis"] + 3.0)).clip(lower=1.0)
    known = (
        k3["infinite"].eq(True) if "infinite" in k3 else np.isinf(k3["predicted"])
    )  # tables of before have no column
    k3 = k3.assign(carrying_draws=carrying_draws, infinite=known)
    k1 = rows[rows["quantity"] == "k1"].assign(all=0)
    group = keys or ["all"]
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
    table["unreliable"] = table["infinite"] | (table["carrying_draws"] < carrying)
    return table.reset_index()[names]


def prior_monte_carlo_curve(evidence: pd.DataFrame, by: By = (), confidence: float = 0.95) -> pd.DataFrame:
    """Bias of prior Monte Carlo (nats) against the number of prior draws.

    About exp(KL(posterior || prior)) draws are necessary and sufficient (Chatterjee & Diaconis 2018, theorem 1.1).
    Below that the estimate is far too low by an amount that the KL alone does not give: with one draw it is the reverse
    KL(prior || posterior), often many times larger.

    Returns:
        `summarise`'s columns of the bias per `by` and `num_draws` (the unit is the replicate: its images share a
        model), with `kl` (mean, nats), `expected_draws` = exp(KL), and `expected`: 0 nats from that many draws on, NaN
        below.
    """
    keys = [*as_list(by), "num_draws"]
    rows = evidence[(evidence["estimator"] == "prior_monte_carlo") & np.isfinite(evidence["bias"])]
    table = summarise(rows, "bias", keys, unit=("trial", "replicate"), confidence=confidence)
    table["kl"] = summarise(rows, "kl", keys, unit=("trial", "replicate"))["mean"]
    table["expected_draws"] = np.exp(table["kl"])
    return table.assign(expected=np.where(table["num_draws"] >= table["expected_draws"], 0.0, np.nan))


def prior_monte_carlo_collapse(evidence: pd.DataFrame, *, per_decade: int = 2) -> pd.DataFrame:
    """Bias (nats) of prior Monte Carlo against draws / exp(KL), image by image, in bins of equal width on a log scale.

    The bins hold different images at different numbers of draws, and images share models: quartiles, no interval.

    Returns:
        Columns `share` (geometric centre of the bin), `n` (images), `median`, `low`, `high` (quartiles).
    """
    rows = evidence[(evidence["estimator"] == "prior_monte_carlo") & np.isfinite(evidence["bias"])]
    decades = np.log10(rows["num_draws"].to_numpy(float)) - rows["kl"].to_numpy(float) / np.log(10.0)
    bins = np.floor(decades * per_decade)
    grouped = rows["bias"].groupby(bins)
    table = pd.DataFrame({"n": grouped.size(), "median": grouped.median()})
    table["low"], table["high"] = grouped.quantile(0.25), grouped.quantile(0.75)
    table.insert(0, "share", 10.0 ** ((table.index.to_numpy(float) + 0.5) / per_decade))
    return table.reset_index(drop=True)


def draws_needed(evidence: pd.DataFrame, by: By = (), *, tolerance: float = 1.0) -> pd.DataFrame:
    """Fewest prior draws that bring prior Monte Carlo within `tolerance` nats of the best estimate, image by image.

    Returns:
        One row per trial, replicate and image: `by`, `kl` (nats), `reference`, `draws_needed` (NaN where no tried
        number was enough), `largest_tried`, `enough`, `expected` = exp(KL).
    """
    keys = [*as_list(by), "trial", "replicate", "image"]
    rows = evidence[(evidence["estimator"] == "prior_monte_carlo") & np.isfinite(evidence["bias"])]
    rows = rows.assign(reached=rows["num_draws"].where(rows["bias"].abs() <= tolerance))
    table = rows.groupby(keys, dropna=False).agg(
        kl=("kl", "first"),
        reference=("reference", "first"),
        draws_needed=("reached", "min"),
        largest_tried=("num_draws", "max"),
    )
    table["enough"], table["expected"] = table["draws_needed"].notna(), np.exp(table["kl"])
    flat: pd.DataFrame = table.reset_index()
    return flat


def efficiency(variance: pd.DataFrame, by: By = ("model.latent_dim",)) -> pd.DataFrame:
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
