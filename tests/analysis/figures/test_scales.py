"""Axes can be read: logarithmic where they must be, labelled, not crowded."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.axes import Axes

from analysis.figures import scales


@pytest.mark.parametrize(("values", "scale"), [([1, 7], "linear"), ([1, 9], "log"), ([0, 100], "linear"), ([], "log")])
def test_logarithmic_axis_only_where_the_span_needs_one(axes: Axes, values: list[float], scale: str) -> None:
    scales.log_axis(axes.yaxis, values)
    assert axes.get_yscale() == scale


@pytest.mark.parametrize("span", [10.0, 50.0, 3000.0, 1e8])
def test_logarithmic_axis_has_at_least_two_labels(axes: Axes, span: float) -> None:
    axes.plot([1, 2], [1.5, 1.5 * span])
    scales.log_axis(axes.yaxis, [1.5, 1.5 * span])
    low, high = axes.get_ylim()
    assert sum(low <= tick <= high for tick in axes.yaxis.get_majorticklocs()) >= 2


def test_thinned_ticks_keep_the_ends_and_their_distance() -> None:
    kept = scales.thin([float(value) for value in range(1, 65)], log=True)
    assert {1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0} <= set(kept)
    assert min(np.diff(np.log2(kept))) >= 0.065 * 6


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([0, 0.001, 10], ["0", "0.001", "10"]),
        ([-2.5, 2048, 1e5], ["−2.5", "2,048", "100,000"]),
        ([1e-7, 0.001, 1], ["10⁻⁷", "10⁻³", "10⁰"]),
        ([0, 2e6, -1e7], ["0", "2·10⁶", "−10⁷"]),
        ([], []),
    ],
)
def test_tick_labels_of_an_axis_have_one_form(values: list[float], texts: list[str]) -> None:
    assert scales.numbers(values) == texts


def test_ticks_beyond_the_ends_of_an_axis_do_not_change_its_labels(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.set_xlim(0.01, 100.0)
    formatter = scales.Numbers()
    axes.xaxis.set_major_formatter(formatter)
    assert formatter.format_ticks([1e-6, 0.01, 1.0, 1e8]) == ["", "0.01", "1", ""]
