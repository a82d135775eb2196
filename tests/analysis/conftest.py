"""A hostile sweep and its pages, which the tests of the report share."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_pages import SMALL
from synthetic import write

from analysis import report, tables
from analysis.document.blocks import Page


@pytest.fixture(scope="package")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep whose every string is hostile, with each way a trial can end."""
    folder = tmp_path_factory.mktemp("runs") / "hostile"
    return write(folder, hostile=True, failed=1, stopped=1, running=1, suspect=2, state="interrupted", **SMALL)


@pytest.fixture(scope="package")
def pages(run: Path) -> list[Page]:
    """The pages of its report, built but not drawn."""
    return [build(tables.load(run)) for build in report.PAGES.values()]
