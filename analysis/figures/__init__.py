"""Frame -> axes. Every number that is drawn was computed in `statistics` or `planning`.

Conventions: a summary frame has columns `mean`, `low`, `high` (a 95 % interval; NaN where there is none); a *series* is
the text column that names the lines of a figure; a *style* maps each series to matplotlib's line properties, in legend
order.
"""

from analysis.figures.curves import (
    Style,
    against,
    cloud,
    histories,
    interval,
    lines,
    log_log,
    mark,
    reference_curve,
    reference_line,
    reference_note,
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
    "cloud",
    "forest",
    "front",
    "histories",
    "interval",
    "lines",
    "log_log",
    "mark",
    "ratios",
    "reference_curve",
    "reference_line",
    "reference_note",
    "scatter",
    "search_history",
    "second_axis",
    "shares",
    "stacked",
    "styles",
    "z_scores",
]
