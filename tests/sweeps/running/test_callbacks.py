"""Tune's events reach the storage, the ledger and W&B in that order."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_trial
import pytest
from rich.console import Console
from small_sweep import setting, specification
from trial_folders import history_rows, write_trial

from pipeline.config import DataConfig
from pipeline.data.images import load
from sweeps.machine.interrupts import Interrupts
from sweeps.machine.watchdog import ERROR_FILE
from sweeps.running.callbacks import Arrivals, Recorder, Tracker
from sweeps.running.early_stopping import EarlyStopping, Stop
from sweeps.running.opened import OpenSweep
from sweeps.running.session import Session
from sweeps.running.worker import FULL_DISK
from sweeps.specification.options import Resources, TrackingConfig
from sweeps.storage.storage import Storage
from sweeps.storage.sweep_copy import SweepCopy
from sweeps.tracking import offline
from sweeps.tracking.epochs import metrics_by_epoch
from sweeps.tracking.trial_runs import TrialRuns


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A sweep that has begun, with three trials that Tune was given."""
    spec = specification("demo", retries=1)
    parts = setting(tmp_path, console=Console(file=io.StringIO(), width=300))
    sweep = OpenSweep(spec, tmp_path / "demo", parts, {DataConfig(): load(DataConfig())}, Resources(workers=3), None)
    begun = Session(sweep, {}, Interrupts("interrupted"))
    for _ in range(3):
        begun.suggester.suggest("id")
    return begun


@pytest.fixture
def recorder(session: Session) -> Recorder:
    return Recorder(session, EarlyStopping(session.sweep.spec, session.planner, session.ledger))


def trial(number: int, **parts: Any) -> Any:
    return SimpleNamespace(config={"number": number}, **{"error_file": None, "num_failures": 1, **parts})


def finish(session: Session, number: int) -> None:
    config = session.planner.config(session.planner.plans[number])
    fake_trial.run_trial(config, session.ledger.trial_folder(number), report=lambda epoch, metrics: None)


def status(session: Session, number: int) -> str:
    return session.ledger.records[number].status


def said(session: Session) -> str:
    assert isinstance(session.progress.console.file, io.StringIO)
    return session.progress.console.file.getvalue()


# --- the ledger -----------------------------------------------------------------------------------------------------


def test_a_trial_ends_as_its_folder_says(session: Session, recorder: Recorder) -> None:
    finish(session, 0)
    recorder.on_trial_complete(0, [], trial(0))
    recorder.on_trial_complete(0, [], trial(1))
    assert (status(session, 0), status(session, 1), status(session, 2)) == ("finished", "failed", "running")
    assert "trial 1 failed: its worker process died without a message" in said(session)


def test_a_trial_that_early_stopping_ended_is_stopped(session: Session, recorder: Recorder) -> None:
    recorder.stopping.stopped[2] = Stop(((2, -3.0),), "missed the cut")
    recorder.on_trial_complete(0, [], trial(2))
    record = session.ledger.records[2]
    assert (record.status, record.stopped, record.reason) == ("stopped", [[2, -3.0]], "missed the cut")


def test_a_trial_that_tune_gives_up_too_early_is_suggested_again(session: Session, recorder: Recorder) -> None:
    recorder.on_trial_error(0, [], trial(1))
    assert "trial 1 is started again from its last epoch" in said(session)
    assert session.suggester.suggest("id")["number"] == 1
    recorder.on_trial_error(0, [], trial(1, num_failures=2))
    assert status(session, 1) == "failed"


def test_a_full_disk_stops_the_sweep_and_leaves_the_trial_open(session: Session, recorder: Recorder) -> None:
    with pytest.raises(KeyboardInterrupt):
        recorder.on_trial_result(0, [], trial(0), {FULL_DISK: "/data/x"})
    assert session.interrupts.full_disk == "/data/x"
    recorder.on_trial_error(0, [], trial(0, num_failures=9))
    assert status(session, 0) == "running"


