"""The command line in this process, and a sweep for it to read."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from recorded_sweep import Command, record_sweep

from sweeps.cli import main as cli


@pytest.fixture
def elbosweep(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Command:
    """Runs the command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("ELBOSWEEP_RUNS", "ELBOSWEEP_DATA"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["elbosweep", *arguments])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        said = capsys.readouterr()
        return int(stopped.value.code or 0), said.out, said.err

    return call


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A runs folder with the sweep `done`: one failed trial among four."""
    record_sweep(tmp_path / "runs")
    return tmp_path / "runs"
