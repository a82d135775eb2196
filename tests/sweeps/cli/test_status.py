"""`status` and `list` say how sweeps stand."""

from __future__ import annotations

import json
from pathlib import Path

from recorded_sweep import Command

from sweeps.record.folders import locked


def test_status_counts_and_reconciles(elbosweep: Command, runs: Path) -> None:
    code, out, _ = elbosweep("status", "done")
    assert code == 1, "a trial failed"
    assert "done: failed, 4 of 4 trials done (3 finished, 0 running, 1 failed, 0 stopped)" in out
    assert "best validation.elbo: -104.805 (trial 3)" in out
    assert "disagreement" not in out


def test_status_names_a_disagreement(elbosweep: Command, runs: Path) -> None:
    (runs / "done" / "trials" / "0001" / "result.json").unlink()
    code, out, _ = elbosweep("status", "done")
    assert code == 1
    assert "disagreement: trial 1 is finished in the ledger and has no result.json" in out


def test_status_of_a_killed_sweep_says_how_to_go_on(elbosweep: Command, runs: Path) -> None:
    (runs / "done" / "sweep.json").write_text(json.dumps({"state": "running", "total": 9}))
    _, out, _ = elbosweep("status", "done")
    assert "done: killed, 4 of 9 trials done" in out
    assert "elbosweep resume done" in out


def test_status_of_a_running_sweep_tells_the_time_left(elbosweep: Command, runs: Path) -> None:
    (runs / "done" / "sweep.json").write_text(json.dumps({"state": "running", "total": 9}))
    with locked(runs / "done"):
        _, out, _ = elbosweep("status", "done")
    assert "done: running" in out
    assert "left" in out


def test_list(elbosweep: Command, runs: Path) -> None:
    code, out, _ = elbosweep("list")
    assert code == 0
    assert out.splitlines()[1].split()[:4] == ["done", "failed", "4/4", "1"]
