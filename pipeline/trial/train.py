"""The training part of a trial: from wherever its folder stands to trained replicates."""

from __future__ import annotations

import time
from collections.abc import Callable

from pipeline import layout
from pipeline.config import TrialConfig
from pipeline.files import write_rows
from pipeline.means import report_metrics
from pipeline.probability.sampling import replicate_seed
from pipeline.training.loop import Training
from pipeline.training.replicate import Replicate, Row, TrainingDiverged
from pipeline.trial import checkpoints, pictures
from pipeline.trial import folder as trial_folder
from pipeline.trial.job import Job

Report = Callable[[int, dict[str, float]], None]
"""Called with an epoch and its metrics; an exception from it stops the training."""


def train(job: Job, report: Report | None) -> tuple[Training, float]:
    """Train to the end from wherever the folder stands. Returns the training, and the seconds spent on pictures."""
    training = Training(job.config, job.data, job.device, job.max_decodes)
    progress = _SavedProgress(job, training)
    drawing, status = 0.0, layout.STOPPED
    try:
        for rows in training.run():
            progress.save_when_due()
            drawing += _draw_samples(job, training)
            if report is not None:
                _report_or_save(report, training.epoch, rows, progress)
        status = layout.TRAINED
    except TrainingDiverged:
        status = layout.DIVERGED
        raise
    finally:
        rows = [replicate_row(job.config, replicate, status) for replicate in training.replicates]
        write_rows(job.folder / layout.rows_file(layout.REPLICATES), rows)
        write_rows(job.folder / layout.rows_file(layout.HISTORY), history_rows(training))
    for replicate, row in zip(training.replicates, rows):
        measured = row | {"status": layout.FINISHED}
        trial_folder.save_best(job.folder, job.config, job.data, replicate.best_weights, measured)
    return training, drawing


class _SavedProgress:
    """The training's checkpoint: read when the training begins, written now and then."""

    def __init__(self, job: Job, training: Training) -> None:
        self.job, self.training = job, training
        self.path, self.identity = trial_folder.training_file(job.folder), trial_folder.identity(job.config, job.data)
        if (state := checkpoints.load(self.path, self.identity)) is not None:
            training.restore(state)
        self.throttle, self.saved = checkpoints.Throttle(), training.epoch

    def save_when_due(self) -> None:
        """Save if the last time was long enough ago, or if the training is over."""
        if self.throttle.due() or self.training.finished:
            self.save()

    def save(self) -> None:
        """Save the state and the history, unless no epoch was completed since the last time."""
        if self.saved < self.training.epoch:
            started = time.perf_counter()
            checkpoints.save(self.path, self.training.state(), self.identity)
            write_rows(self.job.folder / layout.rows_file(layout.HISTORY), history_rows(self.training))
            self.throttle.saved(time.perf_counter() - started)
            self.saved = self.training.epoch


def _report_or_save(report: Report, epoch: int, rows: list[Row], progress: _SavedProgress) -> None:
    """Report an epoch. Who stops the trial here may want to go on later: then nothing trained so far may be lost."""
    try:
        report(epoch, report_metrics(rows))
    except BaseException:
        progress.save()
        raise


def history_rows(training: Training) -> list[Row]:
    """The `history` table: the rows of each replicate, one per epoch."""
    return [row for replicate in training.replicates for row in replicate.rows]


def replicate_row(config: TrialConfig, replicate: Replicate, status: str) -> Row:
    """A row of the `replicates` table: the replicate at its best epoch, whose weights are the ones measured."""
    best: Row = next((row for row in replicate.rows if row["epoch"] == replicate.best_epoch), {})
    return {
        "replicate": replicate.number,
        "seed": replicate_seed(config.seed, replicate.number, "training"),
        "status": status,
        "epochs": max(0, len(replicate.rows) - 1),
        "best_epoch": replicate.best_epoch,
        **{key: value for key, value in best.items() if key.startswith(("train.", "validation."))},
        "seconds.training": replicate.seconds,
    }


def _draw_samples(job: Job, training: Training) -> float:
    """Draw samples of the first replicate after some epochs, always from the same noise, so that epochs compare.

    Returns the seconds it took.
    """
    if not job.config.evaluation.pictures or training.epoch not in pictures.epochs_to_draw(job.config.training.epochs):
        return 0.0
    started, first = time.perf_counter(), training.replicates[0]
    path = job.folder / layout.PICTURES / layout.samples_picture(training.epoch)
    pictures.samples(first.vae, path, seed=replicate_seed(job.config.seed, first.number, "pictures"))
    return time.perf_counter() - started
