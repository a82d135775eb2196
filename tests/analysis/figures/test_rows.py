"""Bars, shares and ratios hold the frames' numbers; labels are plain text."""

from __future__ import annotations

import pandas as pd
import pytest
from matplotlib.axes import Axes

from analysis import figures
from analysis.figures import theme
from analysis.figures.saving import svg


def test_shares_fill_the_bar(axes: Axes) -> None:
    frame = pd.DataFrame({"name": ["one", "two"], "left": [0.25, 0.9], "right": [0.75, 0.1]})
    figures.shares(axes, frame, name="name", parts={"left": "l", "right": "r"}, title="t", x_label="share")
    widths = [patch.get_width() for patch in axes.patches]
    assert widths == pytest.approx([0.25, 0.9, 0.75, 0.1])
    assert [text.get_text() for text in axes.texts] == ["25%", "90%", "75%", "10%"]


def test_ratios_mark_the_intervals_that_miss_one(axes: Axes) -> None:
    frame = pd.DataFrame({"trial": [0, 1], "ratio": [1.0, 1.2], "low": [0.9, 1.1], "high": [1.1, 1.3]})
    frame["contains_one"] = [True, False]
    x, y = figures.Axis("trial", "trial"), figures.Axis("ratio", "ratio")
    figures.ratios(axes, frame, x=x, y=y, title="t")
    labelled = {line.get_label(): list(line.get_xdata()) for line in axes.lines if not line.get_label().startswith("_")}
    assert labelled == {"interval contains 1": [0], "interval misses 1": [1]}


@pytest.mark.parametrize("hostile", [r"$\frac{1}{", "<b>&\"'</b>", "a_{b}^c $x$", "ünïcödé √"])
def test_labels_are_plain_text(hostile: str) -> None:
    frame = pd.DataFrame({"name": [hostile, "b"], "value": [1.0, 2.0]})

    def draw(axes: Axes) -> None:
        x = figures.Axis("value", hostile)
        figures.bars(axes, frame, name="name", x=x, title=hostile, texts=[hostile, "b"])

    text = svg(draw, theme.SMALL)
    assert "<b>" not in text
    shown = hostile.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    assert shown in text.replace("&quot;", '"')
