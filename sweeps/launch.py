"""Ray Tune runs the trials of a sweep; everything that must survive is in the study and the ledger, not in Tune."""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

# Read when Ray is imported: one line of output per trial, csv and json copies, snapshots of a state that we never
# restore, and a probe for a token are all off.
for _name, _value in {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
}.items():
    os.environ.setdefault(_name, _value)

import ray  # noqa: E402
from ray import tune  # noqa: E402
from ray.tune.search import Searcher  # noqa: E402

from sweeps.cores import available_cores  # noqa: E402
from sweeps.ledger import Ledger, Periodic  # noqa: E402
from sweeps.progress import Progress  # noqa: E402
from sweeps.recorder import CLOSE_SECONDS, END_SECONDS, settings_of  # noqa: E402
from sweeps.search import Plan, Planner, Waiting  # noqa: E402
from sweeps.spec import Resources, SweepSpec  # noqa: E402
from sweeps.tracking import WandbCallback  # noqa: E402
from sweeps.worker import Job, trainable  # noqa: E402

SHORTEST_SOCKET_PATH = 40
"""Characters that Ray's folder may have so that its sockets stay below the system's limit (107)."""


class Suggester(Searcher):
    """Tune's view of the planner: trials that must run again first, then new ones."""

    def __init__(self, planner: Planner, ledger: Ledger, again: list[Plan]) -> None:
        super().__init__()
        self.planner, self.ledger, self.again = planner, ledger, list(again)
        self.exhausted = False
        """All trials of the sweep are over: asking the planner once more would plan the next one."""

    def suggest(self, trial_id: str) -> Any:
        plan = self.again.pop(0) if self.again else self._next()
        if plan is None:
            self.exhausted = True
            return str(Searcher.FINISHED)
        if isinstance(plan, Waiting):
            return None
        self.ledger.start(plan)
        return {"number": plan.number, "overrides": dict(plan.overrides)}

    def _next(self) -> Plan | Waiting | None:
        while isinstance(plan := self.planner.next(self.ledger.outcome), Plan) and plan.problem is not None:
            self.ledger.start(plan)
            self.ledger.conclude(plan.number, plan.problem)
        return plan

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Nothing: the ledger knows."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the study is the record, and Tune's own is never restored."""

    def __getstate__(self) -> dict[str, Any]:
        return {"_metric": None, "_mode": None}


class Recorder(tune.Callback):
    """Tune's events into the ledger and onto the screen."""

    def __init__(self, planner: Planner, ledger: Ledger, progress: Progress, collect: Periodic) -> None:
        self.planner, self.ledger, self.progress, self.collect = planner, ledger, progress, collect

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        plan = self.planner.known[trial.config["number"]]
        self.ledger.start(plan)
        self.progress.started(plan, self.planner.total)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.progress.epoch(trial.config["number"], result)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._conclude(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._conclude(trial)

    def _conclude(self, trial: Any) -> None:
        number = trial.config["number"]
        self.progress.concluded(self.ledger.conclude(number), self.planner.total)
        self.collect()


class Tracker(WandbCallback):
    """The same events into W&B, with the status that the ledger gave the trial."""

    ledger: Ledger | None = None

    def setup(self, *arguments: Any, **info: Any) -> None:
        """On an interrupt Tune stops its trials first, which takes seconds: the runs are ended the moment it comes."""
        tunes_own = signal.getsignal(signal.SIGINT)

        def handler(number: int, frame: Any) -> None:
            if self.runs is not None:
                self.runs.interrupt()
            if callable(tunes_own):
                tunes_own(number, frame)

        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "ledger": None}

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if self.ledger is not None:
            self._finish(trial, self.ledger.records[trial.config["number"]].status)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Tune's error is the ledger's verdict too: a result may have been there before the worker died."""
        self.on_trial_complete(iteration, trials, trial)

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Nothing: closing waits longer at a normal end than on an interrupt, and only `run_trials` knows which."""


