"""The figure that tests of drawing and of files share: two series of replicates with their means."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from analysis import figures


def against(axes: Axes, points: pd.DataFrame, means: pd.DataFrame) -> None:
    """Draw columns d, y, series of `points`, and their means."""
    looks = figures.styles([("a", 1), ("b", 1)])
    figures.against(
        axes,
        points,
        means,
        x=figures.Axis("d", "D", log=True),
        y=figures.Axis("y", "nats"),
        series=figures.Series("series", {"a": looks[("a", 1)], "b": looks[("b", 1)]}),
        title="t",
    )
