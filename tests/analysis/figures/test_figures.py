"""What is drawn is what the frames hold; files are the same bytes every time; labels are read as plain text."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

from analysis import figures, wording
from analysis.figures import theme


@pytest.fixture
def axes() -> Axes:
    return Figure(layout="constrained").add_subplot()


@pytest.fixture
def points() -> pd.DataFrame:
    values = {2: [1.0, 2.0, 3.0], 8: [4.0, 6.0, 8.0], 32: [5.0, 5.0, 5.0]}
    rows = [(d, name, v + shift) for name, shift in (("a", 0.0), ("b", 10.0)) for d in values for v in values[d]]
    return pd.DataFrame(rows, columns=["d", "series", "y"])


@pytest.fixture
def means(points: pd.DataFrame) -> pd.DataFrame:
    table = points.groupby(["d", "series"], as_index=False)["y"].mean().rename(columns={"y": "mean"})
    return table.assign(low=table["mean"] - 0.5, high=table["mean"] + 0.5)


STYLE = {"a": figures.styles([("a", 1)])[("a", 1)], "b": figures.styles([("a", 1), ("b", 1)])[("b", 1)]}


def segments(axes: Axes) -> list[np.ndarray]:
    return [segment for item in axes.collections if isinstance(item, LineCollection) for segment in item.get_segments()]


def against(axes: Axes, points: pd.DataFrame, means: pd.DataFrame, **changes: object) -> None:
    settings = {"x": "d", "y": "y", "series": "series", "style": STYLE, "title": "t", "x_label": "D", "y_label": "nats"}
    figures.against(axes, points, means, **{**settings, "log_x": True, **changes})


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


def test_shares_fill_the_bar(axes: Axes) -> None:
    frame = pd.DataFrame({"name": ["one", "two"], "left": [0.25, 0.9], "right": [0.75, 0.1]})
    figures.shares(axes, frame, name="name", parts=["left", "right"], labels={}, title="t", x_label="share")
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == pytest.approx([0.25, 0.9, 0.75, 0.1])
    assert [text.get_text() for text in axes.texts] == ["25%", "90%", "75%", "10%"]


def test_ratios_mark_the_intervals_that_miss_one(axes: Axes) -> None:
    frame = pd.DataFrame({"trial": [0, 1], "ratio": [1.0, 1.2], "low": [0.9, 1.1], "high": [1.1, 1.3]})
    frame["contains_one"] = [True, False]
    figures.ratios(axes, frame, x="trial", y="ratio", title="t", x_label="trial", y_label="ratio")
    labelled = {line.get_label(): list(line.get_xdata()) for line in axes.lines if not line.get_label().startswith("_")}
    assert labelled == {"interval contains 1": [0], "interval misses 1": [1]}


@pytest.mark.parametrize(("values", "scale"), [([1, 7], "linear"), ([1, 9], "log"), ([0, 100], "linear"), ([], "log")])
def test_logarithmic_axis_only_where_the_span_needs_one(axes: Axes, values: list[float], scale: str) -> None:
    theme.log_axis(axes.yaxis, values)
    assert axes.get_yscale() == scale


@pytest.mark.parametrize("span", [10.0, 50.0, 3000.0, 1e8])
def test_logarithmic_axis_has_at_least_two_labels(axes: Axes, span: float) -> None:
    axes.plot([1, 2], [1.5, 1.5 * span])
    theme.log_axis(axes.yaxis, [1.5, 1.5 * span])
    low, high = axes.get_ylim()
    assert sum(low <= tick <= high for tick in axes.yaxis.get_majorticklocs()) >= 2


def test_thinned_ticks_keep_the_ends_and_their_distance() -> None:
    kept = theme.thin([float(value) for value in range(1, 65)], log=True)
    assert {1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0} <= set(kept)
    assert min(np.diff(np.log2(kept))) >= 0.065 * 6


# --- files ----------------------------------------------------------------------------------------------------------


def test_files_are_the_same_bytes_every_time(tmp_path: Path, points: pd.DataFrame, means: pd.DataFrame) -> None:
    for name in ("first", "second"):
        theme.save(lambda axes: against(axes, points, means), tmp_path / name / "curve", theme.SMALL)
    for suffix in ("svg", "png", "pdf"):
        first, second = ((tmp_path / name / f"curve.{suffix}").read_bytes() for name in ("first", "second"))
        assert first == second
        assert len(first) > 2000


def test_inline_svg_follows_the_page_and_asks_for_nothing(points: pd.DataFrame, means: pd.DataFrame) -> None:
    text = theme.inline(theme.svg(lambda axes: against(axes, points, means), theme.SMALL))
    assert text.startswith("<svg")
    assert "http" not in text
    assert "var(--ink)" in text
    assert not any(fixed in text for fixed in (theme.INK, theme.MUTED, theme.GRID, theme.PAPER))
    assert not re.search(r'<svg[^>]* (width|height)="', text)
    for reference in re.findall(r"#([\w-]+)", text):
        assert f'id="{reference}"' in text or re.fullmatch(r"[0-9a-f]{6}", reference)


@pytest.mark.parametrize("hostile", [r"$\frac{1}{", "<b>&\"'</b>", "a_{b}^c $x$", "ünïcödé √"])
def test_labels_are_plain_text(hostile: str) -> None:
    frame = pd.DataFrame({"name": [hostile, "b"], "value": [1.0, 2.0]})

    def draw(axes: Axes) -> None:
        figures.bars(axes, frame, name="name", value="value", title=hostile, x_label=hostile, texts=[hostile, "b"])

    text = theme.svg(draw, theme.SMALL)
    assert "<b>" not in text
    shown = hostile.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown in text.replace("&quot;", '"')


# --- wording --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((-112.611, -112.92, -112.31), "−112.61 [−112.92, −112.31]"),
        ((0.797, 0.04, 1.55), "0.80 [0.04, 1.55]"),
        ((-0.01, -1.3, 1.2), "0.0 [−1.3, 1.2]"),
        ((-113.25, np.nan, np.nan), "−113.2 (no interval)"),
        ((11.0, 11.0, 11.0), "11"),
        ((np.nan, 0.0, 1.0), "–"),
        ((1500.0, 1000.0, 2000.0), "1500 [1000, 2000]"),
    ],
)
def test_interval_is_written_to_the_precision_it_supports(numbers: tuple[float, float, float], text: str) -> None:
    assert wording.interval(*numbers) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (0.00123456, "0.001235"),
        (12345.6, "12,346"),
        (-2.5, "−2.500"),
        (1e-7, "1.00 × 10⁻⁷"),
        (np.inf, "∞"),
    ],
)
def test_numbers_are_written_without_exponent_where_they_can(value: float, text: str) -> None:
    assert wording.figure(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.001, "0.001"), (2048, "2.048k"), (1e5, "100k"), (1e6, "1M"), (1e-7, "1e−7")],
)
def test_tick_labels(value: float, text: str) -> None:
    assert theme.number(value) == text


def test_lists_in_words() -> None:
    assert wording.listed([]) == "none"
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.listed(range(9), most=3) == "0, 1, 2 and 6 more"
