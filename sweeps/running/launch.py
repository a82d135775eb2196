"""Ray Tune runs the trials of a sweep; everything that must survive is in the study and the ledger, not in Tune."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import tune

from sweeps.layout import trial_name
from sweeps.machine.scratch import folder as temporary_folder
from sweeps.running.callbacks import Arrivals, Recorder, Tracker
from sweeps.running.early_stopping import EarlyStopping
from sweeps.running.ray_session import local_ray
from sweeps.running.session import Session
from sweeps.running.shared_data import share
from sweeps.running.worker import Job, trainable
from sweeps.tracking.trial_runs import CLOSE_SECONDS, END_SECONDS, TrialRuns


def run_trials(session: Session) -> bool:
    """Run what is left of the sweep. False if it was interrupted."""
    sweep, interrupts, suggester, job = session.sweep, session.interrupts, session.suggester, session.job()
    runs = TrialRuns(sweep.folder, sweep.spec.name, sweep.spec.tracking, session.progress.warn)
    tracker = Tracker(runs, session.planner, session.ledger)
    with (
        local_ray(sweep.resources),
        interrupts.stopping(tracker.interrupt),
        temporary_folder() as scratch,
        session.progress,
    ):
        tuner = _tuner(session, job, tracker, scratch)
        try:
            tuner.fit()
        finally:
            tracker.close(END_SECONDS if suggester.exhausted else CLOSE_SECONDS)
    return suggester.exhausted


def _tuner(session: Session, job: Job, tracker: Tracker, scratch: Path) -> tune.Tuner:
    """Tune, set up so that it decides nothing: not which trial is next, which is stopped, nor what is kept."""
    sweep, resources = session.sweep, session.sweep.resources
    stopping = EarlyStopping(sweep.spec, session.planner, session.ledger)
    function = tune.with_parameters(trainable(job), data=share(sweep.data))
    return tune.Tuner(
        tune.with_resources(function, {"cpu": resources.cpus, "gpu": resources.gpus}),
        tune_config=tune.TuneConfig(
            search_alg=session.suggester,
            scheduler=stopping,
            num_samples=-1,
            max_concurrent_trials=resources.workers,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=sweep.spec.name,
            storage_path=str(scratch),
            callbacks=[Arrivals(job.folder, sweep.copy), Recorder(session, stopping), tracker],
            failure_config=tune.FailureConfig(max_failures=sweep.spec.retries),
            verbose=0,
        ),
    )


def _trial_name(trial: Any) -> str:
    return f"trial_{trial_name(trial.config['number'])}"
