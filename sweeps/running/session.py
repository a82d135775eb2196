"""What lives while a sweep runs: planner, ledger, progress, suggester; and how a sweep ends."""

from __future__ import annotations

import math
import time
from typing import Any

from pipeline.layout import CHECKPOINTS, TRAINING
from sweeps.layout import TRIALS
from sweeps.machine.exit_codes import ExitCode
from sweeps.machine.interrupts import Interrupts
from sweeps.record import references, state
from sweeps.record.folders import to_resume
from sweeps.record.ledger import Ledger
from sweeps.record.reconciliation import Reconciliation, make_whole, reconcile
from sweeps.record.state import State
from sweeps.record.tables import collect
from sweeps.record.times import duration
from sweeps.running.opened import OpenSweep
from sweeps.running.progress import Periodic, Progress
from sweeps.running.suggester import Suggester
from sweeps.running.worker import Job, TrialFunction
from sweeps.search.planner import Planner

COUNTED = ("finished", "failed", "stopped", "running")
"""Statuses of trials, in the order in which sweep.json counts them."""


class Session:
    """One start of a sweep, from the first look at its record to its exit code."""

    def __init__(self, sweep: OpenSweep, info: dict[str, Any], interrupts: Interrupts) -> None:
        """`info` is the provenance, with the seconds that earlier starts took."""
        spec, self.began = sweep.spec, time.monotonic()
        self.seconds_before: float = info.get("seconds", 0.0)
        self.sweep, self.info, self.interrupts = sweep, info, interrupts
        self.planner, self.ledger = Planner(spec, sweep.folder), Ledger(sweep.folder, *spec.search.modes)
        self.progress = Progress(
            self.ledger,
            name=spec.name,
            total=self.planner.total,
            workers=sweep.resources.workers,
            epochs=spec.base["training"]["epochs"],
            mode=spec.search.mode,
            console=sweep.setting.console,
        )
        window, workers = spec.search.window, sweep.resources.workers
        if spec.search.trials and workers > window:
            self.progress.warn(f"search.window: at most {window} of {workers} workers can search at once")
        again = self.ledger.to_run_again(self.planner.plans)
        self.suggester = Suggester(self.planner, self.ledger, again, self._deadline())
        self.collect = Periodic(lambda: self.save(State.RUNNING))
        """Brings tables and sweep.json up to date, now and then."""

    def _deadline(self) -> float:
        """When `budget.hours` are used up, over all starts of the sweep, by the monotonic clock."""
        hours = self.sweep.spec.budget.hours
        return self.began - self.seconds_before + 3600 * (math.inf if hours is None else hours)

    def job(self) -> Job:
        """What all trials share in their workers."""
        sweep = self.sweep
        return Job(
            sweep.folder / TRIALS,
            sweep.resources.cpus,
            sweep.setting.data_dir,
            sweep.setting.function or _run_trial(),
            None if sweep.copy is None else sweep.copy.storage,
            sweep.spec.limits.trial_minutes,
        )

    # --- the record while it runs -----------------------------------------------------------------------------------

    def save(self, now: State) -> None:
        """Bring tables, sweep.json and the copy in the storage up to date."""
        rows = collect(self.ledger, self.sweep.spec)
        state.write(
            self.sweep.folder,
            now,
            self.info,
            seconds=self.seconds_before + time.monotonic() - self.began,
            counts={status: self.ledger.count(status) for status in COUNTED},
            rows=rows,
            resources=self.sweep.resources.model_dump(mode="json"),
            total=self.planner.total,
        )
        self._push()

    def save_end(self, *, complete: bool) -> None:
        """Save with the state that this start leaves the sweep in."""
        if not complete:
            self.save(State.INTERRUPTED)
        else:
            self.save(State.FAILED if self.ledger.count("failed") else State.FINISHED)

    def has_work(self) -> bool:
        """Whether there is a trial to run. Where there is none, sweep.json keeps what the numbers came from."""
        if self.suggester.decide():
            return True
        self.progress.warn(f"{self.sweep.spec.name}: nothing is left to do")
        self.info = state.read(self.sweep.folder) or self.info
        return False

    def _push(self, *, final: bool = False) -> None:
        if self.sweep.copy is not None:
            self.sweep.copy.push(self.progress.warn, final=final)

    # --- how it ends ------------------------------------------------------------------------------------------------

    def close(self, *, complete: bool) -> ExitCode:
        """Write the tables that are beside the trials, say what came out, and give back the exit code."""
        if self.interrupts.full_disk is not None:
            self.progress.warn(disk_is_full(self.interrupts.full_disk, self.sweep))
            return ExitCode.FAILED
        if not complete:
            self._write_references()
            self._push(final=True)
            self.progress.warn(self.interrupts.notice)
            return ExitCode.INTERRUPTED
        gaps = self._reconcile().gaps
        self._write_references()
        self._remove_checkpoints_of_stopped()
        references.write_calibration(self.sweep.folder, self.sweep.spec.flat({})["seed"])
        self._push(final=True)
        if self.planner.ended is not None:
            self.progress.warn(self.planner.ended)
        self.progress.warn(self._summary())
        return ExitCode.FAILED if gaps or self.ledger.count("failed") else ExitCode.DONE

    def _write_references(self) -> None:
        references.write(self.sweep.folder, self.sweep.spec, self.sweep.images, self.planner.study)

    def _reconcile(self) -> Reconciliation:
        """Compare all records; W&B runs that are not whole (a kill, a broken W&B service) are written anew first."""
        folder, spec = self.sweep.folder, self.sweep.spec
        reconciliation = reconcile(folder, spec, self.ledger)
        if reconciliation.incomplete:
            make_whole(folder, spec, self.ledger, reconciliation.incomplete, self.progress.warn)
            reconciliation = reconcile(folder, spec, self.ledger)
        for line in reconciliation.lines():
            self.progress.warn(line)
        return reconciliation

    def _remove_checkpoints_of_stopped(self) -> None:
        """Weights and optimiser of a trial that nobody goes on with: most of what early stopping leaves on the disk."""
        for number, record in self.ledger.records.items():
            if record.status == "stopped":
                (self.ledger.trial_folder(number) / CHECKPOINTS / TRAINING).unlink(missing_ok=True)

    def _summary(self) -> str:
        count, seconds = self.ledger.count, time.monotonic() - self.began
        stopped = f", {count('stopped')} stopped early" if count("stopped") else ""
        counts = f"{count('finished')} trials finished{stopped}, {count('failed')} failed"
        return f"{self.sweep.spec.name}: {counts} in {duration(seconds)}: {self.sweep.folder}"


def disk_is_full(place: str, sweep: OpenSweep) -> str:
    """One line that says where there is no space, and how to go on."""
    return f"the disk is full: {place}; free some space, then: {to_resume(sweep.folder)}"


def _run_trial() -> TrialFunction:
    from pipeline.trial import run_trial

    return run_trial
