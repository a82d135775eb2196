"""Frame -> axes. Every number that is drawn was computed in `statistics` or `planning`.

Conventions: a summary frame has columns `mean`, `low`, `high` (a 95 % interval; NaN where there is none); a *series* is
the text column that names the lines of a figure; a *style* maps each series to matplotlib's line properties, in legend
order.
"""

from analysis.figures.curves import (
    Style,
    against,
    interval,
    lines,
    log_log,
    mark,
    needed,
    reference_curve,
    reference_line,
    scatter,
    second_axis,
    styles,
)
from analysis.figures.rows import bars, forest, ratios, shares, stacked, z_scores
from analysis.figures.search import front, search_history

__all__ = [
    "Style",
    "against",
    "bars",
    "forest",
    "front",
    "interval",
    "lines",
    "log_log",
    "mark",
    "needed",
    "ratios",
    "reference_curve",
    "reference_line",
    "scatter",
    "search_history",
    "second_axis",
    "shares",
    "stacked",
    "styles",
    "z_scores",
]
