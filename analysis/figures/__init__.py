"""Frame -> axes: one import for pages and notebooks. Every number that is drawn was computed in `statistics`.

Conventions: a summary frame has columns `mean`, `low`, `high` (a 95 % interval; NaN where there is none); a drawing
function is told its axes as `Axis` (column, label, scale) and its lines as `Series` (the column that tells them apart,
and the look of each, in the order of the legend).
"""

from analysis.figures.curves import MINUS_ONE, against, histories, lines, log_log
from analysis.figures.marks import interval, mark, reference_curve, reference_line, reference_note, second_axis
from analysis.figures.points import cloud, quantiles, ratios, scatter
from analysis.figures.rows import bars, forest, shares, stacked, z_scores
from analysis.figures.series import Axis, Series, Style, marked, styles
from analysis.figures.trials import front, search_history

__all__ = [
    "MINUS_ONE",
    "Axis",
    "Series",
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
    "marked",
    "quantiles",
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
