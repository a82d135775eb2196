"""One row or column per item: bars, shares, differences with their intervals, standardised errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from analysis.figures import theme
from analysis.figures.marks import DASHED, interval
from analysis.figures.scales import numbers
from analysis.figures.series import Axis
from analysis.figures.theme import GRID, INK, MUTED, PAPER, SMALLEST


def bars(axes: Axes, frame: pd.DataFrame, *, name: str, x: Axis, texts: Sequence[str], title: str) -> None:
    """Horizontal bars in the order of the frame, from the top; one of `texts` is written beside each."""
    place = np.arange(len(frame))[::-1]
    axes.barh(place, frame[x.column], color=theme.COLOURS[0], height=0.62)
    for height, width, text in zip(place, frame[x.column], texts):
        axes.annotate(
            text, (width, height), xytext=(4, 0), textcoords="offset points", va="center", fontsize=SMALLEST, color=INK
        )
    axes.set_yticks(place, [_short(text) for text in frame[name]])
    axes.tick_params(axis="y", length=0)
    axes.grid(False)
    axes.margins(x=0.18)
    axes.set(title=title, xlabel=x.label)


def stacked(axes: Axes, frame: pd.DataFrame, *, x: Axis, y_label: str, title: str) -> None:
    """Stacked columns, one per value of x (taken as categories); every other column of the frame is a phase."""
    place = np.arange(len(frame))
    bottom = np.zeros(len(frame))
    for phase in [name for name in frame.columns if name != x.column]:
        heights = frame[phase].fillna(0).to_numpy(float)
        axes.bar(
            place, heights, bottom=bottom, color=theme.phase_colour(phase), width=0.7, label=str(phase),
            edgecolor=PAPER, linewidth=0.5,
        )  # fmt: skip
        bottom += heights
    texts = [
        numbers([float(value)])[0] if isinstance(value, (int, float, np.number)) else _short(value)
        for value in frame[x.column]
    ]
    every = max(1, int(np.ceil(len(texts) / 14)))
    axes.set_xticks(place[::every], texts[::every])
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(title=title, xlabel=x.label, ylabel=y_label)
    theme.legend_below(axes)


def forest(axes: Axes, frame: pd.DataFrame, *, name: str, title: str, x_label: str) -> None:
    """Differences (`mean`, `low`, `high`), one row each, beside the line of no difference."""
    place = np.arange(len(frame))[::-1]
    axes.axvline(0.0, color=MUTED, linewidth=1, linestyle=DASHED, zorder=1)
    interval(axes, pd.Series(place), frame, theme.COLOURS[0], horizontal=True)
    axes.plot(frame["mean"], place, linestyle="", marker="o", color=theme.COLOURS[0], markeredgecolor=PAPER, zorder=4)
    axes.set_yticks(place, [_short(text) for text in frame[name]])
    axes.set_ylim(-0.6, len(frame) - 0.4)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    axes.margins(x=0.1)
    axes.set(title=title, xlabel=x_label)


def z_scores(axes: Axes, frame: pd.DataFrame, *, name: str, limit: float, reach: float, title: str) -> None:
    """Standardised errors of the estimators, with the band that all of them should fall into."""
    place = np.arange(len(frame))[::-1]
    inside = frame["z_score"].abs() <= limit
    axes.axvspan(-limit, limit, color=GRID, alpha=0.6, linewidth=0, zorder=0)
    axes.axvline(0, color=MUTED, linewidth=1)
    for kept, colour, marker in ((inside, theme.COLOURS[0], "o"), (~inside, theme.COLOURS[3], "D")):
        axes.plot(
            frame["z_score"][kept],
            place[kept.to_numpy()],
            linestyle="",
            marker=marker,
            color=colour,
            markeredgecolor=PAPER,
        )
    axes.set_yticks(place, [_short(text, 64) for text in frame[name]])
    axes.set_ylim(-0.7, len(frame) - 0.3)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.set_xlim(-reach, reach)
    axes.set(title=title, xlabel="z score (standard errors)")


def _short(text: object, most: int = 40) -> str:
    """A label that fits; the theme never reads one as mathematics, whatever a configuration holds."""
    text = " ".join(str(text).split())
    return text if len(text) <= most else f"{text[: most - 1]}…"


def shares(axes: Axes, frame: pd.DataFrame, *, name: str, parts: Mapping[str, str], title: str, x_label: str) -> None:
    """Horizontal bars from 0 to 1, cut into parts; a part of at least a twelfth carries its percentage.

    Args:
        axes: Where to draw.
        frame: Column `name` and one column for each part.
        name: Column that names the bars.
        parts: Column of each part -> what the legend says of it.
        title: Of the figure.
        x_label: Of the axis of shares.
    """
    place = np.arange(len(frame))[::-1]
    left = np.zeros(len(frame))
    for position, (part, text) in enumerate(parts.items()):
        widths = frame[part].fillna(0).to_numpy(float)
        axes.barh(
            place,
            widths,
            left=left,
            height=0.62,
            color=theme.COLOURS[position],
            label=text,
            edgecolor=PAPER,
        )
        for height, start, width in zip(place, left, widths):
            if width >= 1 / 12:
                axes.text(
                    start + width / 2,
                    height,
                    f"{width:.0%}",
                    ha="center",
                    va="center",
                    fontsize=SMALLEST,
                    color="#fffffe",
                )
        left += widths
    axes.set_yticks(place, [_short(text) for text in frame[name]])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.set(title=title, xlabel=x_label)
    theme.legend_below(axes)
