"""Which rows of a study share their draws, and which are the same number twice: only the rest counts as evidence.

Each replicate of each trial draws from a stream of its own, which the column `stream` names. Tables of older versions
have no such column: their draws were seeded by the replicate alone, so that all trials of a seed shared them.
"""

from __future__ import annotations

import pandas as pd

STREAM = "stream"


def with_streams(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of `variance` or `gradients` with a complete column `stream`; equal ones share their draws."""
    shared = "replicate " + rows["replicate"].astype("int64").astype("str")
    if STREAM not in rows:
        return rows.assign(**{STREAM: shared})
    own = rows[STREAM].astype("object")
    return rows.assign(**{STREAM: own.where(own.notna(), shared).astype("str")})


def streams(rows: pd.DataFrame) -> pd.DataFrame:
    """One row per replicate: `trial`, `replicate`, `stream`."""
    return with_streams(rows.drop_duplicates(["trial", "replicate"]))[["trial", "replicate", STREAM]]


def sharing(rows: pd.DataFrame) -> tuple[int, int, bool]:
    """(trials, streams, whether any two trials draw from one stream)."""
    named = streams(rows).drop_duplicates(["trial", STREAM])
    return named["trial"].nunique(), named[STREAM].nunique(), bool(named[STREAM].duplicated().any())


def distinct(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows without those that repeat a number.

    IWAE with K = 1 is the Monte Carlo ELBO, draw by draw, and the ELBO with a closed-form KL varies exactly as its
    reconstruction term; each is dropped where the other one is there.
    """
    quantity = rows["quantity"]
    same = pd.Series(False, index=rows.index)
    if (quantity == "elbo_monte_carlo").any():
        same |= (quantity == "iwae") & (rows["num_importance_samples"] == 1)
    if (quantity == "elbo_closed_form").any():
        same |= quantity == "reconstruction"
    return rows[~same]
