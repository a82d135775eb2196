"""Axes to draw on, and a small frame of replicates with their means."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure


@pytest.fixture
def axes() -> Axes:
    return Figure(layout="constrained").add_subplot()


@pytest.fixture
def points() -> pd.DataFrame:
    """Three replicates at each of three D, for the series a and b."""
    values = {2: [1.0, 2.0, 3.0], 8: [4.0, 6.0, 8.0], 32: [5.0, 5.0, 5.0]}
    rows = [(d, name, v + shift) for name, shift in (("a", 0.0), ("b", 10.0)) for d in values for v in values[d]]
    return pd.DataFrame(rows, columns=["d", "series", "y"])


@pytest.fixture
def means(points: pd.DataFrame) -> pd.DataFrame:
    table = points.groupby(["d", "series"], as_index=False)["y"].mean().rename(columns={"y": "mean"})
    return table.assign(low=table["mean"] - 0.5, high=table["mean"] + 0.5)
