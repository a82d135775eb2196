"""What is drawn is what the frames hold: every replicate, every mean with its interval."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from drawn_curve import against
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis import figures
from analysis.figures import theme


def segments(axes: Axes) -> list[np.ndarray]:
    return [segment for item in axes.collections if isinstance(item, LineCollection) for segment in item.get_segments()]


def test_every_replicate_is_a_point_and_every_mean_has_its_interval(
    axes: Axes, points: pd.DataFrame, means: pd.DataFrame
) -> None:
    against(axes, points, means)
    drawn = np.concatenate([np.asarray(line.get_ydata(), dtype=float) for line in axes.lines])
    assert sorted(drawn) == sorted([*points["y"], *means["mean"]])
    ends = sorted((segment[0, 1], segment[1, 1]) for segment in segments(axes))
    assert ends == sorted(zip(means["low"], means["high"]))


def test_a_mean_without_interval_gets_none(axes: Axes, points: pd.DataFrame, means: pd.DataFrame) -> None:
    against(axes, points, means.assign(low=np.nan, high=np.nan))
    assert segments(axes) == []


def test_series_at_one_x_do_not_hide_each_other(axes: Axes, points: pd.DataFrame, means: pd.DataFrame) -> None:
    against(axes, points, means)
    places = [segment[0, 0] for segment in segments(axes)]
    assert len(set(places)) == len(means)
    for place, d in zip(sorted(places), sorted(means["d"])):
        assert abs(np.log2(place / d)) < 0.5  # nearer to its own D than to any other


def test_legend_lies_outside_the_axes(points: pd.DataFrame, means: pd.DataFrame) -> None:
    figure = Figure(layout="constrained", figsize=theme.SMALL)
    axes = figure.add_subplot()
    against(axes, points, means)
    figure.draw_without_rendering()
    legend = figure.legends[0].get_window_extent()
    assert axes.get_legend() is None
    assert legend.y1 <= axes.get_tightbbox().y0 + 1


def test_style_varies_colour_by_the_first_key_and_marker_by_the_second() -> None:
    looks = figures.styles([("closed_form", 1), ("closed_form", 4), ("monte_carlo", 1)])
    assert looks[("closed_form", 1)]["color"] == looks[("closed_form", 4)]["color"]
    assert looks[("closed_form", 1)]["marker"] == looks[("monte_carlo", 1)]["marker"]
    assert looks[("closed_form", 1)]["marker"] != looks[("closed_form", 4)]["marker"]
    assert looks[("closed_form", 1)]["color"] != looks[("monte_carlo", 1)]["color"]


def test_second_axis_is_the_same_height_in_bits(axes: Axes) -> None:
    nats_per_bit = 784 * np.log(2.0)
    axes.set_ylim(-600.0, -500.0)
    figures.second_axis(axes, nats_per_bit)
    other = axes.child_axes[0]
    axes.figure.draw_without_rendering()
    for nats in (-600.0, -540.0, -500.0):
        height = axes.transData.transform((0.0, nats))[1]
        assert other.transData.transform((0.0, -nats / nats_per_bit))[1] == pytest.approx(height)


def test_the_axis_of_bits_does_not_run_below_zero(axes: Axes) -> None:
    axes.plot([1, 2], [-30.0, -1.0])
    axes.margins(y=0.3)
    figures.second_axis(axes, 784 * np.log(2.0))
    assert axes.get_ylim()[1] == 0.0
    assert axes.get_ylim()[0] < -30.0
