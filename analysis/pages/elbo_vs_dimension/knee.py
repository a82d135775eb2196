"""The knee of each curve, in a table: the smallest D that is as good as the best."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import statistics
from analysis.document.blocks import Block, Table
from analysis.statistics.headline import Headline
from analysis.tables.columns import BOUND


def blocks(chosen: Headline) -> list[Block]:
    """D*, its interval and its probability, per series; nothing where there is one D."""
    if len(chosen.dimensions) < 2:
        return []
    knees = statistics.knee(chosen.replicates, BOUND, within="series")
    texts = [
        f"{k:g} [{low:g}, {high:g}]" if np.isfinite(k) else "–"
        for k, low, high in knees[["knee", "low", "high"]].itertuples(index=False)
    ]
    shown = pd.DataFrame({"series": knees["series"], "D* [95 % interval]": texts, "probability": knees["probability"]})
    shown = shown.assign(
        **{"best D": knees["best"], "best mean": knees["best_mean"], "replicates": knees["n"], "note": knees["note"]}
    )
    caption = (
        "D*: the smallest D whose mean bound is within one standard error of the best. Interval: "
        "percentile bootstrap over "
        "replicates; probability: share of resamples with this very knee."
    )
    return [Table("knee", knees, caption, shown=shown)]