def run_trials(
    spec: SweepSpec,
    planner: Planner,
    ledger: Ledger,
    job: Job,
    resources: Resources,
    progress: Progress,
    collect: Periodic,
) -> bool:
    """Run what is left of the sweep. False if it was interrupted."""
    suggester = Suggester(planner, ledger, ledger.reconcile(planner.known))
    tracker = Tracker(
        ledger.folder,
        spec.name,
        settings_of(spec.tracking),
        resolve=lambda number: spec.flat(planner.known[number].overrides),
        phase=lambda number: planner.known[number].phase,
        warn=progress.warn,
    )
    tracker.ledger = ledger
    with _ray(resources), _terminable(), tempfile.TemporaryDirectory(prefix="elbosweep-") as scratch, progress:
        tuner = tune.Tuner(
            tune.with_resources(trainable(job), {"cpu": resources.cpus, "gpu": resources.gpus}),
            tune_config=tune.TuneConfig(
                search_alg=suggester,
                num_samples=-1,
                max_concurrent_trials=resources.workers,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=spec.name,
                storage_path=scratch,
                callbacks=[Recorder(planner, ledger, progress, collect), tracker],
                failure_config=tune.FailureConfig(max_failures=spec.retries),
                verbose=0,
            ),
        )
        try:
            tuner.fit()
        finally:
            _close(tracker, ledger, progress, END_SECONDS if suggester.exhausted else CLOSE_SECONDS)
    return suggester.exhausted


def _close(tracker: Tracker, ledger: Ledger, progress: Progress, timeout: float) -> None:
    """End the W&B runs before Ray goes down; what could not be written is said in one line and fails nothing."""
    if tracker.runs is None:
        return
    tracker.runs.close(timeout)
    ledger.add_seconds("tracking", tracker.runs.seconds)
    if degraded := sorted(tracker.runs.degraded):
        progress.warn(f"W&B: incomplete runs of trials {', '.join(map(str, degraded))}; the tables are the record")


def _trial_name(trial: Any) -> str:
    return f"trial_{trial.config['number']:04d}"


@contextmanager
def _ray(resources: Resources) -> Iterator[None]:
    """A Ray of our own on this machine, silent, gone without a trace at the end; or the one that runs already."""
    if ray.is_initialized():
        yield
        return
    for name in ("ray", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    scratch = tempfile.mkdtemp(prefix="ray-")
    own_folder: dict[str, Any] = {"_temp_dir": scratch} if len(scratch) <= SHORTEST_SOCKET_PATH else {}
    try:
        ray.init(
            address="local",
            num_cpus=resources.workers * resources.cpus,
            num_gpus=math.ceil(resources.workers * resources.gpus),
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            _node_ip_address="127.0.0.1",
            **own_folder,
        )
        yield
    finally:
        ray.shutdown()
        shutil.rmtree(scratch, ignore_errors=True)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM stops as cleanly as Ctrl-C does. Entered after `ray.init`, which puts a handler of its own in place."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupt = signal.getsignal(signal.SIGINT)  # Tune leaves its own handler behind
    terminate = signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getpid(), signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, terminate)
        signal.signal(signal.SIGINT, interrupt)


def resolve_resources(spec: SweepSpec, workers: int | None = None) -> Resources:
    """`auto`: several trials on each GPU where there are any, else one trial with one thread on each core.

    The threads of a trial do not depend on the number of workers, since they can change the last digits of its result.
    """
    chosen = spec.resources if isinstance(spec.resources, Resources) else _auto()
    return chosen.model_copy(update={"workers": workers}) if workers is not None else chosen


def _auto() -> Resources:
    import torch

    cores, gpus = available_cores(), torch.cuda.device_count()
    if not gpus:
        return Resources(workers=cores, cpus=1)
    per_gpu = max(1, min(4, cores // gpus))
    return Resources(workers=gpus * per_gpu, cpus=1, gpus=1 / per_gpu)
