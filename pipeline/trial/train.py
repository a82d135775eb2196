"""The training part of a trial: from wherever its folder stands to trained replicates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pipeline.config import TrialConfig
from pipeline.data.images import ImageData
from pipeline.files import write_rows
from pipeline.model.vae import MAX_DECODES
from pipeline.probability.sampling import replicate_seed
from pipeline.training.loop import Training
from pipeline.training.replicate import Replicate, Row, TrainingDiverged
from pipeline.trial import checkpoints, pictures
from pipeline.trial import folder as trial_folder
from pipeline.trial.folder import mean_and_error

Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Place:
    """Where a trial is computed, and how many images at once where memory ran out."""

    device: str
    max_decodes: int | None = None

    def with_less_memory(self) -> Place:
        return replace(self, max_decodes=(self.max_decodes or MAX_DECODES) // 2)


# --- training -------------------------------------------------------------------------------------------------------


def train(
    config: TrialConfig, data: ImageData, folder: Path, place: Place, report: Report | None
) -> tuple[Training, float]:
    """Train to the end from wherever the folder stands. Returns the training, and the seconds spent on pictures."""
    training = Training(config, data, place.device, place.max_decodes)
    path, identity = folder / "checkpoints" / "training.pt", trial_folder.identity(config, data)
    if (state := checkpoints.load(path, identity)) is not None:
        training.restore(state)
    throttle, saved, drawing, status = checkpoints.Throttle(), training.epoch, 0.0, "stopped"

    def save() -> None:
        nonlocal saved
        if saved < training.epoch:
            started = time.perf_counter()
            checkpoints.save(path, training.state(), identity)
            write_rows(folder / "history.jsonl", history_rows(training))
            throttle.saved(time.perf_counter() - started)
            saved = training.epoch

    try:
        for rows in training.run():
            if throttle.due() or training.finished:
                save()
            drawing += _draw_samples(config, training, folder)
            if report is not None:
                _report_or_save(report, training.epoch, rows, save)
        status = "trained"
    except TrainingDiverged:
        status = "diverged"
        raise
    finally:
        rows = [replicate_row(config, replicate, status) for replicate in training.replicates]
        write_rows(folder / "replicates.jsonl", rows)
        write_rows(folder / "history.jsonl", history_rows(training))
    for replicate, row in zip(training.replicates, rows):
        trial_folder.save_best(folder, config, data, replicate.best_weights, row | {"status": "finished"})
    return training, drawing


def _report_or_save(report: Report, epoch: int, rows: list[Row], save: Callable[[], None]) -> None:
    """Report an epoch. Who stops the trial here may want to go on later: then nothing trained so far may be lost."""
    try:
        report(epoch, report_metrics(rows))
    except BaseException:
        save()
        raise


def report_metrics(rows: list[Row]) -> dict[str, float]:
    """One epoch: mean, standard error and single values over replicates; what does not exist yet is left out."""
    metrics: dict[str, float] = {}
    for name in rows[0].keys() - {"replicate", "epoch"}:
        values = {row["replicate"]: row[name] for row in rows}
        if None in values.values():
            continue
        metrics[name], error = mean_and_error(list(values.values()))
        metrics |= {f"{name}.replicate_{number}": value for number, value in values.items()}
        if error is not None:
            metrics[f"{name}.standard_error"] = error
    return dict(sorted(metrics.items()))


def history_rows(training: Training) -> list[Row]:
    return [row for replicate in training.replicates for row in replicate.rows]


def replicate_row(config: TrialConfig, replicate: Replicate, status: str) -> Row:
    """The replicate at its best epoch, whose weights are the ones that are measured."""
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


def _draw_samples(config: TrialConfig, training: Training, folder: Path) -> float:
    """At some epochs, samples of the first replicate: always from the same noise, so that epochs compare."""
    if not config.evaluation.pictures or training.epoch not in pictures.epochs_to_draw(config.training.epochs):
        return 0.0
    started, first = time.perf_counter(), training.replicates[0]
    path = folder / "pictures" / f"samples_epoch_{training.epoch:04d}.png"
    pictures.samples(first.vae, path, seed=replicate_seed(config.seed, first.number, "pictures"))
    return time.perf_counter() - started
