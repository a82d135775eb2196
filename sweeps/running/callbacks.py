"""What Ray Tune asks and tells: which trial is next, how one goes, how it ended."""

from __future__ import annotations

import math
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.search import Searcher

from pipeline.files import write_text
from sweeps.machine.interrupts import Interrupts
from sweeps.machine.watchdog import ERROR_FILE, cause_of_death, kernel_kills
from sweeps.record.ledger import Ledger, last_error
from sweeps.running.early_stopping import EarlyStopping
from sweeps.running.progress import Periodic, Progress
from sweeps.running.wandb_callback import WandbCallback
from sweeps.running.worker import FULL_DISK
from sweeps.search.plan import Plan
from sweeps.search.planner import Planner, Waiting
from sweeps.storage.sweep_copy import SweepCopy


class Suggester(Searcher):
    """Tune's view of the planner: trials that must run again first, then new ones."""

    def __init__(self, planner: Planner, ledger: Ledger, again: list[Plan], deadline: float = math.inf) -> None:
        super().__init__()
        self.planner, self.ledger, self.again, self.deadline = planner, ledger, list(again), deadline
        self.exhausted = False
        """All trials of the sweep are over: asking the planner once more would plan the next one."""

    def decide(self) -> bool:
        """Whether there is anything to run; a new trial that was decided thereby is the first."""
        if not self.again and isinstance(plan := self._next(), Plan):
            self.again.append(plan)
        return bool(self.again)

    def suggest(self, trial_id: str) -> Any:
        began = time.perf_counter()
        plan = self.again.pop(0) if self.again else self._next()
        if plan is None:
            self.exhausted = True
            return str(Searcher.FINISHED)
        if isinstance(plan, Waiting):
            return None
        self.ledger.start(plan, suggestion=time.perf_counter() - began)
        return {"number": plan.number, "overrides": dict(plan.overrides)}

    def _next(self) -> Plan | Waiting | None:
        closed = time.monotonic() >= self.deadline
        while isinstance(plan := self.planner.next(self.ledger.outcome, closed=closed), Plan):
            if not self.ledger.settled(plan):
                break
        return plan

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the ledger knows."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record, and Tune's own is never restored."""

    def __getstate__(self) -> dict[str, Any]:
        return {"_metric": None, "_mode": None}


class Recorder(tune.Callback):
    """Tune's events into the ledger and onto the screen."""

    def __init__(
        self,
        suggester: Suggester,
        stopping: EarlyStopping,
        progress: Progress,
        collect: Periodic,
        interrupts: Interrupts,
        retries: int,
    ) -> None:
        self.suggester, self.progress, self.collect = suggester, progress, collect
        self.planner, self.ledger = suggester.planner, suggester.ledger
        self.stopping, self.interrupts, self.retries = stopping, interrupts, retries
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
            self.interrupts.full_disk = result[FULL_DISK]
            self.interrupts.stop()
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
        if self.interrupts.asked:  # it stays open for a resume
            return
        number = trial.config["number"]
        if trial.num_failures <= self.retries and self._given_up[number] < self.retries:
            # Tune tries a running trial again, but not one whose worker died while it took the trial over.
            self._given_up[number] += 1
            self.suggester.again.append(self.planner.plans[number])
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
        self.collect()


class Tracker(WandbCallback):
    """The same events into W&B, with the status that the ledger gave the trial."""

    ledger: Ledger | None = None

    def interrupt(self) -> None:
        """On an interrupt Tune stops its trials first, which takes seconds: the runs are ended the moment it comes."""
        if self.runs is not None:
            self.runs.interrupt()

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "ledger": None}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self.ledger is not None and self.ledger.outcome(trial.config["number"]) is not None:
            self._finish(trial, self.ledger.records[trial.config["number"]].status)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune's error is the ledger's verdict too: a result may have been there before the worker died."""
        self.on_trial_complete(iteration, trials, trial)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Nothing: closing waits longer at a normal end than on an interrupt, and only `run_trials` knows which."""


TELLING = re.compile(r"(?:StorageError|NotSharedError)\S*: (.*)")
"""Errors of a worker that could not write its reason where the driver reads it."""


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
        path = self.trials / f"{trial.config['number']:04d}" / ERROR_FILE
        if path.exists() or not trial.error_file:
            return
        if found := TELLING.findall(Path(trial.error_file).read_text(errors="replace")):
            write_text(path, f"{found[-1]}\n")
