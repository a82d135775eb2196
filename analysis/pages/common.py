"""What several pages need: a table with the latent dimension of its trial, and words that captions share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION, FINISHED
from analysis.wording import count, interval


def with_dimension(sweep: Sweep, table: str) -> pd.DataFrame:
    """Rows of finished trials with their D, and nothing else: the variance table has hundreds of thousands of rows."""
    frame: pd.DataFrame = getattr(sweep, table)
    finished = sweep.trials.loc[sweep.trials["status"] == FINISHED, ["trial", DIMENSION]]
    return frame.merge(finished, on="trial", how="inner", validate="many_to_one")


def spread(dimensions: Iterable[float]) -> bool:
    """Whether latent dimensions lie so far apart that a logarithmic axis shows them better."""
    values = list(dimensions)
    return len(values) > 1 and max(values) >= 6 * min(values)


def slope_text(row: Mapping[str, Any] | pd.Series) -> str:
    """`−1.00 [−1.02, −0.98]`, of a row of `statistics.fit_slope`."""
    return interval(float(row["slope"]), float(row["low"]), float(row["high"]), most=3)


def counted(replicates: pd.DataFrame) -> str:
    """`n = 12 trials, 36 replicates`, for captions; one row a replicate."""
    return f"n = {count(replicates['trial'].nunique(), 'trial')}, {count(len(replicates), 'replicate')}"
