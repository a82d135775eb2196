"""The W&B runs of a sweep's trials, written by the driver from a thread of their own.

Training never waits for W&B and never fails because of it: calls put work into a queue, and an error costs the W&B
copy of that trial (one warning, and the trial's number in `degraded`).
"""

from __future__ import annotations

import logging
import os
import queue
import re
import secrets
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.layout import SWEEP_ID, WANDB
from sweeps.specification.options import TrackingConfig, WandbMode
from sweeps.tracking import offline, online
from sweeps.tracking.client import start_run
from sweeps.tracking.trial_run import Trial, TrialRun

if TYPE_CHECKING:
    from sweeps.specification.spec import SweepSpec

log = logging.getLogger(__name__)

CLOSE_SECONDS, END_SECONDS, FLUSH_SECONDS = 10.0, 120.0, 3.0
"""Closing on an interrupt, at a normal end, and what of it is left for looking at the disk."""
REPORT = -1
"""Stands for a trial's number where the work belongs to none."""


def sweep_id(sweep_folder: Path, sweep_name: str) -> str:
    """The name and a token that stays with the folder: a sweep made anew under an old name is another sweep."""
    path = sweep_folder / WANDB / SWEEP_ID
    if path.is_file():
        return path.read_text(encoding="utf-8").strip()
    name = re.sub(r"[^\w.-]+", "-", sweep_name)[:64]
    identity = f"{name}-{secrets.token_hex(3)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(identity + "\n", encoding="utf-8")
    return identity


def choose_mode(wanted: WandbMode, environ: Mapping[str, str] = os.environ) -> tuple[WandbMode, str | None]:
    """The mode that is possible, and one line if it is not the wanted one. Takes a few seconds at most."""
    if wanted == "online" and (reason := online.problem(environ)):
        return "offline", f"W&B goes on offline: {reason}; `elbosweep sync` uploads later"
    return wanted, None


