"""Every figure of every page: no text is small, cut or on another, no series hides, numbers have one form an axis."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import figure_faults
import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from report_pages import sweep

from analysis import report
from analysis.document.blocks import Figure, Opening, Panel
from analysis.figures import theme
from analysis.figures.saving import drawn

SWEEPS: dict[str, dict[str, Any]] = {
    "search": {"dims": (2, 8, 15, 64), "search_trials": 6, "confirm_trials": 2},
    "small": {"dims": (8,), "replicates": 1, "epochs": 3},
    "many series": {
        "num_samples": (1, 4, 16),
        "estimators": ("closed_form", "monte_carlo", "control_variate"),
        "gradients": False,
        "evidence": False,
        "calibration": False,
        "variance_study": False,
    },
}


def canvas(panel: Panel) -> Canvas:
    """A figure as it is saved."""
    figure = drawn(panel.draw, panel.size)
    figure.draw_without_rendering()
    return figure


@pytest.fixture(scope="module", params=SWEEPS)
def canvases(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Canvas]:
    """Every figure of a report by the name of its file, drawn and laid out."""
    data = sweep(tmp_path_factory.mktemp("figures"), pictures=False, **SWEEPS[request.param])
    blocks = [block for build in report.PAGES.values() for block in build(data).blocks]
    figures = [block.figure if isinstance(block, Opening) else block for block in blocks]
    panels = {panel.name: panel for figure in figures if isinstance(figure, Figure) for panel in figure.panels}
    with mpl.rc_context(theme.rc()):
        return {name: canvas(panel) for name, panel in panels.items()}


@pytest.mark.parametrize(
    "faults",
    [figure_faults.small, figure_faults.cut, figure_faults.overlapping, figure_faults.mixed, figure_faults.hidden],
)
def test_no_figure_has_the_fault(canvases: dict[str, Canvas], faults: Callable[[Canvas], list[object]]) -> None:
    assert len(canvases) > 5
    assert {name: found for name, figure in canvases.items() if (found := faults(figure))} == {}


def faulty(axes: Axes) -> None:
    """Has every fault."""
    axes.plot([1, 2], [1, 2], "o", label="one")
    axes.plot([1, 2], [1, 2], "s", label="two")
    axes.set_yticks([1, 2], ["10k", "0.5"])
    axes.text(1.5, 1.5, "on another", fontsize=7)
    axes.text(1.5, 1.5, "text", fontsize=9)
    axes.text(1.9, 1.2, "a text that ends far beyond the edge of the figure").set_in_layout(False)


def test_each_fault_is_found() -> None:
    with mpl.rc_context(theme.rc()):
        figure = drawn(faulty, theme.SMALL)
        figure.draw_without_rendering()
        assert figure_faults.small(figure) == ["on another"]
        assert figure_faults.cut(figure) == ["a text that ends far beyond the edge of the figure"]
        assert ("on another", "text") in figure_faults.overlapping(figure)
        assert figure_faults.mixed(figure) == [["10k", "0.5"]]
        assert figure_faults.hidden(figure) == [("one", "two")]


def test_a_sweep_of_one_dimension_and_one_seed_draws_no_curve_of_one_point(tmp_path: Path) -> None:
    data = sweep(tmp_path, dims=(8,), replicates=1, estimators=("closed_form",), pictures=False)
    blocks = [block for build in report.PAGES.values() for block in build(data).blocks]
    names = {panel.name for block in blocks if isinstance(block, Figure) for panel in block.panels}
    lonely = {"k1_ratio", "k3_variance", "variance_vs_dimension", "pareto_training", "trials_per_dimension"}
    assert names.isdisjoint({*lonely, "search_history"})


def test_every_dimension_of_the_prior_is_drawn_or_counted(tmp_path: Path) -> None:
    dims = (2, 3, 4, 6, 8, 12, 16, 24, 32)
    data = sweep(tmp_path, dims=dims, estimators=("closed_form",), pictures=False, gradients=False)
    blocks = [block for block in report.PAGES["mc_variance"](data).blocks if isinstance(block, Figure)]
    (figure,) = [block for block in blocks if block.panels[0].name == "prior_bias"]
    with mpl.rc_context(theme.rc()):
        lines = [line for line in canvas(figure.panels[0]).axes[0].lines if str(line.get_label()).startswith("D =")]
    assert len(lines) == 8
    assert "8 of 9 latent dimensions are drawn, evenly spread" in figure.caption
    assert all(np.isfinite(np.asarray(line.get_ydata(), float)).any() for line in lines)
