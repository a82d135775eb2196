from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from child_environment import ROOT, child_environment
from trial_folders import (
    CONFIG,
    METRICS,
    history_rows,
    log_epochs,
    rows_of,
    run_record,
    variance_rows,
    wait_for,
    write_trial,
)

from pipeline.config import flatten
from sweeps.tracking import offline
from sweeps.tracking.epochs import metrics_by_epoch
from sweeps.tracking.trial_runs import TrialRuns, sweep_id


def test_each_trial_is_one_run_and_its_rows_are_those_of_the_record(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], warnings_shown: list[str]
) -> None:
    runs = make_runs()
    for number in (0, 1, 11):
        runs.start(number, CONFIG, "search")
    for number in (0, 1, 11):
        log_epochs(runs, number, range(5))
    for number in (0, 1, 11):
        runs.finish(number, write_trial(tmp_path, number, 4), "finished")
    runs.close()
    expected = metrics_by_epoch(history_rows(4))
    assert [rows_of(tmp_path, number) for number in (0, 1, 11)] == [expected] * 3
    logged = offline.count(tmp_path)
    assert {(seen.rows, seen.epochs, seen.state) for seen in logged.values()} == {(5, 5, "finished")}
    assert list(logged) == [0, 1, 11]
    assert warnings_shown == []
    assert runs.degraded == set()


def test_documented_command_reads_the_same_rows(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs()
    runs.start(3, CONFIG, "search")
    runs.finish(3, write_trial(tmp_path, 3, 4), "finished")
    runs.close()
    (file,) = offline.run_files(tmp_path)
    command = [*offline.wandb_command(), "leet", "inspect", "--json", str(file.parent)]
    environ = {**os.environ, "WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false"}
    output = subprocess.run(command, capture_output=True, text=True, env=environ, check=True).stdout
    records = [json.loads(line) for line in output.splitlines()]
    assert records == list(offline.read(file))
    rows = [record["history"]["item"] for record in records if record["type"] == "history"]
    expected = metrics_by_epoch(history_rows(4))
    assert [row["_step"] for row in rows] == [0, 1, 2, 3, 4, 5]
    for row in rows[:5]:
        assert {name: value for name, value in row.items() if name[0] != "_"} == {
            "epoch": row["_step"],
            **expected[row["_step"]],
        }


def test_run_carries_configuration_group_phase_and_tags(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs(tags=("digits", "cpu"), project="vae", entity="lab")
    runs.start(7, CONFIG, "confirm")
    runs.close()
    record = run_record(tmp_path)
    config = {key: value for key, value in record["config"]["update"].items() if key != "_wandb"}
    assert flatten(config) == {**CONFIG, "trial": 7}
    identity = sweep_id(tmp_path, "demo")
    assert (record["run_id"], record["run_group"]) == (f"{identity}-0007", identity)
    assert (record["job_type"], record["tags"], record["project"]) == ("confirm", ["digits", "cpu"], "vae")
    assert (record["entity"], record["display_name"]) == ("lab", "0007")


def test_summary_pictures_and_variance_table(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    runs.finish(0, write_trial(tmp_path, 0, 3), "finished")
    runs.close()
    (file,) = offline.run_files(tmp_path)
    summary: dict[str, Any] = {}
    for record in offline.read(file):
        if record["type"] == "summary":
            summary |= record["summary"]["update"]
    assert {name: summary[name] for name in METRICS} == METRICS
    assert (summary["status"], summary["suspect"], summary["seconds.total"]) == ("finished", "k > 0.7", 3)
    media = offline.history(file)[-1]
    for name in ("samples", "reconstructions"):
        logged = file.parent / "files" / media[f"pictures/{name}.path"]
        assert logged.read_bytes() == (tmp_path / f"trials/0000/pictures/{name}.png").read_bytes()
    for name in ("result.json", "history.jsonl", "variance.jsonl"):
        assert (file.parent / "files" / name).read_bytes() == (tmp_path / "trials" / "0000" / name).read_bytes()
    table = json.loads((file.parent / "files" / media["variance.path"]).read_text())
    assert [dict(zip(table["columns"], row)) for row in table["data"]] == variance_rows()


def test_summary_keeps_the_best_bound_of_a_trial_that_was_interrupted(
    tmp_path: Path, make_runs: Callable[..., TrialRuns]
) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    for epoch, bound in enumerate((-300.0, -100.0, -200.0)):
        runs.log(0, epoch, {"validation.elbo": bound, "validation.bits_per_dim": -bound / 100})
    runs.close()
    (file,) = offline.run_files(tmp_path)
    updates = [record["summary"]["update"] for record in offline.read(file) if record["type"] == "summary"]
    last = [update for update in updates if "validation.elbo" in update][-1]
    assert last["validation.elbo"] == {"max": -100}
    assert last["validation.bits_per_dim"] == {"min": 1}


@pytest.mark.parametrize(("artifacts", "files"), [("off", None), ("best", 3), ("all", 3)])
def test_checkpoints_travel_as_artifact(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], artifacts: str, files: int | None
) -> None:
    folder = write_trial(tmp_path, 0, 1)
    (folder / "config.yaml").write_text("{}\n")
    runs = make_runs(artifacts=artifacts)
    runs.start(0, CONFIG, "search")
    runs.finish(0, folder, "finished")
    runs.close()
    (file,) = offline.run_files(tmp_path)
    found = [record["artifact"] for record in offline.read(file) if record["type"] == "artifact"]
    checkpoints = [len(item["manifest"]["contents"]) for item in found if item["type"] == "checkpoint"]
    assert checkpoints == ([] if files is None else [files])


def test_the_report_is_an_artifact_of_a_run_of_its_own_and_replaces_the_one_before(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], warnings_shown: list[str]
) -> None:
    report = tmp_path / "reports" / "demo"
    (report / "figures").mkdir(parents=True)
    (report / "index.html").write_text("<html>")
    (report / "figures" / "bound.svg").write_text("<svg/>")
    for _ in range(2):
        runs = make_runs()
        runs.report(report)
        runs.close()
    assert run_record(tmp_path)["job_type"] == "report"
    (file,) = offline.run_files(tmp_path)
    (artifact,) = [record["artifact"] for record in offline.read(file) if record["type"] == "artifact"]
    assert artifact["type"] == "report"
    assert sorted(entry["path"] for entry in artifact["manifest"]["contents"]) == ["figures/bound.svg", "index.html"]
    assert offline.count(tmp_path) == {}, "it is no trial"
    assert warnings_shown == []


def test_an_interrupt_ends_the_runs_and_leaves_later_epochs_to_a_resume(
    tmp_path: Path, make_runs: Callable[..., TrialRuns]
) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(3))
    runs.interrupt()
    log_epochs(runs, 0, range(3, 5))
    assert wait_for(lambda: offline.count(tmp_path).get(0) == offline.Logged(3, 3, 2, "interrupted"), 10)
    runs.close()
    assert offline.count(tmp_path)[0].rows == 3


