"""Ray Tune runs the trials of a sweep; everything that must survive is in the study and the ledger, not in Tune."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import tune

from pipeline.config import DataConfig
from pipeline.data.images import ImageData
from sweeps.machine.interrupts import Interrupts
from sweeps.machine.scratch import folder as temporary_folder
from sweeps.record.ledger import Ledger
from sweeps.running.callbacks import Arrivals, Recorder, Suggester, Tracker
from sweeps.running.early_stopping import EarlyStopping
from sweeps.running.progress import Periodic, Progress
from sweeps.running.ray_session import session
from sweeps.running.shared_data import share
from sweeps.running.worker import Job, trainable
from sweeps.specification.options import Resources
from sweeps.specification.spec import SweepSpec
from sweeps.storage.sweep_copy import SweepCopy
from sweeps.tracking.trial_runs import CLOSE_SECONDS, END_SECONDS


def run_trials(
    spec: SweepSpec,
    suggester: Suggester,
    job: Job,
    resources: Resources,
    progress: Progress,
    collect: Periodic,
    *,
    data: Mapping[DataConfig, ImageData],
    copy: SweepCopy | None = None,
    interrupts: Interrupts,
) -> bool:
    """Run what is left of the sweep. False if it was interrupted."""
    planner, ledger = suggester.planner, suggester.ledger
    stopping = EarlyStopping(spec, planner, ledger)
    tracker = Tracker(
        ledger.folder,
        spec.name,
        spec.tracking,
        resolve=lambda number: spec.flat(planner.plans[number].overrides),
        phase=lambda number: planner.plans[number].phase,
        warn=progress.warn,
    )
    tracker.ledger = ledger
    with session(resources), interrupts.stopping(tracker.interrupt), temporary_folder() as scratch, progress:
        function = tune.with_parameters(trainable(job), data=share(data))
        tuner = tune.Tuner(
            tune.with_resources(function, {"cpu": resources.cpus, "gpu": resources.gpus}),
            tune_config=tune.TuneConfig(
                search_alg=suggester,
                scheduler=stopping,
                num_samples=-1,
                max_concurrent_trials=resources.workers,
                reuse_actors=True,
                trial_name_creator=_trial_name,
                trial_dirname_creator=_trial_name,
            ),
            run_config=tune.RunConfig(
                name=spec.name,
                storage_path=str(scratch),
                callbacks=[
                    Arrivals(job.folder, copy),
                    Recorder(suggester, stopping, progress, collect, interrupts, spec.retries),
                    tracker,
                ],
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
