"""What several pages need: a table with the latent dimension of its trial, and the words for a slope."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from analysis.headline import DIMENSION
from analysis.tables import Sweep
from analysis.wording import interval


def with_configuration(sweep: Sweep, table: str) -> pd.DataFrame:
    """Rows of finished trials with their D, and nothing else: the variance table has hundreds of thousands of rows."""
    frame: pd.DataFrame = getattr(sweep, table)
    finished = sweep.trials.loc[sweep.trials["status"] == "finished", ["trial", DIMENSION]]
    return frame.merge(finished, on="trial", how="inner", validate="many_to_one")


def log_dimensions(frame: pd.DataFrame) -> bool:
    """Whether the latent dimensions are spread so far that a logarithmic axis shows them better."""
    smallest, largest = frame[DIMENSION].min(), frame[DIMENSION].max()
    return bool(largest >= 6 * smallest)


def slope_text(row: Mapping[str, Any] | pd.Series) -> str:
    """`−1.00 [−1.02, −0.98]`."""
    return interval(float(row["slope"]), float(row["low"]), float(row["high"]), most=3)


def yes_no(holds: pd.Series, expected: pd.Series) -> list[str]:
    """Whether the interval contains what theory expects; nothing where theory expects nothing."""
    return ["–" if np.isnan(value) else "yes" if inside else "no" for inside, value in zip(holds, expected)]
