"""Why averaging p(x|z) over draws from the prior fails: its bias against draws, and how many draws would do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis.statistics.intervals import By, as_list, summarise

PRIOR_MONTE_CARLO = "prior_monte_carlo"
"""`evidence.estimator` of the rows that this file is about."""


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
    rows = evidence[(evidence["estimator"] == PRIOR_MONTE_CARLO) & np.isfinite(evidence["bias"])]
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
    rows = evidence[(evidence["estimator"] == PRIOR_MONTE_CARLO) & np.isfinite(evidence["bias"])]
    decades = np.log10(rows["num_draws"].to_numpy(float)) - rows["kl"].to_numpy(float) / np.log(10.0)
    bins = np.floor(decades * per_decade)
    grouped = rows["bias"].groupby(bins)
    table = pd.DataFrame({"n": grouped.size(), "median": grouped.median()})
    table["low"], table["high"] = grouped.quantile(0.25), grouped.quantile(0.75)
    table.insert(0, "share", 10.0 ** ((table.index.to_numpy(float) + 0.5) / per_decade))
    return table.reset_index(drop=True)


def draws_needed(evidence: pd.DataFrame, by: By = (), *, tolerance: float = 1.0) -> pd.DataFrame:
    """Fewest prior draws from which on prior Monte Carlo stays within `tolerance` nats of the best estimate.

    An estimate that was near with few draws and is not with more was near by luck: it does not count.

    Returns:
        One row per trial, replicate and image: `by`, `kl` (nats), `reference`, `draws_needed` (NaN where the largest
        tried number was not enough), `largest_tried`, `enough`, `above` (with the largest number it lies farther than
        the tolerance *above* the best estimate, which is then itself too low), `expected` = exp(KL).
    """
    keys = [*as_list(by), "trial", "replicate", "image"]
    rows = evidence[(evidence["estimator"] == PRIOR_MONTE_CARLO) & np.isfinite(evidence["bias"])]
    rows = rows.sort_values([*keys, "num_draws"], ascending=[True] * len(keys) + [False], kind="stable")
    near = rows["bias"].abs() <= tolerance
    stays = near.groupby([rows[name] for name in keys], dropna=False).cummin()  # from the largest number downwards
    rows = rows.assign(reached=rows["num_draws"].where(stays))
    table = rows.groupby(keys, dropna=False).agg(
        kl=("kl", "first"),
        reference=("reference", "first"),
        draws_needed=("reached", "min"),
        largest_tried=("num_draws", "max"),
        last_bias=("bias", "first"),
    )
    table["enough"], table["expected"] = table["draws_needed"].notna(), np.exp(table["kl"])
    table["above"] = table.pop("last_bias") > tolerance
    flat: pd.DataFrame = table.reset_index()
    return flat
