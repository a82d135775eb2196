"""Tune, Optuna, the tables and W&B know the same trials and epochs: every gap is found, mended where it can be."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sweep_program
import yaml
from fake_trial import FakeTrial, run_trial
from programs import Program

from pipeline.files import read_rows
from sweeps.cli import main as cli
from sweeps.cli import status
from sweeps.machine.exit_codes import ExitCode
from sweeps.record.ledger import Ledger
from sweeps.record.reconciliation import Reconciliation, make_whole, reconcile
from sweeps.record.tables import collect
from sweeps.running.callbacks import Tracker
from sweeps.running.sweep import Sweep
from sweeps.search.plan import Plan
from sweeps.search.planner import Planner
from sweeps.specification.options import TrackingConfig
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec
from sweeps.tracking import offline, transaction_log
from sweeps.tracking.epochs import metrics_by_epoch
from sweeps.tracking.trial_runs import TrialRuns

FACTORS = {"model.latent_dim": [2, 4, 8]}
FAILS = 1
"""Number of the trial that fails."""


@pytest.fixture(scope="module")
def complete(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three trials, one of them failed, in all records; made without Ray."""
    folder = tmp_path_factory.mktemp("runs") / "demo"
    folder.mkdir()
    spec = parse({"name": "demo", "factors": FACTORS, "base": {"training": {"epochs": 3}, "replicates": 2}})
    (folder / "spec.yaml").write_text(spec.written())
    planner, ledger = Planner(spec, folder), Ledger(folder, "validation.elbo")
    runs = TrialRuns(folder, "demo", TrackingConfig())
    while isinstance(plan := planner.next(ledger.outcome), Plan):
        ledger.start(plan)
        runs.start(plan.number, spec.flat(plan.overrides), plan.phase)
        trial = ledger.trial_folder(plan.number)
        if plan.number == FAILS:
            (trial / "error.txt").write_text("RuntimeError: no luck\n")
            runs.log(plan.number, 1, {"validation.elbo": -3.0})
        else:
            run_trial(spec.trial(plan.overrides), trial, report=lambda epoch, metrics: None)
        runs.finish(plan.number, trial, ledger.conclude(plan.number).status)
    runs.close(120)
    collect(ledger, spec)
    (folder / "sweep.json").write_text(json.dumps({"state": "failed", "total": 3}))
    return folder


@pytest.fixture
def folder(complete: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(complete, tmp_path / "demo", symlinks=True))


def spec_of(folder: Path) -> SweepSpec:
    return parse(yaml.safe_load((folder / "spec.yaml").read_text()))


def check(folder: Path) -> Reconciliation:
    return reconcile(folder, spec_of(folder), Ledger(folder, "validation.elbo"))


def record_file(folder: Path, number: int) -> Path:
    (found,) = [path for path in offline.run_files(folder) if offline.trial_number(path) == number]
    return found


def test_records_that_agree(folder: Path) -> None:
    found = check(folder)
    assert found.counts == {"Tune": 3, "Optuna": 3, "tables": 3, "W&B": 3}
    assert (found.gaps, found.incomplete) == ([], [])
    assert found.lines() == ["trials by record: Tune 3, Optuna 3, tables 3, W&B 3"]


def lose_run(folder: Path) -> None:
    shutil.rmtree(record_file(folder, 2).parent)


