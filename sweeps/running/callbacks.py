"""Tune's events, brought to whoever must hear of them: the storage, the ledger and the screen, W&B.

Tune pickles its callbacks with its own state, which is never restored: nothing of them is in the pickle.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune

from pipeline.files import write_text
from sweeps.layout import trial_name
from sweeps.machine.watchdog import ERROR_FILE, cause_of_death, kernel_kills
from sweeps.record.ledger import Ledger, last_error
from sweeps.running.early_stopping import EarlyStopping
from sweeps.running.session import Session
from sweeps.running.worker import FULL_DISK
from sweeps.search.planner import Planner
from sweeps.storage.sweep_copy import SweepCopy
from sweeps.tracking.epochs import metrics_of
from sweeps.tracking.trial_runs import TrialRuns

WORKER_COULD_NOT_WRITE = re.compile(r"(?:StorageError|NotSharedError)\S*: (.*)")
"""In Tune's own error file: why a worker could not leave its reason where the driver reads it."""


class Arrivals(tune.Callback):
    """Brings the folder of each trial that is over. Stands before the callbacks that read it."""

    def __init__(self, trials: Path, copy: SweepCopy | None) -> None:
        self.trials, self.copy = trials, copy

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self.copy is not None:
            self.copy.fetch(trial.config["number"])

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.on_trial_complete(iteration, trials, trial)
        path = self.trials / trial_name(trial.config["number"]) / ERROR_FILE
        if path.exists() or not trial.error_file:
            return
        if reasons := WORKER_COULD_NOT_WRITE.findall(Path(trial.error_file).read_text(errors="replace")):
            write_text(path, f"{reasons[-1]}\n")


class Recorder(tune.Callback):
    """Writes Tune's events into the ledger and shows them on the screen."""

    def __init__(self, session: Session, stopping: EarlyStopping) -> None:
        self.session, self.stopping = session, stopping
        self.planner, self.ledger, self.progress = session.planner, session.ledger, session.progress
        self.retries = session.sweep.spec.retries
        self._kills = kernel_kills()
        self._given_up = Counter[int]()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        plan = self.planner.plans[trial.config["number"]]
        self.ledger.start(plan)
        self.progress.started(plan, self.planner.total)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if FULL_DISK in result:
            self.session.interrupts.full_disk = result[FULL_DISK]
            self.session.interrupts.stop()
        else:
            self.progress.epoch(trial.config["number"], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._conclude(trial)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """One line: what a resumed attempt costs should not go unseen."""
        number = trial.config["number"]
        why = last_error(self.ledger.trial_folder(number), cause_of_death(trial.error_file, self._kills))
        self.progress.warn(f"trial {number} is started again from its last epoch: {why}")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self.session.interrupts.asked:  # it stays open for a resume
            return
        number = trial.config["number"]
        if trial.num_failures <= self.retries and self._given_up[number] < self.retries:
            # Tune tries a running trial again, but not one whose worker died while it took the trial over.
            self._given_up[number] += 1
            self.session.suggester.again.append(self.planner.plans[number])
            self.on_trial_recover(iteration, trials, trial)
        else:
            self._conclude(trial, cause_of_death(trial.error_file, self._kills))

    def _conclude(self, trial: Any, death: str | None = None) -> None:
        number = trial.config["number"]
        if (stop := self.stopping.stopped.get(number)) is not None:
            record = self.ledger.stop(number, stop.reached, stop.reason)
        else:
            record = self.ledger.conclude(number, death=death)
        self.progress.concluded(record, self.planner.total)
        self.session.collect()


class Tracker(tune.Callback):
    """Writes Tune's events to W&B: one run per trial, ended with the status that the ledger gave the trial.

    Stands after the `Recorder`, so that the ledger has that status.
    """

    def __init__(self, runs: TrialRuns, planner: Planner, ledger: Ledger) -> None:
        self.runs, self.planner, self.ledger = runs, planner, ledger

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def interrupt(self) -> None:
        """End the runs the moment an interrupt comes: Tune stops its trials first, which takes seconds."""
        self.runs.interrupt()

    def close(self, timeout: float) -> None:
        """End the runs before Ray goes down; what could not be written is said in one line and fails nothing.

        Only who runs the sweep knows how it ended, and so how long to wait: Tune's `on_experiment_end` does not.
        """
        self.runs.close(timeout)
        self.ledger.add_seconds("tracking", self.runs.seconds)
        if degraded := sorted(self.runs.degraded):
            numbers = ", ".join(map(str, degraded))
            self.runs.warn(f"W&B: incomplete runs of trials {numbers}; the tables are the record")

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        plan = self.planner.plans[trial.config["number"]]
        self.runs.start(plan.number, self.planner.spec.flat(plan.overrides), plan.phase)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if "epoch" in result:
            self.runs.log(trial.config["number"], int(result["epoch"]), metrics_of(result))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        number = trial.config["number"]
        if self.ledger.outcome(number) is not None:
            self.runs.finish(number, self.ledger.trial_folder(number), self.ledger.records[number].status)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """The ledger's verdict, not Tune's: a result may have been there before the worker died."""
        self.on_trial_complete(iteration, trials, trial)
