"""Folders of sweeps are found by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.config import ConfigError
from sweeps.record.folders import find


@pytest.mark.parametrize("name", ["../escape", "", ".hidden", "a/b", "x" * 65])
def test_names_are_checked_before_they_become_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match="name: must be"):
        find(name, tmp_path)


def test_an_unknown_sweep_lists_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "spec.yaml").write_text("name: known")
    with pytest.raises(ConfigError, match="no such sweep, got 'unknown'; there are: known"):
        find("unknown", tmp_path)