@pytest.mark.parametrize("status", ["finished", "stopped", "failed"])
def test_end_of_a_trial_is_the_state_of_its_run(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], status: str
) -> None:
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(2))
    runs.finish(0, write_trial(tmp_path, 0, 1, finished=False), status)
    runs.close()
    assert offline.count(tmp_path)[0].state == ("failed" if status == "failed" else "finished")
    (file,) = offline.run_files(tmp_path)
    updates = [record["summary"]["update"] for record in offline.read(file) if record["type"] == "summary"]
    assert [update["status"] for update in updates if "status" in update][-1] == status


def test_closing_ends_open_runs_as_interrupted(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs()
    for number in range(4):
        runs.start(number, CONFIG, "search")
        log_epochs(runs, number, range(3))
    runs.close()
    logged = offline.count(tmp_path).values()
    assert [(seen.epochs, seen.state) for seen in logged] == [(3, "interrupted")] * 4


def test_environment_is_given_back(monkeypatch: pytest.MonkeyPatch, make_runs: Callable[..., TrialRuns]) -> None:
    monkeypatch.setenv("WANDB_MODE", "shared")
    before = dict(os.environ)
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    runs.close()
    assert dict(os.environ) == before


def test_a_sweep_made_anew_under_an_old_name_is_another_sweep(tmp_path: Path) -> None:
    first = sweep_id(tmp_path / "a", "my sweep/1")
    assert sweep_id(tmp_path / "a", "my sweep/1") == first
    assert first.startswith("my-sweep-1-")
    assert sweep_id(tmp_path / "b", "my sweep/1") != first


# --- interrupts and gaps: every epoch present exactly once ----------------------------------------------------------


def test_after_a_kill_the_resumed_run_is_whole(
    tmp_path: Path, make_runs: Callable[..., TrialRuns], warnings_shown: list[str]
) -> None:
    """Killed after epoch 9; the checkpoint that the trial goes on from was written at epoch 6."""
    script = f"""
        import time
        from pathlib import Path
        from sweeps.tracking.trial_runs import TrialRuns
        from trial_folders import CONFIG, log_epochs
        runs = TrialRuns(Path({str(tmp_path)!r}), "demo")
        runs.start(0, CONFIG, "search")
        log_epochs(runs, 0, range(10))
        time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    process = subprocess.Popen(command, cwd=ROOT, env=child_environment())
    try:
        assert wait_for(lambda: 0 in (seen := offline.count(tmp_path)) and seen[0].epochs >= 8, 40)
    finally:
        process.kill()
        process.wait()
    assert offline.count(tmp_path)[0].state == "running"
    write_trial(tmp_path, 0, 6, finished=False)
    runs = make_runs()
    runs.start(0, CONFIG, "search")
    log_epochs(runs, 0, range(7, 13))
    runs.finish(0, write_trial(tmp_path, 0, 12), "finished")
    runs.close()
    assert rows_of(tmp_path, 0) == metrics_by_epoch(history_rows(12))
    assert offline.count(tmp_path)[0].state == "finished"
    assert warnings_shown == []


def test_disabled_writes_nothing(tmp_path: Path, make_runs: Callable[..., TrialRuns]) -> None:
    runs = make_runs(wandb="disabled")
    runs.start(0, CONFIG, "search")
    runs.finish(0, write_trial(tmp_path, 0, 1), "finished")
    runs.close()
    assert not (tmp_path / "wandb").exists()
