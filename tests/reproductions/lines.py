"""A line of the table: what was published, what a finished sweep measured, whether they agree."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import stats

from analysis import tables
from analysis.statistics.intervals import summarise
from analysis.tables import Sweep

Sweeps = Mapping[str, Sweep]


class Line(NamedTuple):
    quantity: str
    published: str
    ours: str
    holds: bool | None
    """None where nothing was published that could be missed."""


def replicates(sweep: Sweep) -> pd.DataFrame:
    """Finished replicates with their configuration; seeds that are trials of their own are replicates all the same."""
    return tables.joined(sweep, "replicates")


def epochs(sweep: Sweep) -> pd.DataFrame:
    """The training history of finished trials, with their latent dimension."""
    done = sweep.trials.loc[sweep.trials["status"] == "finished", ["trial", "model.latent_dim"]]
    return sweep.history.merge(done, on="trial")


def mean(frame: pd.DataFrame, column: str, digits: int = 4) -> str:
    """`0.5190 ± 0.0004 (3)`: mean, standard error over replicates, their number."""
    row = summarise(frame, column).iloc[0]
    error = "" if math.isnan(row["standard_error"]) else f" ± {row['standard_error']:.{digits}f}"
    return f"{row['mean']:.{digits}f}{error} ({int(row['n'])})"


def within(frame: pd.DataFrame, column: str, low: float, high: float) -> bool:
    """Whether the mean over replicates lies between the published bounds."""
    return low <= float(frame[column].mean()) <= high


def difference(one: pd.Series, other: pd.Series) -> tuple[float, float, float]:
    """Difference of two means over replicates with its 95 % interval (Welch)."""
    found = stats.ttest_ind(one, other, equal_var=False)
    interval = found.confidence_interval()
    return float(one.mean() - other.mean()), float(interval.low), float(interval.high)


def by_dim(frame: pd.DataFrame, dim: int) -> pd.DataFrame:
    return frame[frame["model.latent_dim"] == dim]


def interval(value: float, low: float, high: float, digits: int = 2) -> str:
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def slope(x: ArrayLike, y: ArrayLike) -> tuple[float, float, float]:
    """Slope of a straight line, least squares, with its 95 % interval."""
    found = stats.linregress(x, y)
    half = stats.t.ppf(0.975, np.size(x) - 2) * found.stderr
    return float(found.slope), float(found.slope - half), float(found.slope + half)
