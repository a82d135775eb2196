"""The predicted line is of k1 alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure as Canvas
from report_pages import sweep

from analysis.document.blocks import Figure
from analysis.pages.common import with_dimension
from analysis.pages.mc_variance import dimension


def test_the_prediction_beside_k1_is_of_k1(tmp_path: Path) -> None:
    """The table also predicts the cross-entropy's variance, which must not leak into the line."""
    data = sweep(tmp_path, gradients=False, evidence=False)
    variance = with_dimension(data, "variance")
    variance.loc[variance["quantity"] == "cross_entropy", "predicted"] = 1e6
    canvas = Canvas()
    axes = canvas.add_subplot()
    block = dimension.blocks(data, variance)[1]
    assert isinstance(block, Figure)
    block.panels[0].draw(axes)
    line = next(line for line in axes.lines if line.get_label() == "k1, predicted from (loc, scale)")
    assert np.max(np.asarray(line.get_ydata(), dtype=float)) < 100