def lose_the_end_of_a_run(folder: Path) -> None:
    content = record_file(folder, 2).read_bytes()
    record_file(folder, 2).write_bytes(content[: len(content) // 2])


def run_a_trial_twice(folder: Path) -> None:
    source = record_file(folder, 2).parent
    shutil.copytree(source, source.with_name(source.name.replace("offline-run-2", "offline-run-3")))


def run_of_no_trial(folder: Path) -> None:
    runs = TrialRuns(folder, "demo", TrackingConfig())
    runs.start(7, {}, "search")
    runs.close(120)


def lose_a_row_of_the_table(folder: Path) -> None:
    table = pd.read_parquet(folder / "trials.parquet")
    table[table["trial"] != 0].to_parquet(folder / "trials.parquet")


def another_status_in_the_table(folder: Path) -> None:
    table = pd.read_parquet(folder / "trials.parquet")
    table.assign(status="running").to_parquet(folder / "trials.parquet")


def lose_a_trial_of_the_ledger(folder: Path) -> None:
    (folder / "trials" / "0000" / "trial.json").unlink()


def lose_a_result(folder: Path) -> None:
    (folder / "trials" / "0000" / "result.json").unlink()


@pytest.mark.parametrize(
    ("damage", "line", "incomplete"),
    [
        (lose_run, "W&B: trial 2: has no run", [2]),
        (lose_the_end_of_a_run, "W&B: trial 2: ", [2]),
        (run_a_trial_twice, "W&B: trial 2: 6 rows for 3 epochs", [2]),
        (run_of_no_trial, "W&B has a run of trial 7, the ledger does not", []),
        (lose_a_row_of_the_table, "trials.parquet has 2 trials, the ledger 3; first different: 0", []),
        (another_status_in_the_table, "trial 0 is running in trials.parquet and finished in the ledger", []),
        (lose_a_trial_of_the_ledger, "Optuna's study has 3 trials, the ledger 2; first different: 0", []),
        (lose_a_result, "trial 0 is finished in the ledger and has no result.json", []),
    ],
)
def test_every_gap_is_named(folder: Path, damage: Any, line: str, incomplete: list[int]) -> None:
    damage(folder)
    found = check(folder)
    assert any(gap.startswith(line) for gap in found.gaps), found.gaps
    assert found.incomplete == incomplete
    state = status.read("demo", folder.parent)
    assert state.disagreements == found.gaps
    assert f"disagreement: {found.gaps[0]}" in status.lines(state)


@pytest.mark.parametrize("damage", [lose_run, lose_the_end_of_a_run, run_a_trial_twice])
def test_runs_are_made_whole_from_the_trial_folders(folder: Path, damage: Any) -> None:
    damage(folder)
    make_whole(folder, spec_of(folder), Ledger(folder, "validation.elbo"), [2], pytest.fail)
    assert check(folder).gaps == []


def test_a_failed_trial_whose_run_says_finished_is_a_gap(folder: Path) -> None:
    runs = TrialRuns(folder, "demo", TrackingConfig())
    runs.start(FAILS, {}, "factorial")
    runs.finish(FAILS, folder / "trials" / f"{FAILS:04d}", "finished")
    runs.close(120)
    assert check(folder).gaps == [f"W&B: trial {FAILS}: the run is finished, the trial failed"]


# --- interrupts: a driver of its own, with W&B ----------------------------------------------------------------------


def driver(command: str, folder: Path) -> Program:
    """Six trials on two workers, three of which fail in their second epoch."""
    base = {"training": {"epochs": 6}, "replicates": 2}
    factors = {"model.latent_dim": [2, 4, 8], "training.batch_size": [64, 128]}
    trial = FakeTrial({"raise": {"training.batch_size": 128}}, seconds=0.25)
    tree = {"name": "slow", "base": base, "factors": factors, "retries": 0}
    return sweep_program.start(command, folder, tree, trial)


def wait_for_trials(folder: Path, count: int, program: Program) -> None:
    """Until so many trials are over and another one has logged an epoch."""

    def reached() -> bool:
        logged = offline.count(folder / "slow").values()
        over = sum(seen.state in ("finished", "failed") for seen in logged)
        return over >= count and any(seen.state == "running" and seen.epochs for seen in logged)

    program.wait_until(reached, f"{count} trials over and one under way", pause=0.4)


def interrupt(folder: Path, program: Program, how: signal.Signals, after: int) -> str:
    """Gives back what the driver said; it closed its W&B runs before it ended."""
    wait_for_trials(folder, after, program)
    program.process.send_signal(how)
    program.end(seconds=60)
    assert all(offline.ended(path) for path in offline.run_files(folder / "slow")), program.said()
    return program.said()


def finish(folder: Path) -> str:
    with driver("resume", folder) as program:
        assert program.end(seconds=180) == 1, program.said()  # three of six trials fail by design
        return program.said()


def assert_whole(folder: Path, said: str) -> None:
    """Every epoch exactly once, the numbers those of the record, the states those of the trials."""
    assert "trials by record: Tune 6, Optuna 6, tables 6, W&B 6" in said
    assert "disagreement" not in said
    table = pd.read_parquet(folder / "slow" / "trials.parquet").set_index("trial")
    assert sorted(table["status"]) == ["failed"] * 3 + ["finished"] * 3
    for number, seen in offline.count(folder / "slow").items():
        assert seen.state == table.loc[number, "status"]
        assert seen.rows == seen.epochs == (6 if seen.state == "finished" else 1)
    for number in table.index[table["status"] == "finished"]:
        rows = offline.history(record_file(folder / "slow", number))
        history = metrics_by_epoch(read_rows(folder / "slow" / "trials" / f"{number:04d}" / "history.jsonl"))
        logged = {row["epoch"]: row["validation.elbo"] for row in rows if "epoch" in row}
        assert logged == {epoch: metrics["validation.elbo"] for epoch, metrics in history.items()}


def test_ctrl_c_closes_every_run_and_resume_makes_them_whole(tmp_path: Path) -> None:
    with driver("run", tmp_path) as program:
        said = interrupt(tmp_path, program, signal.SIGINT, after=1)
    assert "to go on: elbosweep resume slow" in said
    logged = offline.count(tmp_path / "slow")
    assert {seen.state for seen in logged.values()} <= {"finished", "failed", "interrupted"}
    # Which trials were under way at the signal is the machine's affair; their runs are closed as interrupted.
    records = Ledger(tmp_path / "slow", "validation.elbo").records
    under_way = {number for number, record in records.items() if record.status == "running"}
    assert {logged[number].state for number in under_way & logged.keys()} <= {"interrupted"}
    assert check(tmp_path / "slow").gaps == []
    assert_whole(tmp_path, finish(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("after", [0, 2, 4])
def test_interrupted_anywhere(tmp_path: Path, how: signal.Signals, after: int) -> None:
    with driver("run", tmp_path) as program:
        interrupt(tmp_path, program, how, after)
        assert program.process.returncode == 130, program.said()
    assert "running" not in {seen.state for seen in offline.count(tmp_path / "slow").values()}
    assert_whole(tmp_path, finish(tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("after", [0, 1, 3])
def test_killed_anywhere(tmp_path: Path, after: int) -> None:
    with driver("run", tmp_path) as program:
        wait_for_trials(tmp_path, after, program)
        program.process.kill()
    assert "running" in {seen.state for seen in offline.count(tmp_path / "slow").values()}
    assert_whole(tmp_path, finish(tmp_path))


# --- modes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "environment", "mode"),
    [(None, None, "online"), (None, "disabled", "disabled"), ("offline", "disabled", "offline")],
)
def test_the_mode_comes_from_the_flag_then_the_environment_then_the_specification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flag: str | None, environment: str | None, mode: str
) -> None:
    seen: list[str] = []

    def run(sweep: Sweep, *, force: bool) -> ExitCode:
        seen.append(sweep.spec.tracking.wandb)
        return ExitCode.INTERRUPTED

    monkeypatch.setattr(Sweep, "run", run)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    (tmp_path / "a.yaml").write_text("{name: a, factors: {seed: [1]}, tracking: {wandb: online}}")
    options = ["--wandb", flag] if flag else []
    monkeypatch.setattr(sys, "argv", ["elbosweep", "run", str(tmp_path / "a.yaml"), *options])
    with pytest.raises(SystemExit):
        cli.main()
    assert seen == [mode]


def test_runs_that_could_not_be_written_are_named_in_one_line(folder: Path) -> None:
    (folder / "broken").mkdir()
    (folder / "broken" / "wandb").write_text("in the way")
    said: list[str] = []
    runs = TrialRuns(folder / "broken", "demo", TrackingConfig(), said.append)
    for number in (0, 2):
        runs.start(number, {}, "search")
    spec = parse({"name": "demo", "factors": FACTORS})
    Tracker(runs, Planner(spec, folder), Ledger(folder, "validation.elbo")).close(10)
    assert said[1:] == ["W&B: incomplete runs of trials 0, 2; the tables are the record"]


def test_our_reader_counts_what_wandbs_own_reader_does(folder: Path) -> None:
    files = offline.run_files(folder)
    assert files
    for path in files:
        rows = [row["epoch"] for row in offline.history(path) if "epoch" in row]
        exits = [record["exit"].get("exit_code", 0) for record in offline.read(path) if record["type"] == "exit"]
        assert transaction_log.epochs_and_exit(path) == (rows, exits[0] if exits else None)
