"""The whole report: repeatable, announced page by page, without leftovers of an older one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from report_pages import SMALL, sweep
from synthetic import write

from analysis import report, tables
from analysis.document.blocks import Figure, Page, Table


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
        f"page {place} of 5: {name}"
        for place, name in enumerate(
            ["overview", "elbo vs dimension", "mc variance", "pictures", "provenance"], start=1
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
            else:
                assert a == b
