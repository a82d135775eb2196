"""What is drawn beside the data: intervals, references with their names, a mark at one x, a second scale."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis.figures.theme import GRID, INK, MUTED, SMALLEST

DASHED = (0, (2, 2))
"""The line of every reference: never that of data."""
OPEN = (0, (1, 1.2))
"""The line of an interval that rests on almost no degrees of freedom."""
FEW_DEGREES = 3


def interval(axes: Axes, x: pd.Series, frame: pd.DataFrame, colour: str, *, horizontal: bool = False) -> None:
    """95 % intervals as plain bars without caps; rows without an interval get none.

    Where the frame has `degrees` (of freedom), an interval from fewer than three is dashed: its width is hardly known.
    """
    bounded = np.isfinite(frame["low"].to_numpy(float)) & np.isfinite(frame["high"].to_numpy(float))
    few = frame["degrees"].to_numpy(float) < FEW_DEGREES if "degrees" in frame else np.zeros(len(frame), dtype=bool)
    draw = axes.hlines if horizontal else axes.vlines
    for rows, style in ((bounded & ~few, "solid"), (bounded & few, OPEN)):
        if rows.any():
            low, high = frame["low"][rows], frame["high"][rows]
            draw(np.asarray(x, float)[rows], low, high, color=colour, linewidth=1.6, linestyle=style, zorder=3)


def reference_line(axes: Axes, value: float, text: str, *, right: bool) -> None:
    """A horizontal reference with its name on the line, at the end that the data leave free."""
    axes.axhline(value, color=MUTED, linewidth=1, linestyle=DASHED, zorder=1)
    axes.annotate(
        text, (0.99 if right else 0.01, value), xycoords=("axes fraction", "data"), xytext=(0, 2),
        textcoords="offset points", ha="right" if right else "left", va="bottom", fontsize=SMALLEST, color=MUTED,
    )  # fmt: skip


def reference_note(axes: Axes, text: str, *, right: bool) -> None:
    """A reference too far below the data to be drawn to scale: its name and value at the bottom."""
    axes.annotate(
        text, (0.99 if right else 0.01, 0.01), xycoords="axes fraction", ha="right" if right else "left", va="bottom",
        fontsize=SMALLEST, color=MUTED,
    )  # fmt: skip


def reference_curve(axes: Axes, frame: pd.DataFrame, *, x: str, y: str, text: str) -> None:
    """A reference that depends on x, with its name in the legend."""
    frame = frame.sort_values(x)
    axes.plot(frame[x], frame[y], color=INK, linewidth=1, linestyle=DASHED, zorder=1, label=text)


def second_axis(axes: Axes, nats_per_bit: float, label: str = "test.bits_per_dim (bits)") -> None:
    """The same heights in bits per dimension: `-nats / (pixels ln 2)`, with `nats_per_bit = pixels ln 2`."""

    low, high = axes.get_ylim()
    if high > 0 and nats_per_bit > 0:  # of discrete data no bound is above 0, and no number of bits below
        axes.set_ylim(low, 0.0)

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
        ha="left", va="top", fontsize=SMALLEST, color=INK,
    )  # fmt: skip
