"""Trials: in the order of the search, and by what a better bound costs."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.figures import theme
from analysis.figures.scales import log_axis
from analysis.figures.series import Axis
from analysis.figures.theme import MUTED, PAPER


def search_history(axes: Axes, frame: pd.DataFrame, *, y: Axis, best: str, title: str) -> None:
    """Every trial in the order it was proposed, coloured by phase, with the best so far (column `best`)."""
    size = 4.5 if len(frame) < 200 else 2.5
    for position, (phase, rows) in enumerate(frame.groupby("phase", sort=False)):
        axes.plot(
            rows["trial"], rows[y.column], linestyle="", marker=theme.MARKERS[position],
            color=theme.phase_colour(phase), markersize=size, markeredgecolor=PAPER,
            markeredgewidth=0.5 if size > 3 else 0, label=str(phase), zorder=3,
            rasterized=len(frame) > theme.RASTER_FROM,
        )  # fmt: skip
    if len(frame) > 1:
        axes.step(frame["trial"], frame[best], where="post", color=MUTED, linewidth=1.2, label="best so far", zorder=2)
    axes.set(title=title, xlabel="trial", ylabel=y.label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    theme.legend_below(axes)


def front(axes: Axes, frame: pd.DataFrame, *, x: Axis, y: Axis, on_front: str, title: str) -> None:
    """Trials by cost and bound; those that no other beats in both (column `on_front`) are joined."""
    log_axis(axes.xaxis, frame[x.column])
    dominated, best = frame[~frame[on_front]], frame[frame[on_front]].sort_values(x.column)
    axes.plot(
        dominated[x.column], dominated[y.column], linestyle="", marker="o", color=theme.COLOURS[5], markersize=4,
        alpha=0.6, markeredgewidth=0, label="dominated", rasterized=len(frame) > theme.RASTER_FROM,
    )  # fmt: skip
    axes.plot(
        best[x.column], best[y.column], marker="D", color=theme.COLOURS[0], markersize=5, markeredgecolor=PAPER,
        drawstyle="steps-post", linewidth=1.2, label="Pareto front", zorder=3,
    )  # fmt: skip
    axes.set(title=title, xlabel=x.label, ylabel=y.label)
    axes.margins(0.1)
    theme.legend_below(axes)
