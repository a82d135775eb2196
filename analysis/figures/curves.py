"""Quantities against a setting: every replicate, means with intervals, fitted lines, references."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.figures import theme
from analysis.figures.theme import GRID, INK, MUTED, PAPER

Style = dict[str, Any]
"""matplotlib's line properties."""
Styles = Mapping[Any, Style]
"""How each series looks, in the order of the legend."""


def styles(keys: Sequence[tuple[object, ...]]) -> dict[tuple[object, ...], Style]:
    """Colour by the first part of each key, marker and dash by the second: colour is never the only difference."""
    firsts = list(dict.fromkeys(key[0] for key in keys))
    seconds = list(dict.fromkeys(key[1:] for key in keys))
    return {
        key: {
            "color": theme.colour(key[0], firsts.index(key[0])),
            "marker": theme.MARKERS[seconds.index(key[1:]) % len(theme.MARKERS)],
            "linestyle": theme.LINES[seconds.index(key[1:]) % len(theme.LINES)],
        }
        for key in keys
    }


def against(
    axes: Axes,
    points: pd.DataFrame,
    means: pd.DataFrame,
    *,
    x: str,
    y: str,
    series: str,
    style: Styles,
    title: str,
    x_label: str,
    y_label: str,
    log_x: bool,
    log_y: bool = False,
    legend: bool = True,
) -> None:
    """Every replicate as a small point, the mean of each (x, series) with its 95 % interval, joined by a line.

    Args:
        points: columns x, series, y.
        means: columns x, series, `mean`, `low`, `high`.
        style: how each series looks, in the order of the legend.
    """
    if log_y:
        theme.log_axis(axes.yaxis, points[y])
    theme.ticks_at(axes.xaxis, means[x], log=log_x)
    names = [name for name in style if (means[series] == name).any()]
    step = _dodge(means[x], len(names), log=log_x)
    aside = 0.45 * step  # replicates stand beside their interval, not under it
    for place, name in enumerate(names):
        look = style[name]
        shift = step * (place - (len(names) - 1) / 2)
        mine = means[means[series] == name].sort_values(x)
        each = points[points[series] == name]
        axes.plot(
            _moved(each[x], shift + aside, log=log_x), each[y], linestyle="", marker=look["marker"],
            color=look["color"], markersize=3, alpha=0.5, markeredgewidth=0, zorder=2,
            rasterized=len(points) > theme.RASTER_FROM,
        )  # fmt: skip
        centre = _moved(mine[x], shift, log=log_x)
        interval(axes, centre, mine, str(look["color"]))
        joined = dict(look, linestyle=look["linestyle"] if len(mine) > 1 else "")
        axes.plot(
            centre, mine["mean"], **joined, linewidth=1.1, markersize=5, markeredgecolor=PAPER, markeredgewidth=0.8,
            label=str(name) if legend else None, zorder=4,
        )  # fmt: skip
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    axes.margins(y=0.1)
    if log_y:
        _fit(axes, points[y])
    if legend and (len(names) > 1 or axes.get_legend_handles_labels()[1][1:]):
        theme.legend_below(axes)


def interval(axes: Axes, x: pd.Series, frame: pd.DataFrame, colour: str, *, horizontal: bool = False) -> None:
    """95 % intervals as plain bars without caps; rows without an interval get none."""
    known = np.isfinite(frame["low"].to_numpy(float)) & np.isfinite(frame["high"].to_numpy(float))
    if known.any():
        draw = axes.hlines if horizontal else axes.vlines
        draw(
            np.asarray(x, float)[known],
            frame["low"][known],
            frame["high"][known],
            color=colour,
            linewidth=1.6,
            zorder=3,
        )


def _fit(axes: Axes, values: pd.Series) -> None:
    """Let the marks set a logarithmic axis: the interval of two replicates spans decades, and is cut at the edge."""
    if axes.get_yscale() == "log":
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, float(values.min()) / 3), min(high, float(values.max()) * 3))


def _moved(values: pd.Series, shift: float, *, log: bool) -> pd.Series:
    return values.astype(float) * 2**shift if log else values.astype(float) + shift


def _dodge(values: pd.Series, names: int, *, log: bool) -> float:
    """Sideways shift between series that share an x, so that their intervals do not hide each other."""
    unique = np.unique(values.astype(float))
    places = np.log2(unique) if log else unique
    gap = float(np.diff(places).min()) if len(places) > 1 else 1.0
    span = float(places[-1] - places[0]) if len(places) > 1 else 1.0
    return min(0.6 * gap, 0.09 * span if span > 0 else 0.3) / max(names, 3)


