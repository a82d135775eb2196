"""Single measurements as points: two quantities against each other, clouds with their quartiles, ratios beside 1."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.figures import theme
from analysis.figures.marks import DASHED, interval
from analysis.figures.scales import log_axis
from analysis.figures.series import Axis, Series
from analysis.figures.theme import MUTED, PAPER


def scatter(axes: Axes, frame: pd.DataFrame, *, x: Axis, y: Axis, series: Series, title: str) -> None:
    """Points of two measured quantities."""
    for name, style in series.styles.items():
        rows = frame[frame[series.column] == name].sort_values(x.column)
        look = dict(style, linestyle="")
        filled = look["marker"] not in "x+"
        axes.plot(
            rows[x.column], rows[y.column], **look, markersize=4.5, alpha=0.9, markeredgewidth=0.5 if filled else 1,
            markeredgecolor=PAPER if filled else look["color"], label=series.text(name),
            rasterized=len(frame) > theme.RASTER_FROM, zorder=3,
        )  # fmt: skip
    axes.set(title=title, xlabel=x.label, ylabel=y.label)
    axes.margins(0.07)
    if len(series.styles) > 1:
        theme.legend_below(axes)


def cloud(axes: Axes, frame: pd.DataFrame, bins: pd.DataFrame, *, x: Axis, y: Axis, title: str) -> None:
    """Many faint points over a logarithmic x, and the median of each bin of them with its quartiles."""
    log_axis(axes.xaxis, frame[x.column])
    axes.plot(
        frame[x.column], frame[y.column], linestyle="", marker="o", markersize=2.5, alpha=0.25, color=theme.COLOURS[5],
        markeredgewidth=0, rasterized=len(frame) > theme.RASTER_FROM, zorder=2,
    )  # fmt: skip
    interval(axes, bins[x.column], bins, theme.COLOURS[0])
    axes.plot(
        bins[x.column], bins["median"], color=theme.COLOURS[0], marker="o", markersize=4, markeredgecolor=PAPER,
        zorder=4,
    )  # fmt: skip
    axes.axvline(1.0, color=MUTED, linewidth=1, linestyle=DASHED, zorder=1)
    axes.set(title=title, xlabel=x.label, ylabel=y.label)


def ratios(axes: Axes, frame: pd.DataFrame, *, x: Axis, y: Axis, title: str) -> None:
    """Ratios with their intervals (`low`, `high`) beside 1; those whose interval misses it are marked."""
    axes.axhline(1.0, color=MUTED, linewidth=1, zorder=1)
    missed = ~frame["contains_one"].astype(bool)
    for rows, colour, marker, text in (
        (frame[~missed], theme.COLOURS[0], "o", "interval contains 1"),
        (frame[missed], theme.COLOURS[3], "D", "interval misses 1"),
    ):
        if rows.empty:
            continue
        many, place = len(frame) > theme.RASTER_FROM, rows[x.column]
        collection = axes.vlines(place, rows["low"], rows["high"], color=colour, linewidth=1.2, alpha=0.6, zorder=2)
        collection.set_rasterized(many)
        axes.plot(
            place, rows[y.column], linestyle="", marker=marker, markersize=4 if len(frame) < 200 else 2.5, color=colour,
            markeredgewidth=0, label=text, zorder=3, rasterized=many,
        )  # fmt: skip
    axes.set(title=title, xlabel=x.label, ylabel=y.label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    theme.legend_below(axes)


def quantiles(axes: Axes, frames: Mapping[str, pd.DataFrame], *, title: str) -> None:
    """Scores in order (`score`) against the normal quantiles of their ranks (`expected`), beside their equality."""
    ends = [min(frame[["expected", "score"]].min().min() for frame in frames.values()),
            max(frame[["expected", "score"]].max().max() for frame in frames.values())]  # fmt: skip
    axes.plot(ends, ends, color=MUTED, linewidth=1, zorder=1)
    for (name, frame), colour, marker in zip(frames.items(), theme.COLOURS, "o^sD", strict=False):
        axes.plot(
            frame["expected"], frame["score"], linestyle="", marker=marker, color=colour, label=name, zorder=3,
            markersize=4 if len(frame) < 200 else 2.5, markeredgewidth=0, rasterized=len(frame) > theme.RASTER_FROM,
        )  # fmt: skip
    axes.set(title=title, xlabel="normal quantile (standard errors)", ylabel="z score (standard errors)")
    theme.legend_below(axes)
