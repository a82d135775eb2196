"""Axes that can be read: logarithmic only where the span needs it, ticks at what was measured, plain numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from matplotlib.ticker import FixedLocator, Formatter, LogLocator, NullFormatter, NullLocator

PLAIN = (1e-4, 1e6)
"""Sizes of numbers that are written out."""
SUPERSCRIPT = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def numbers(values: Sequence[float]) -> list[str]:
    """Tick labels, all of one form: written out (`0.001`, `2`, `100,000`), or all with powers of ten (`2·10⁻⁵`)."""
    sizes = [abs(value) for value in values if value]
    written_out = not sizes or (PLAIN[0] <= min(sizes) and max(sizes) < PLAIN[1])
    return [_written_out(value) if written_out or not value else _power(value) for value in values]


def _written_out(value: float) -> str:
    """`0.001`, `−2.5`, `100,000`."""
    return f"{value:,.6g}".replace("-", "−")


def _power(value: float) -> str:
    """`10⁻⁵`, `2·10⁶`."""
    mantissa, exponent = f"{value:.3e}".split("e")
    digits = f"{float(mantissa):g}".replace("-", "−")
    ten = f"10{str(int(exponent)).translate(SUPERSCRIPT)}"
    return ten if digits == "1" else f"−{ten}" if digits == "−1" else f"{digits}·{ten}"


class Numbers(Formatter):
    """Labels of the ticks that an axis shows, all of one form."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        """One tick by itself."""
        return numbers([value])[0]

    def format_ticks(self, values: Sequence[float]) -> list[str]:
        """All ticks that the axis shows; those beyond its ends have no say."""
        assert self.axis is not None  # set by the axis that it formats
        low, high = sorted(self.axis.get_view_interval())
        inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)] or list(values)
        texts = dict(zip(inside, numbers(inside)))
        return [texts.get(value, "") for value in values]


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
    axis.set_major_formatter(Numbers())


def ticks_at(axis: Any, values: Iterable[float], *, log: bool) -> None:
    """Ticks at the values that were measured, thinned until their labels cannot touch."""
    values = sorted({float(value) for value in values})
    if log:
        getattr(axis.axes, f"set_{axis.axis_name}scale")("log", base=2)
    axis.set_major_locator(FixedLocator(thin(values, log=log)))
    axis.set_minor_locator(FixedLocator(values) if len(values) > 1 else NullLocator())
    axis.set_minor_formatter(NullFormatter())
    axis.set_major_formatter(Numbers())
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