def reference_line(axes: Axes, value: float, text: str, *, right: bool) -> None:
    """A horizontal reference with its name on the line, at the end that the data leave free."""
    axes.axhline(value, color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    axes.annotate(
        text, (0.99 if right else 0.01, value), xycoords=("axes fraction", "data"), xytext=(0, 2),
        textcoords="offset points", ha="right" if right else "left", va="bottom", fontsize=8.5, color=MUTED,
    )  # fmt: skip


def reference_note(axes: Axes, text: str, *, right: bool) -> None:
    """A reference too far below the data to be drawn to scale: its name and value at the bottom."""
    axes.annotate(
        text, (0.99 if right else 0.01, 0.01), xycoords="axes fraction", ha="right" if right else "left", va="bottom",
        fontsize=8.5, color=MUTED,
    )  # fmt: skip


def reference_curve(axes: Axes, frame: pd.DataFrame, *, x: str, y: str, text: str) -> None:
    """A reference that depends on x, with its name in the legend."""
    frame = frame.sort_values(x)
    axes.plot(frame[x], frame[y], color=INK, linewidth=1, linestyle=(0, (2, 2)), zorder=1, label=text)


def second_axis(axes: Axes, nats_per_bit: float, label: str = "test.bits_per_dim (bits)") -> None:
    """The same heights in bits per dimension: `-nats / (pixels ln 2)`, with `nats_per_bit = pixels ln 2`."""

    def scaled(by: float) -> Callable[[Any], Any]:
        return lambda values: values * by

    other = axes.secondary_yaxis("right", functions=(scaled(-1.0 / nats_per_bit), scaled(-nats_per_bit)))
    other.set_ylabel(label)
    other.spines["right"].set_visible(True)


def mark(axes: Axes, x: float, low: float, high: float, text: str) -> None:
    """A vertical mark at x with a band for its interval and its name at the top."""
    if np.isfinite(low) and np.isfinite(high) and high > low:
        axes.axvspan(low, high, color=GRID, alpha=0.6, linewidth=0, zorder=0)
    axes.axvline(x, color=MUTED, linewidth=1, zorder=1)
    axes.annotate(
        text, (x, 1.0), xycoords=("data", "axes fraction"), xytext=(4, -3), textcoords="offset points",
        ha="left", va="top", fontsize=8.5, color=INK,
    )  # fmt: skip


def log_log(
    axes: Axes, measured: pd.DataFrame, fits: pd.DataFrame, *, series: str, style: Styles,
    title: str, x_label: str, y_label: str, slopes: Mapping[Any, str],
) -> None:  # fmt: skip
    """A variance against L on logarithmic axes, the fitted line of each series, and the -1 line beside them.

    Args:
        measured: columns `num_samples`, series, `mean`, `low`, `high`.
        fits: columns series, `num_samples`, `fitted` (the fitted line at its ends), and series "-1 line".
        slopes: what the legend says of each series.
    """
    theme.log_axis(axes.yaxis, measured["mean"])
    theme.ticks_at(axes.xaxis, measured["num_samples"], log=True)
    for name, look in style.items():
        mine = measured[measured[series] == name].sort_values("num_samples")
        if mine.empty:
            continue
        interval(axes, mine["num_samples"], mine, str(look["color"]))
        axes.plot(
            mine["num_samples"], mine["mean"], linestyle="", marker=look["marker"], color=look["color"],
            markeredgecolor=PAPER, markeredgewidth=0.7, zorder=4,
        )  # fmt: skip
        line = fits[fits[series] == name]
        axes.plot(line["num_samples"], line["fitted"], color=look["color"], linestyle=look["linestyle"], zorder=3)
        axes.plot([], [], **look, label=slopes.get(name, str(name)))
    minus_one = fits[fits[series] == "-1 line"]
    if not minus_one.empty:
        axes.plot(
            minus_one["num_samples"], minus_one["fitted"], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1
        )
        axes.plot([], [], color=MUTED, linewidth=1, linestyle=(0, (2, 2)), label="slope −1")
    _fit(axes, measured["mean"])
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    theme.legend_below(axes, columns=1)


def scatter(
    axes: Axes, frame: pd.DataFrame, *, x: str, y: str, series: str | None, title: str, x_label: str, y_label: str,
    style: Styles | None = None, log_x: bool = False, log_y: bool = False, line: bool = False,
) -> None:  # fmt: skip
    """Points of two measured quantities, joined in order of x when `line`."""
    if log_x:
        theme.log_axis(axes.xaxis, frame[x])
    if log_y:
        theme.log_axis(axes.yaxis, frame[y])
    names = [None] if series is None else list(style or dict.fromkeys(frame[series]))
    for position, name in enumerate(names):
        mine = (frame if series is None else frame[frame[series] == name]).sort_values(x)
        look = dict((style or {}).get(name, {"color": theme.colour(name, position), "marker": "o", "linestyle": "-"}))
        look["linestyle"] = look["linestyle"] if line else ""
        axes.plot(
            mine[x], mine[y], **look, markersize=4.5, alpha=0.9, markeredgewidth=1 if look["marker"] in "x+" else 0.5,
            markeredgecolor=look["color"] if look["marker"] in "x+" else PAPER,
            label=None if name is None else str(name), rasterized=len(frame) > theme.RASTER_FROM, zorder=3,
        )  # fmt: skip
        if {"low", "high"} <= set(mine.columns):
            interval(axes, mine[x], mine, str(look["color"]))
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.margins(0.07)
    if series is not None and len(names) > 1:
        theme.legend_below(axes)


def lines(
    axes: Axes, frame: pd.DataFrame, *, x: str, y: str, series: str, style: Styles, title: str,
    x_label: str, y_label: str, log_y: bool = True, enough: str | None = None, reach: float | None = None,
) -> None:  # fmt: skip
    """One line per series over a logarithmic x, with intervals where the frame has `low` and `high`.

    `reach` is a value that the y axis must include. One series needs no legend.

    `enough` names a column with the x from which on theory expects y = 0; a tick on that line marks it.
    """
    if log_y:
        theme.log_axis(axes.yaxis, frame[y] if reach is None else [*frame[y], reach])
    ordered = [name for name in style if (frame[series] == name).any()]
    ticks = sorted(frame[x].unique())
    if len(ticks) > 1 and ticks[-1] / ticks[0] > 2000:
        theme.log_axis(axes.xaxis, ticks)
    else:
        theme.ticks_at(axes.xaxis, ticks, log=True)
    for name in ordered:
        mine = frame[frame[series] == name].sort_values(x)
        if {"low", "high"} <= set(mine.columns):
            positive = mine if not log_y else mine.assign(low=mine["low"].where(mine["low"] > 0))
            interval(axes, mine[x], positive, str(style[name]["color"]))
        axes.plot(
            mine[x], mine[y], **style[name], label=str(name), markeredgecolor=PAPER, markeredgewidth=0.6, zorder=4
        )
        if enough is not None:
            reached = mine.loc[mine[enough].between(ticks[0], ticks[-1]), enough].head(1)
            axes.plot(reached, 0 * reached, color=style[name]["color"], marker="|", markersize=12, linestyle="")
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.margins(y=0.1)
    if len(ordered) > 1:
        theme.legend_below(axes)


def cloud(
    axes: Axes, frame: pd.DataFrame, bins: pd.DataFrame, *, x: str, y: str, title: str, x_label: str, y_label: str
) -> None:
    """Many faint points over a logarithmic x, and the median of each bin of them with its quartiles."""
    theme.log_axis(axes.xaxis, frame[x])
    axes.plot(
        frame[x], frame[y], linestyle="", marker="o", markersize=2.5, alpha=0.25, color=theme.COLOURS[5],
        markeredgewidth=0, rasterized=len(frame) > theme.RASTER_FROM, zorder=2,
    )  # fmt: skip
    interval(axes, bins[x], bins, theme.COLOURS[0])
    axes.plot(
        bins[x], bins["median"], color=theme.COLOURS[0], marker="o", markersize=4, markeredgecolor=PAPER, zorder=4
    )
    axes.axvline(1.0, color=MUTED, linewidth=1, linestyle=(0, (2, 2)), zorder=1)
    axes.set(title=title, xlabel=x_label, ylabel=y_label)


def histories(
    axes: Axes, frame: pd.DataFrame, *, series: str, style: Styles, title: str, y_label: str, top: float
) -> None:
    """A quantity against epoch, one thin line for each `line` of a series; values above `top` are cut off.

    Args:
        frame: columns `epoch`, `value`, series, and `line`, which tells the lines of one series apart.
    """
    for name, look in style.items():
        mine = frame[frame[series] == name]
        for place, (_, line) in enumerate(mine.groupby("line", sort=True)):
            axes.plot(
                line["epoch"], line["value"], color=look["color"], linestyle=look.get("linestyle", "-"), linewidth=1.2,
                label=str(name) if place == 0 else None,
            )  # fmt: skip
    low = float(frame["value"].min())
    if top > low:
        axes.set_ylim(low - 0.05 * (top - low), top + 0.05 * (top - low))
    axes.set(title=title, xlabel="epoch", ylabel=y_label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    theme.legend_below(axes)
