"""Quantities against a setting: every replicate, means with their intervals, fitted lines, histories."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.figures import theme
from analysis.figures.marks import DASHED, interval
from analysis.figures.scales import log_axis, ticks_at
from analysis.figures.series import Axis, Series
from analysis.figures.theme import MUTED, PAPER

MINUS_ONE = "-1 line"
"""In the fits of `log_log`: the line that independent draws must be parallel to."""


def against(
    axes: Axes, points: pd.DataFrame, means: pd.DataFrame, *, x: Axis, y: Axis, series: Series, title: str
) -> None:
    """Every replicate as a small point, the mean of each (x, series) with its 95 % interval, joined by a line.

    Args:
        axes: Where to draw.
        points: Columns x, y, series.
        means: Columns x, series, `mean`, `low`, `high`.
        x: The setting; a tick at each of its values.
        y: The quantity.
        series: The lines.
        title: Of the figure.
    """
    if y.log:
        log_axis(axes.yaxis, points[y.column])
    ticks_at(axes.xaxis, means[x.column], log=x.log)
    names = [name for name in series.styles if (means[series.column] == name).any()]
    step = _dodge(means[x.column], len(names), log=x.log)
    for place, name in enumerate(names):
        shift = step * (place - (len(names) - 1) / 2)
        each = points[points[series.column] == name]
        # Replicates stand beside their interval, not under it.
        aside = _moved(each[x.column], shift + 0.45 * step, log=x.log)
        look = series.styles[name]
        axes.plot(
            aside, each[y.column], linestyle="", marker=look["marker"], color=look["color"], markersize=3, alpha=0.5,
            markeredgewidth=0, zorder=2, rasterized=len(points) > theme.RASTER_FROM,
        )  # fmt: skip
        _mean_line(axes, means[means[series.column] == name].sort_values(x.column), x, series, name, shift)
    axes.set(xlabel=x.label, ylabel=y.label, title=title)
    axes.margins(y=0.1)
    if y.log:
        _fit(axes, points[y.column])
    if len(names) > 1 or axes.get_legend_handles_labels()[1][1:]:
        theme.legend_below(axes)


def _mean_line(axes: Axes, means: pd.DataFrame, x: Axis, series: Series, name: str, shift: float) -> None:
    """The means of one series with their intervals, joined."""
    look = series.styles[name]
    centre = _moved(means[x.column], shift, log=x.log)
    interval(axes, centre, means, str(look["color"]))
    joined = dict(look, linestyle=look["linestyle"] if len(means) > 1 else "")
    axes.plot(
        centre, means["mean"], **joined, linewidth=1.1, markersize=5, markeredgecolor=PAPER, markeredgewidth=0.8,
        label=series.text(name), zorder=4,
    )  # fmt: skip


def _fit(axes: Axes, values: pd.Series) -> None:
    """Let the marks set a logarithmic axis: the interval of two replicates spans decades, and is cut at the edge."""
    if axes.get_yscale() == "log":
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, float(values.min()) / 3), min(high, float(values.max()) * 3))


def _moved(values: pd.Series, shift: float, *, log: bool) -> pd.Series:
    """Values shifted sideways: by a share of an octave on a logarithmic axis."""
    return values.astype(float) * 2**shift if log else values.astype(float) + shift


def _dodge(values: pd.Series, names: int, *, log: bool) -> float:
    """Sideways shift between series that share an x, so that their intervals do not hide each other."""
    unique = np.unique(values.astype(float))
    places = np.log2(unique) if log else unique
    gap = float(np.diff(places).min()) if len(places) > 1 else 1.0
    if len(places) < 2:
        return 0.8 / max(names, 3)
    return min(0.6 * gap, 0.09 * float(places[-1] - places[0])) / max(names, 3)


def _shifts(frame: pd.DataFrame, x: Axis, series: Series) -> dict[str, float]:
    """The series that have rows, each with its shift on a logarithmic x: equal numbers do not hide each other."""
    names = [name for name in series.styles if (frame[series.column] == name).any()]
    step = _dodge(frame[x.column], len(names), log=True)
    return {name: step * (place - (len(names) - 1) / 2) for place, name in enumerate(names)}


def log_log(
    axes: Axes, measured: pd.DataFrame, fits: pd.DataFrame, *, x: Axis, y: Axis, series: Series, title: str
) -> None:
    """Means on logarithmic axes, the fitted line of each series, and the slope -1 beside them.

    Args:
        axes: Where to draw.
        measured: Columns x, series, y, `low`, `high`.
        fits: Columns series, x, `fitted` (each fitted line at its ends), and the series `MINUS_ONE`.
        x: The number of draws; a tick at each that was measured.
        y: The mean of a variance.
        series: The lines; its texts hold their slopes.
        title: Of the figure.
    """
    log_axis(axes.yaxis, measured[y.column])
    ticks_at(axes.xaxis, measured[x.column], log=True)
    for name, shift in _shifts(measured, x, series).items():
        look = series.styles[name]
        rows = measured[measured[series.column] == name].sort_values(x.column)
        place = _moved(rows[x.column], shift, log=True)
        interval(axes, place, rows, str(look["color"]))
        axes.plot(
            place, rows[y.column], linestyle="", marker=look["marker"], color=look["color"], markersize=4.5,
            markeredgecolor=PAPER, markeredgewidth=0.7, zorder=4,
        )  # fmt: skip
        line = fits[fits[series.column] == name]
        axes.plot(
            _moved(line[x.column], shift, log=True), line["fitted"], color=look["color"], linestyle=look["linestyle"],
            linewidth=1.1, zorder=3,
        )  # fmt: skip
        axes.plot([], [], **look, label=series.text(name))
    minus_one = fits[fits[series.column] == MINUS_ONE]
    if not minus_one.empty:
        axes.plot(minus_one[x.column], minus_one["fitted"], color=MUTED, linewidth=1, linestyle=DASHED, zorder=1)
        axes.plot([], [], color=MUTED, linewidth=1, linestyle=DASHED, label="slope −1")
    _fit(axes, measured[y.column])
    axes.set(title=title, xlabel=x.label, ylabel=y.label)
    theme.legend_below(axes, columns=1)


def lines(
    axes: Axes, frame: pd.DataFrame, *, x: Axis, y: Axis, series: Series, title: str, enough: str | None = None
) -> None:
    """One line per series over a logarithmic x, with intervals where the frame has `low` and `high`.

    Args:
        axes: Where to draw.
        frame: Columns x, y, series, and perhaps `low` and `high`.
        x: The setting, positive; a tick at each of its values unless they span more than three decades.
        y: The quantity.
        series: The lines; one alone needs no legend.
        title: Of the figure.
        enough: Column with the x from which on theory expects y = 0; a tick on that line marks it.
    """
    if y.log:
        log_axis(axes.yaxis, frame[y.column] if y.reach is None else [*frame[y.column], y.reach])
    shifts = _shifts(frame, x, series)
    ticks = sorted(frame[x.column].unique())
    if len(ticks) > 1 and ticks[-1] / ticks[0] > 2000:
        log_axis(axes.xaxis, ticks)
    else:
        ticks_at(axes.xaxis, ticks, log=True)
    for name, shift in shifts.items():
        rows, look = frame[frame[series.column] == name].sort_values(x.column), series.styles[name]
        place = _moved(rows[x.column], shift, log=True)
        if {"low", "high"} <= set(rows.columns):
            positive = rows if not y.log else rows.assign(low=rows["low"].where(rows["low"] > 0))
            interval(axes, place, positive, str(look["color"]))
        axes.plot(
            place, rows[y.column], **look, linewidth=1.2, markersize=4.5, label=series.text(name),
            markeredgecolor=PAPER, markeredgewidth=0.6,
            zorder=4,
        )  # fmt: skip
        if enough is not None:
            reached = rows.loc[rows[enough].between(ticks[0], ticks[-1]), enough].head(1)
            axes.plot(reached, 0 * reached, color=look["color"], marker="|", markersize=12, linestyle="")
    axes.set(title=title, xlabel=x.label, ylabel=y.label)
    axes.margins(y=0.1)
    if len(shifts) > 1:
        theme.legend_below(axes)


def histories(axes: Axes, frame: pd.DataFrame, *, y: Axis, series: Series, title: str) -> None:
    """A quantity against epoch, one thin line for each `line` of a series; values above `y.reach` are cut off.

    Args:
        axes: Where to draw.
        frame: Columns `epoch`, y, series, and `line`, which tells the lines of one series apart.
        y: The quantity.
        series: The groups of lines.
        title: Of the figure.
    """
    for name, look in series.styles.items():
        rows = frame[frame[series.column] == name]
        for place, (_, line) in enumerate(rows.groupby("line", sort=True)):
            axes.plot(
                line["epoch"], line[y.column], color=look["color"], linestyle=look.get("linestyle", "-"), linewidth=1.2,
                label=series.text(name) if place == 0 else None,
            )  # fmt: skip
    low = float(frame[y.column].min())
    if y.reach is not None and y.reach > low:
        axes.set_ylim(low - 0.05 * (y.reach - low), y.reach + 0.05 * (y.reach - low))
    axes.set(title=title, xlabel="epoch", ylabel=y.label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    theme.legend_below(axes)
