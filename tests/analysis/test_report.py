"""The whole report: repeatable, announced page by page, without leftovers of an older one."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from report_pages import SMALL, sweep
from synthetic import write

from analysis import report, tables
from analysis.document.blocks import Figure, Opening, Page, Table
from analysis.document.render import write_pages


def test_old_figures_do_not_outlive_their_sweep_and_each_page_is_announced(tmp_path: Path) -> None:
    data = sweep(tmp_path, failed=10**6)
    stale = tmp_path / "report" / "figures" / "gone.png"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"")
    said: list[str] = []
    report.write(data.folder, tmp_path / "report", said.append)
    assert not stale.exists()
    assert said[0] == "reading the tables"
    assert said[1:] == [
        f"page {place} of 7: {name}"
        for place, name in enumerate(
            ["overview", "elbo vs dimension", "mc variance", "pictures", "trials", "provenance", "glossary"], start=1
        )
    ]


@pytest.mark.slow
def test_same_tables_same_bytes(tmp_path: Path) -> None:
    run = write(tmp_path / "run", **SMALL)
    folders = [report.write(run, tmp_path / name).parent for name in ("first", "second")]
    files = sorted(path.relative_to(folders[0]) for path in folders[0].rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(folders[1]) for path in folders[1].rglob("*") if path.is_file())
    for path in files:
        assert (folders[0] / path).read_bytes() == (folders[1] / path).read_bytes(), path


def test_pages_depend_on_their_tables_alone(run: Path, pages: list[Page]) -> None:
    """The cheap half of the test above: every frame, caption and sentence twice."""
    for build, first in zip(report.PAGES.values(), pages, strict=True):
        second = build(tables.load(run))
        for a, b in zip(first.blocks, second.blocks, strict=True):
            assert type(a) is type(b)
            if isinstance(a, Table) and isinstance(b, Table):
                pd.testing.assert_frame_equal(a.frame, b.frame)
            elif isinstance(a, Figure) and isinstance(b, Figure):
                assert (a.caption, a.sentence) == (b.caption, b.sentence)
            elif isinstance(a, Opening) and isinstance(b, Opening):
                assert (a.line, a.warnings, a.answers) == (b.line, b.warnings, b.answers)
            else:
                assert a == b


FEW_FIGURES = {"gradients": False, "evidence": False, "pictures": False}


def as_failed(data: tables.Sweep) -> dict[str, pd.DataFrame]:
    """No trial finished, and no table of replicates."""
    empty = {name: getattr(data, name).head(0) for name in ("variance", "gradients", "evidence", "history")}
    return {"trials": data.trials.assign(status="failed"), "replicates": pd.DataFrame({"trial": []}), **empty}


def as_search(data: tables.Sweep) -> dict[str, pd.DataFrame]:
    """The sampler suggested every trial."""
    return {"trials": data.trials.assign(phase="search")}


def with_holes(data: tables.Sweep) -> dict[str, pd.DataFrame]:
    """A replicate whose bound is nan, one whose bound is infinite."""
    bounds = data.replicates["test.elbo"].to_numpy(copy=True)
    bounds[:2] = np.nan, np.inf
    return {"replicates": data.replicates.assign(**{"test.elbo": bounds})}


def unchanged(data: tables.Sweep) -> dict[str, pd.DataFrame]:
    return {}


@pytest.mark.parametrize(
    ("options", "change"),
    [
        ({"replicates": 1}, unchanged),
        ({**FEW_FIGURES, "replicates": 2}, unchanged),
        ({**FEW_FIGURES, "dims": (8,)}, unchanged),
        ({**FEW_FIGURES, "dims": (5,), "replicates": 1}, as_search),
        ({**FEW_FIGURES, "replicates": 2, "search_trials": 6}, as_search),
        ({}, as_failed),
        ({**FEW_FIGURES, "variance_study": False}, with_holes),
    ],
    ids=["one seed", "two seeds", "one D", "one D of a search, one seed", "search only", "all failed", "nan and inf"],
)
def test_a_sweep_that_says_little_has_a_report_without_nan(
    tmp_path: Path, options: dict[str, Any], change: Callable[[tables.Sweep], dict[str, pd.DataFrame]]
) -> None:
    data = sweep(tmp_path, **options)
    data = replace(data, **change(data))
    index = write_pages(data, [build(data) for build in report.PAGES.values()], tmp_path / "report")
    text = (index.parent / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"\b(nan|inf|None)\b", text)
    assert not re.search(r"\b1 (seeds|trials|replicates|values)\b", text)
    if options.get("replicates") == 1:
        bounds = [line for line in text.splitlines() if "test ELBO" in line and "[" in line.replace("[95 %", "")]
        assert not [line for line in bounds if re.search(r"−\d+\.\d+ \\?\[", line)], "an interval from one seed"
