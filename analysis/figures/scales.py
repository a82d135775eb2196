"""Axes that can be read: logarithmic only where the span needs it, ticks at what was measured, plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator


def number(value: float) -> str:
    """A tick label without powers of ten where it can be read without: 0.001, 2, 100k."""
    if value == 0:
        return "0"
    size = abs(value)
    if size >= 1e15 or size < 1e-4:
        return f"{value:.0e}".replace("e-0", "e−").replace("e+0", "e").replace("e-", "e−").replace("e+", "e")
    for scale, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= scale:
            return f"{value / scale:g}{suffix}"
    return f"{value:g}".replace("-", "−")


def log_axis(axis: Any, values: Iterable[float]) -> None:
    """A logarithmic axis with plain numbers; a linear one where positive values span less than a factor of 8.

    Within two decades, 2 and 5 are labelled too: an axis with one label cannot be read.
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    low, high = min(finite, default=1.0), max(finite, default=10.0)
    if low <= 0 or high < 8 * low:
        return
    getattr(axis.axes, f"set_{axis.axis_name}scale")("log")
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 100 * low else (1.0,), numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))


def ticks_at(axis: Any, values: Iterable[float], *, log: bool) -> None:
    """Ticks at the values that were measured, thinned until their labels cannot touch."""
    values = sorted({float(value) for value in values})
    if log:
        getattr(axis.axes, f"set_{axis.axis_name}scale")("log", base=2)
    axis.set_major_locator(FixedLocator(thin(values, log=log)))
    axis.set_minor_locator(FixedLocator(values) if len(values) > 1 else NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    if len(values) == 1:
        low, high = (values[0] / 2, values[0] * 2) if log else (values[0] - 1, values[0] + 1)
        getattr(axis.axes, f"set_{axis.axis_name}lim")(low, high)


def thin(values: Sequence[float], *, log: bool, least: float = 0.065) -> list[float]:
    """The values whose labels fit: neighbours at least `least` of the axis apart; powers of two win a contest."""
    if len(values) < 2:
        return list(values)
    place = math.log2 if log else float
    span = place(values[-1]) - place(values[0])
    ends = (values[0], values[-1])
    kept: list[float] = []
    for value in sorted(values, key=lambda v: (v not in ends, v <= 0 or not math.log2(v).is_integer(), v)):
        if all(abs(place(value) - place(other)) >= least * span for other in kept):
            kept.append(value)
    return sorted(kept)