class TrialRuns:
    """The runs of a sweep's trials. Every method returns at once; `close` waits for what is still queued."""

    def __init__(
        self,
        sweep_folder: Path,
        sweep_name: str,
        tracking: TrackingConfig | None = None,
        warn: Callable[[str], None] = log.warning,
    ) -> None:
        self.sweep_folder, self.sweep_name = sweep_folder.resolve(), sweep_name
        self.tracking = tracking or TrackingConfig()
        self.warn = warn
        self.mode, line = choose_mode(self.tracking.wandb)
        if line:
            warn(line)
        self.degraded: set[int] = set()
        """Trials whose W&B copy is known to be incomplete."""
        self.seconds: dict[int, float] = defaultdict(float)
        """What tracking took, by trial."""
        self._runs: dict[int, TrialRun] = {}
        self._ended: dict[int, str] = {}
        """Trials whose runs were ended, with the runs' ids, until their files have been looked at."""
        self._trials: dict[int, Trial] = {}
        self._warned = self._interrupted = False
        self._environment: dict[str, str | None] = {}
        self._queue: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    # --- what the driver calls ---

    def start(self, number: int, flat_config: Mapping[str, Any], phase: str) -> None:
        """A trial begins, or begins again: its run takes over what is known of it."""
        self._trials[number] = Trial(number, dict(flat_config), phase)
        self._submit(number, lambda: self._open(number))

    def log(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch's metrics."""
        row = dict(metrics)
        if not self._interrupted:
            self._submit(number, lambda: self._log(number, epoch, row))

    def finish(self, number: int, folder: Path, status: str) -> None:
        """A trial is over: `finished`, `stopped`, `failed` or `interrupted`."""
        self._submit(number, lambda: self._complete(number, folder, status))

    def report(self, folder: Path) -> None:
        """The written report as an artifact of a run of its own."""
        self._submit(REPORT, lambda: self._report(folder))

    def interrupt(self) -> None:
        """End the open runs as interrupted; further epochs are left to a resume. May be called by a signal handler."""
        if self._thread is not None:
            self._interrupted = True
            for number in list(self._trials):
                self._put(number, lambda number=number: self._end(number))  # type: ignore[misc]

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Close the runs that are still open as interrupted. Gives up, with a warning, after `timeout` seconds."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        deadline = time.monotonic() + timeout
        for number in list(self._trials):
            self._put(number, lambda number=number: self._end(number))  # type: ignore[misc]
        self._queue.put(None)
        thread.join(timeout)
        if thread.is_alive():
            self._lost(None, f"W&B did not finish within {timeout:g} s")
        self._confirm(min(deadline, time.monotonic() + FLUSH_SECONDS))
        self._restore_environment()

    def _confirm(self, deadline: float) -> None:
        """Look whether the runs that were ended are on the disk. A full disk shows nowhere else."""
        while self._ended:
            for number in [number for number in self._ended if self._on_disk(number)]:
                del self._ended[number]
            if time.monotonic() > deadline:
                break
            if self._ended:
                time.sleep(0.05)
        for number in self._ended:
            self._lost(number, "W&B could not write the end of the run; is the disk full?")
        self._ended.clear()

    def _on_disk(self, number: int) -> bool:
        files = offline.run_files(self.sweep_folder, self._ended[number])
        return any(offline.ended(path) for path in files)

    # --- the thread's work ---

    def _open(self, number: int) -> None:
        self._end(number)
        self._ended.pop(number, None)
        run = TrialRun(self.sweep_folder, self._id(), self._trials[number], self.tracking, self.mode)
        run.open()
        self._runs[number] = run
        self.degraded.discard(number)

    def _live(self, number: int) -> TrialRun:
        if number not in self._runs:
            self._open(number)
        return self._runs[number]

    def _log(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        if number not in self.degraded:  # what was lost comes back when the trial is over, not at every epoch
            self._live(number).log(epoch, metrics)

    def _complete(self, number: int, folder: Path, status: str) -> None:
        self._live(number).complete(folder, status)
        self._ended[number] = self._runs.pop(number).id

    def _end(self, number: int) -> None:
        if run := self._runs.pop(number, None):
            run.end("interrupted")
            self._ended[number] = run.id

    def _report(self, folder: Path) -> None:
        import wandb

        name = self._id()
        replaced = offline.run_files(self.sweep_folder, f"{name}-report")
        run = start_run(
            self.sweep_folder,
            self.tracking,
            self.mode,
            id=f"{name}-report",
            name="report",
            group=name,
            job_type="report",
        )
        artifact = wandb.Artifact(f"report-{name}", type="report")
        artifact.add_dir(str(folder), skip_cache=True)
        run.log_artifact(artifact)
        run.finish(exit_code=0)
        if self.mode == "offline":
            for path in replaced:
                shutil.rmtree(path.parent, ignore_errors=True)

    def _id(self) -> str:
        return sweep_id(self.sweep_folder, self.sweep_name)

    # --- the queue ---

    def _submit(self, number: int, work: Callable[[], None]) -> None:
        if self.mode == "disabled":
            return
        if self._thread is None:
            self._set_environment()
            self._thread = threading.Thread(target=self._serve, name="wandb", daemon=True)
            self._thread.start()
        self._put(number, work)

    def _put(self, number: int, work: Callable[[], None]) -> None:
        self._queue.put(lambda: self._attempt(number, work))

    def _serve(self) -> None:
        while work := self._queue.get():
            work()

    def _attempt(self, number: int, work: Callable[[], None]) -> None:
        """Do it; where it fails, once more with a new run (and a new W&B service, if that is what died)."""
        started = time.perf_counter()
        try:
            work()
        except Exception as first:
            self._recover(number, first)
            try:
                work()
            except Exception as error:
                self._runs.pop(number, None)
                self._lost(number, _line(error))
        self.seconds[number] += time.perf_counter() - started

    def _recover(self, number: int, error: Exception) -> None:
        """Make a new run possible: end the broken one, and with it a service or a server that stopped answering."""
        import wandb

        broken = self._runs.pop(number, None)
        if self.mode == "online":
            self.mode = "offline"
            self.warn(f"W&B goes on offline ({_line(error)}); `elbosweep sync` uploads later")
            self._set_environment()
            restart = True
        else:
            module = type(error).__module__
            restart = isinstance(error, ConnectionError) or "mailbox" in module or "service" in module
        with suppress(Exception):
            if broken:
                broken.end("interrupted")
        if restart:
            self._runs.clear()
            with suppress(Exception):
                wandb.teardown(exit_code=1)
            os.environ.pop("WANDB_SERVICE", None)  # may name one that is gone

    def _lost(self, number: int | None, reason: str) -> None:
        trial = "" if number is None or number == REPORT else f" of trial {number}"
        if trial and number is not None:
            self.degraded.add(number)
        if not self._warned:
            self._warned = True
            self.warn(f"the W&B copy{trial} is incomplete ({reason}); the tables in {self.sweep_folder} are the record")

    # --- the client's environment ---

    def _set_environment(self) -> None:
        """Offline must be in the environment too, or the client makes a connection. Its files go to the run folder."""
        folder = self.sweep_folder / WANDB
        values = {
            "WANDB_MODE": self.mode,
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_DATA_DIR": str(folder / "data"),
            "WANDB_CACHE_DIR": str(folder / "cache"),
        }
        for name, value in values.items():
            self._environment.setdefault(name, os.environ.get(name))
            os.environ[name] = value

    def _restore_environment(self) -> None:
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environment.clear()


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(": ")


def log_report(sweep_folder: Path, spec: SweepSpec, folder: Path, warn: Callable[[str], None]) -> None:
    """The written report as an artifact, in a run of job type `report` beside the trials' runs."""
    runs = TrialRuns(sweep_folder, spec.name, spec.tracking, warn)
    runs.report(folder)
    runs.close(END_SECONDS)
