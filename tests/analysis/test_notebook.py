"""The notebook of the documents runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from report_pages import sweep


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((Path(__file__).parents[2] / "docs" / "report.ipynb").read_text(encoding="utf-8"))
    monkeypatch.setenv("ELBOSWEEP_RUN", str(sweep(tmp_path).folder))
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "docs/report.ipynb", "exec"), names)
    assert names["curve"]["mean"].notna().all()
    assert "<svg" in names["bound"](names["sweep"], names["chosen"])._repr_html_()
