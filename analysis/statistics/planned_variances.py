"""The variances that a plan rests on, with the degrees of freedom that say how well each is known.

seeds = seed_variances(replicates, estimators, by=["model.latent_dim"])
low, high = intervals.variance_interval(seeds["between_replicates"], seeds["replicate_degrees"])
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics.few_seeds.pooled import series_variance
from analysis.statistics.variance_components import metric_of
from analysis.tables.columns import DIMENSION, varying

MAX_IMAGES = "evaluation.max_images"


def seed_variances(replicates: pd.DataFrame, estimators: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Variance over seeds of each estimator's metric, pooled as the intervals of the report pool it.

    Of a bound it is pooled over the latent dimensions of a series, that is of one setting of everything else. A KL or a
    reconstruction term spreads with D, so each D is a series of its own there. A series of one trial is moderated by
    the others (`few_seeds.pooled`). A group of trials has the mean of their series' variances, with Satterthwaite's
    degrees of freedom, at most those of all seeds together.

    Args:
        replicates: Replicates joined with their configuration.
        estimators: Rows that name them: `quantity`, `num_importance_samples`.
        by: Columns that get a variance each.

    Returns:
        Columns `by`, `quantity`, `num_importance_samples`, `between_replicates` (nats^2), `replicate_degrees`, `seeds`
        (the most that a trial has). NaN and 0 where no trial has two.
    """
    settings = [name for name in varying(replicates) if name != DIMENSION and name in replicates]
    tables = []
    for quantity, inner in estimators[["quantity", "num_importance_samples"]].drop_duplicates().itertuples(index=False):
        metric = metric_of(quantity, inner, set(replicates.columns))
        if metric not in replicates:
            continue
        bound = quantity == "iwae" or str(quantity).startswith("elbo_")
        series = settings if bound else [*settings, DIMENSION]
        table = _of_metric(replicates, metric, series, by)
        tables.append(table.assign(quantity=quantity, num_importance_samples=inner))
    names = [*by, "quantity", "num_importance_samples", "between_replicates", "replicate_degrees", "seeds"]
    return pd.concat(tables, ignore_index=True)[names] if tables else pd.DataFrame(columns=names)


def _of_metric(replicates: pd.DataFrame, metric: str, series: list[str], by: list[str]) -> pd.DataFrame:
    """One row per `by`: the mean over its trials of their series' variance."""
    keys = list(dict.fromkeys([*by, *series, "trial"]))
    cells = replicates.groupby(keys, dropna=False)[metric].agg(n="count", sd="std").reset_index()
    spread = series_variance(cells, series)
    cells = cells.assign(variance=spread["pooled_sd"] ** 2, degrees=spread["degrees"])
    everything = float((cells["n"] - 1).clip(lower=0).sum())
    rows = []
    for label, group in cells.groupby(by, dropna=False) if by else [((), cells)]:
        seeds, known = int(group["n"].max()), group[(group["degrees"] > 0) & group["variance"].notna()]
        mean = float(known["variance"].mean()) if len(known) else np.nan
        degrees = 0.0
        if mean > 0:  # trials of one series share its variance
            shares = known.groupby(series, dropna=False) if series else [((), known)]
            parts = [(len(part) / len(known), float(part["variance"].iloc[0]), float(part["degrees"].iloc[0]))
                     for _, part in shares]  # fmt: skip
            degrees = min(mean**2 / sum((share * one) ** 2 / free for share, one, free in parts), everything)
        rows.append((*label, mean, degrees, seeds))
    return pd.DataFrame(rows, columns=[*by, "between_replicates", "replicate_degrees", "seeds"])


def image_variances(
    replicates: pd.DataFrame, estimators: pd.DataFrame, by: list[str], split: int | None
) -> pd.DataFrame:
    """Variance over images of each estimator's metric, from all images that were evaluated.

    N squared standard errors of the mean over N images; it holds the draws' share of one image's estimate, which is
    small beside it. The replicates see the same images, so N - 1 degrees of freedom are all there are.

    Returns:
        Columns `by`, `quantity`, `num_importance_samples`, `evaluated` (nats^2), `evaluated_degrees`; no rows for what
        has no standard error, or where the number of images is not known.
    """
    limit = replicates[MAX_IMAGES].astype(float) if MAX_IMAGES in replicates else pd.Series(np.nan, replicates.index)
    images = limit.fillna(np.inf).clip(upper=np.inf if split is None else split)
    work = replicates[np.isfinite(images)].assign(images=images)
    names = [*by, "quantity", "num_importance_samples", "evaluated", "evaluated_degrees"]
    tables = []
    for quantity, inner in estimators[["quantity", "num_importance_samples"]].drop_duplicates().itertuples(index=False):
        error = f"{metric_of(quantity, inner, set(replicates.columns))}.standard_error"
        if error not in work or work.empty:
            continue
        known = work[work[error].notna()]
        known = known.assign(evaluated=known["images"] * known[error] ** 2)
        grouped = known.assign(_all=0).groupby(by or ["_all"], dropna=False)
        table = pd.DataFrame(
            {"evaluated": grouped["evaluated"].mean(), "evaluated_degrees": grouped["images"].min() - 1}
        )
        tables.append(table.reset_index().assign(quantity=quantity, num_importance_samples=inner)[names])
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=names)
