"""Every page says what its sweep lacks, and draws nothing empty."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_pages import NOTHING, draw, notes, sweep

from analysis import report, tables
from analysis.pages.elbo_vs_dimension import page as elbo_vs_dimension
from analysis.pages.mc_variance import page as mc_variance
from analysis.pages.overview import page as overview
from analysis.pages.pictures import page as pictures
from analysis.pages.provenance import page as provenance
from analysis.pages.trials import page as trials


@pytest.mark.parametrize(
    ("options", "module", "said"),
    [
        ({"failed": 10**6}, trials, "No trial has finished"),
        ({"failed": 10**6}, overview, "nothing can be ranked"),
        ({"failed": 10**6}, elbo_vs_dimension, "there is no curve"),
        ({"failed": 10**6}, mc_variance, "no variance study"),
        ({"failed": 10**6}, pictures, "nothing to draw from"),
        ({"state": "running", "running": 1}, trials, "This sweep is running"),
        ({"dims": (8,)}, elbo_vs_dimension, "one point is not a curve"),
        ({"trials": 1, "replicates": 1}, elbo_vs_dimension, "one point is not a curve"),
        ({"trials": 1, "replicates": 1}, trials, "no search to show"),
        ({"estimators": ("closed_form",)}, elbo_vs_dimension, "nothing to compare"),
        (NOTHING, mc_variance, "no variance study"),
        (NOTHING, mc_variance, "no gradient study"),
        (NOTHING, mc_variance, "did not try prior Monte Carlo"),
        (NOTHING, pictures, "wrote no pictures"),
        (NOTHING, provenance, "no calibration table"),
    ],
)
def test_what_is_missing_is_said(tmp_path: Path, options: dict[str, Any], module: Any, said: str) -> None:
    data = sweep(tmp_path, **options)
    assert said in notes(module.page(data))


@pytest.mark.parametrize(
    "options",
    [
        {"trials": 1, "replicates": 1},
        {"dims": (8,)},
        {"failed": 10**6},
        NOTHING,
    ],
    ids=lambda options: ",".join(options),
)
def test_no_panel_is_empty(tmp_path: Path, options: dict[str, Any]) -> None:
    data = sweep(tmp_path, **options)
    for build in report.PAGES.values():
        for canvas in draw(build(data)):
            axes = canvas.axes[0]
            drawn = sum(np.isfinite(np.asarray(line.get_ydata(), dtype=float)).sum() for line in axes.lines)
            assert drawn + len(axes.patches) > 0, axes.get_title()


def test_an_empty_sweep_has_a_report(tmp_path: Path) -> None:
    data = sweep(tmp_path, trials=1)
    empty = {name: getattr(data, name).head(0) for name in tables.TABLES}
    data = tables.Sweep(**{**vars(data), **empty})
    assert "no trial yet" in notes(trials.page(data))
    for build in report.PAGES.values():
        draw(build(data))
