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
    ("value", "text"),
    [(0, "0"), (0.001, "0.001"), (2048, "2.048k"), (1e5, "100k"), (1e6, "1M"), (1e-7, "1e−7")],
)
def test_tick_labels(value: float, text: str) -> None:
    assert scales.number(value) == text