# --- W&B ------------------------------------------------------------------------------------------------------------


def test_each_run_ends_with_the_status_of_the_ledger(session: Session) -> None:
    warnings_shown: list[str] = []
    folder, ledger = session.sweep.folder, session.ledger
    tracker = Tracker(TrialRuns(folder, "demo", TrackingConfig(), warnings_shown.append), session.planner, ledger)
    for number in range(3):
        tracker.on_trial_start(0, [], trial(number))
        for epoch, metrics in metrics_by_epoch(history_rows(2)).items():
            tunes_own = {"training_iteration": epoch + 1, "done": False, "time_total_s": 1.5, "pid": 7}
            tracker.on_trial_result(0, [], trial(number), {"epoch": epoch, **metrics, **tunes_own})
        tracker.on_trial_result(0, [], trial(number), {"done": True})
    finish(session, 0)
    write_trial(folder, 1, 2, finished=False)
    ledger.conclude(0)
    ledger.stop(1, [(1, -1.0)], "missed the cut")
    ledger.conclude(2, death="killed")
    tracker.on_trial_complete(0, [], trial(0))
    tracker.on_trial_complete(0, [], trial(1))
    tracker.on_trial_error(0, [], trial(2))
    tracker.close(120)
    states = {number: seen.state for number, seen in offline.count(folder).items()}
    assert states == {0: "finished", 1: "finished", 2: "failed"}
    assert all(record.seconds["tracking"] > 0 for record in ledger.records.values())
    assert warnings_shown == []


def test_a_trial_that_is_still_open_in_the_ledger_keeps_its_run(session: Session) -> None:
    """Tune gives up on a trial that is to be tried again: closing ends its run as interrupted."""
    tracker = Tracker(TrialRuns(session.sweep.folder, "demo", TrackingConfig()), session.planner, session.ledger)
    tracker.on_trial_start(0, [], trial(0))
    tracker.on_trial_result(0, [], trial(0), {"epoch": 1, "validation.elbo": -3.0})
    tracker.on_trial_error(0, [], trial(0))
    tracker.close(120)
    assert offline.count(session.sweep.folder)[0].state == "interrupted"


# --- the storage ----------------------------------------------------------------------------------------------------


def test_a_trials_folder_arrives_before_it_is_read(session: Session, recorder: Recorder, tmp_path: Path) -> None:
    storage = Storage.parse(f"file://{tmp_path}/remote") / "demo"
    local = session.ledger.trial_folder(0)
    finish(session, 0)
    for path in sorted(local.iterdir()):
        if path.name != "trial.json":
            (storage / "trials" / "0000").write(path.name, path.read_bytes())
            path.unlink()
    arrivals = Arrivals(session.sweep.folder / "trials", SweepCopy(session.sweep.folder, storage))
    for callback in (arrivals, recorder):
        callback.on_trial_complete(0, [], trial(0))
    assert status(session, 0) == "finished"


def test_a_worker_that_could_not_write_leaves_its_reason_in_tunes_file(session: Session, tmp_path: Path) -> None:
    file = tmp_path / "error.txt"
    file.write_text("Traceback ...\nsweeps.storage.workplace.NotSharedError: /runs: is not here\n")
    Arrivals(session.sweep.folder / "trials", None).on_trial_error(0, [], trial(1, error_file=str(file)))
    assert (session.ledger.trial_folder(1) / ERROR_FILE).read_text() == "/runs: is not here\n"


def test_tune_pickles_the_callbacks_without_what_they_hold(session: Session, recorder: Recorder) -> None:
    tracker = Tracker(TrialRuns(session.sweep.folder, "demo", TrackingConfig()), session.planner, session.ledger)
    for callback in (Arrivals(session.sweep.folder / "trials", None), recorder, tracker):
        assert vars(pickle.loads(pickle.dumps(callback))) == {}
