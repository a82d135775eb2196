"""Run one trial: train every replicate, measure its best weights, write everything into the trial's folder.

`pipeline.layout` lists the files of the folder. Every file is written whole or not at all, so an interrupted run goes
on from the folder and gives the same numbers.
"""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import torch

from pipeline import layout
from pipeline.config import ConfigError, TrialConfig, config_hash
from pipeline.data.images import ImageData
from pipeline.files import read_json, set_aside, write_json
from pipeline.model.vae import VAE
from pipeline.probability.sampling import replicate_seed
from pipeline.training.loop import Training
from pipeline.training.precision import tf32
from pipeline.trial import folder as trial_folder
from pipeline.trial import pictures
from pipeline.trial.job import Job, prepare
from pipeline.trial.measure import Measurement, measure, total_seconds
from pipeline.trial.result import TrialResult, write_result
from pipeline.trial.train import Report, history_rows, replicate_row, train
from pipeline.trial.trained import with_weights

log = logging.getLogger(__name__)


@tf32(False)
def run_trial(
    config: TrialConfig,
    folder: Path | str,
    *,
    device: str = "cpu",
    data: ImageData | None = None,
    data_dir: Path | None = None,
    report: Report | None = None,
    threads: int | None = None,
) -> TrialResult:
    """Train and measure one configuration; go on with an interrupted run of it; return a finished one as it is.

    >>> quick = {"max_images": 32, "gap_images": 0, "prior_draws": 0}
    >>> off = {"images": 0, "gradient_repeats": 0}
    >>> config = parse({"training": {"epochs": 1}, "evaluation": quick, "variance": off})
    >>> result = run_trial(config, "trials/first")  # three VAEs, on scikit-learn's digits
    >>> result.metrics["test.elbo"] < result.metrics["test.iwae_8"] < result.metrics["test.iwae_64"]
    True

    Args:
        config: the complete configuration.
        folder: the trial's own; made if it is missing.
        device: `cpu`, `cuda` or `cuda:N`.
        data: the images, where they are in memory already (else they are loaded, from `data_dir`).
        report: called after each epoch that is trained now, with the epoch and its metrics: the mean over replicates
            under the metric's name, `.standard_error` and `.replicate_N`. An exception that it raises ends the run
            and leaves a folder to go on from.
        threads: torch threads (None: as they are).

    Where the device runs out of memory, the trial goes on from its last checkpoint with half as many images at once, as
    often as that helps; its numbers are the same to rounding, and result.json says so.

    Raises:
        ConfigError: the folder holds another trial or cannot be written; data or device are missing.
        TrainingDiverged: a replicate's loss is not finite; history and replicates so far are in the folder.
    """
    folder, started = Path(folder), time.perf_counter()
    trial_folder.claim(folder, config)
    if (folder / layout.RESULT).is_file():
        return TrialResult(folder, trial_folder.read_result(folder))
    job = prepare(config, folder, device=device, data=data, data_dir=data_dir, threads=threads)
    report = _each_epoch_once(report)
    while True:
        try:
            return TrialResult(folder, _complete(job, report, started))
        except torch.OutOfMemoryError:
            if job.max_decodes == 1:
                raise
            job = job.with_less_memory()
        # The error is gone by now, and with it the tensors that its traceback held.
        log.warning("%s: out of memory on %s: at most %d images at once now", folder, device, job.max_decodes)
        torch.cuda.empty_cache()


def _each_epoch_once(report: Report | None) -> Report | None:
    """The report, without the epochs that it had already when the run began again from its checkpoint."""
    if report is None:
        return None
    last = -1

    def once(epoch: int, metrics: dict[str, float]) -> None:
        nonlocal last
        if epoch > last:
            last = epoch
            report(epoch, metrics)

    return once


def _complete(job: Job, report: Report | None, started: float) -> dict[str, Any]:
    """Bring the trial from wherever its folder stands to result.json; returns that file's content."""
    training, drawing = train(job, report)
    measured = [_measured_once(job, replicate.number) for replicate in training.replicates]
    if job.config.evaluation.pictures:
        drawing += _draw_final(job, training)
    rows = [replicate_row(job.config, replicate, layout.FINISHED) for replicate in training.replicates]
    seconds = {"training": sum(row["seconds.training"] for row in rows), **total_seconds(measured), "pictures": drawing}
    # After an interruption the parts include earlier runs, which this run's clock has not seen.
    seconds["total"] = max(time.perf_counter() - started, sum(seconds.values()))
    record = write_result(job, rows=rows, measured=measured, seconds=seconds)
    trial_folder.training_file(job.folder).unlink(missing_ok=True)
    for replicate in training.replicates:
        trial_folder.measured_file(job.folder, replicate.number).unlink(missing_ok=True)
    return record


def _measured_once(job: Job, number: int) -> Measurement:
    """A replicate's measurement, read back where an interrupted run had made it already."""
    path = trial_folder.measured_file(job.folder, number)
    if path.is_file():
        try:
            return read_json(path)
        except ConfigError as error:
            set_aside(path, str(error))
    write_json(path, measure(job.config, job.data, _best_vae(job, number), number, config_hash(job.config)))
    return read_json(path)


def _draw_final(job: Job, training: Training) -> float:
    """Draw the training curves, and what the first replicate's best weights can show; returns the seconds it took."""
    started, number = time.perf_counter(), job.config.first_replicate
    vae, seed = _best_vae(job, number), replicate_seed(job.config.seed, number, "pictures")
    pictures.final(vae, job.data.test, history_rows(training), job.folder / layout.PICTURES, seed=seed)
    return time.perf_counter() - started


def _best_vae(job: Job, number: int) -> VAE:
    weights, _ = trial_folder.load_best(job.folder, job.config, job.data, number)
    return with_weights(job.config, job.data, weights, number, job.device, job.max_decodes)
