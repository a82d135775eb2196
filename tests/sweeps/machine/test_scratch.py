"""Temporary folders go with their process, or at the start of the next one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from sweeps.machine import scratch


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_a_temporary_folder_carries_the_process_and_goes_with_it(temporary: Path) -> None:
    with scratch.folder() as folder:
        assert folder.name.startswith(f"elbosweep-{os.getpid()}-")
        with scratch.folder():
            assert folder.exists(), "that of a living process stays"
    assert list(temporary.iterdir()) == []


def test_at_home_everything_temporary_is_in_one_folder(temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what libraries make, and the programs that they start."""
    monkeypatch.delenv("TMPDIR", raising=False)
    with scratch.home():
        (home,) = temporary.iterdir()
        tempfile.mkdtemp(suffix="wandb-media")
        assert os.environ["TMPDIR"] == str(home)
        with scratch.folder() as inner:
            assert inner.parent == home
            assert len(inner.name) <= 8
    assert list(temporary.iterdir()) == []
    assert tempfile.gettempdir() == str(temporary)
    assert "TMPDIR" not in os.environ


def test_what_a_killed_process_left_behind_goes_at_the_next_start(temporary: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (temporary / f"elbosweep-{dead.pid}-a" / "session").mkdir(parents=True)
    for kept in (f"elbosweep-{os.getppid()}-b", "elbosweep-sync-c", "elbosweep-x-d", f"other-{dead.pid}-e"):
        (temporary / kept).mkdir()
    scratch.remove_abandoned()
    assert len(list(temporary.iterdir())) == 4
    assert not (temporary / f"elbosweep-{dead.pid}-a").exists()
