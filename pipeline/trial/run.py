"""One trial, from configuration to a folder of results: train every replicate, measure its best weights, write it down.

    config.yaml          the configuration, complete
    result.json          means and standard errors over replicates; written last: its presence means finished
    history.jsonl        a row per replicate and epoch
    replicates.jsonl     a row per replicate: best epoch, test.*, variance.*, seconds
    variance.jsonl, gradients.jsonl, evidence.jsonl      long tables
    checkpoints/         replicate_N.pt (best weights); until the trial is finished training.pt and measured_N.json
    pictures/            drawn by the first replicate
    evaluations/HASH/    what `evaluate_trial` measured with other sizes

Every file is written whole or not at all. An interrupted run goes on from the folder and gives the same numbers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline.config import ConfigError, TrialConfig, config_hash, override, parse
from pipeline.data import images
from pipeline.data.images import ImageData
from pipeline.files import set_aside, write_json
from pipeline.model.vae import VAE
from pipeline.probability.sampling import replicate_seed
from pipeline.training.precision import tf32
from pipeline.training.replicate import Row
from pipeline.trial import folder as trial_folder
from pipeline.trial import pictures
from pipeline.trial.folder import read_json
from pipeline.trial.measure import Measurement, measure, total_seconds
from pipeline.trial.train import Place, Report, history_rows, replicate_row, train
from pipeline.trial.trained import with_weights

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrialResult:
    """A finished trial: its folder and the content of its result.json."""

    folder: Path
    record: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float | None]:
        """Means over replicates and, as `NAME.standard_error`, their standard errors (None with one replicate)."""
        metrics: dict[str, float | None] = self.record["metrics"]
        return metrics

    @property
    def suspect(self) -> list[str]:
        """Reasons to doubt the numbers; empty where there are none."""
        return list(self.record["suspect"])


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
        ConfigError: the folder holds another trial or cannot be written; data or device are not there.
        TrainingDiverged: a replicate's loss is not finite; history and replicates so far are in the folder.
    """
    folder, started = Path(folder), time.perf_counter()
    trial_folder.claim(folder, config)
    if (folder / "result.json").is_file():
        return TrialResult(folder, read_json(folder / "result.json"))
    data = _prepare(config, device, data, data_dir, threads)
    place, report = Place(device), _each_once(report)
    while True:
        try:
            return TrialResult(folder, _run(config, data, folder, place, report, started))
        except torch.OutOfMemoryError:
            if place.max_decodes == 1:
                raise
            place = place.with_less_memory()
        # The error is gone by now, and with it the tensors that its traceback held.
        log.warning("%s: out of memory on %s: at most %d images at once now", folder, device, place.max_decodes)
        torch.cuda.empty_cache()


def _each_once(report: Report | None) -> Report | None:
    """A run that begins again from its checkpoint does not report an epoch again."""
    if report is None:
        return None
    last = -1

    def once(epoch: int, metrics: dict[str, float]) -> None:
        nonlocal last
        if epoch > last:
            last = epoch
            report(epoch, metrics)

    return once


def _run(
    config: TrialConfig, data: ImageData, folder: Path, place: Place, report: Report | None, started: float
) -> dict[str, Any]:
    """From wherever the folder stands to result.json; returns its content."""
    training, drawing = train(config, data, folder, place, report)
    measured = [_measured_once(config, data, folder, place, replicate.number) for replicate in training.replicates]
    if config.evaluation.pictures:
        drawing += _draw_final(config, data, folder, place, history_rows(training))
    rows = [replicate_row(config, replicate, "finished") for replicate in training.replicates]
    seconds = {"training": sum(row["seconds.training"] for row in rows), **total_seconds(measured), "pictures": drawing}
    # After an interruption the parts include earlier runs, which this run's clock has not seen.
    seconds["total"] = max(time.perf_counter() - started, sum(seconds.values()))
    record = trial_folder.write_result(
        folder,
        config,
        data,
        rows=rows,
        measured=measured,
        seconds=seconds,
        device=place.device,
        max_decodes=place.max_decodes,
    )
    for leftover in ("training.pt", *(f"measured_{replicate.number}.json" for replicate in training.replicates)):
        (folder / "checkpoints" / leftover).unlink(missing_ok=True)
    return record


@tf32(False)
def evaluate_trial(
    folder: Path | str,
    overrides: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    data: ImageData | None = None,
    data_dir: Path | None = None,
    threads: int | None = None,
) -> TrialResult:
    """Measure a trial's best weights again, with other sizes: `{"evaluation.num_importance_samples": [1, 4096]}`.

    The trial itself stays as it is: the results go to `evaluations/HASH/` in its folder.

    Raises:
        ConfigError: no trial with trained replicates is there, or an override is not under evaluation. or variance.
    """
    folder, started = Path(folder), time.perf_counter()
    trained = trial_folder.read_config(folder)
    for key, value in (overrides or {}).items():
        if key.partition(".")[0] not in ("evaluation", "variance"):
            raise ConfigError(f"{key}: only evaluation.* and variance.* can change after training, got {value!r}")
    config = parse(override(trained.model_dump(mode="json"), overrides or {}), str(folder / "config.yaml"))
    data = _prepare(config, device, data, data_dir, threads)
    rows, measured = [], []
    for number in range(config.first_replicate, config.first_replicate + config.replicates):
        weights, row = trial_folder.load_best(folder, trained, data, number)
        measured.append(measure(config, data, with_weights(config, data, weights, number, device), number))
        rows.append(row)
    seconds = total_seconds(measured) | {"total": time.perf_counter() - started}
    target = folder / "evaluations" / config_hash(config)
    record = trial_folder.write_result(
        target, config, data, rows=rows, measured=measured, seconds=seconds, device=device
    )
    return TrialResult(target, record)


def _prepare(
    config: TrialConfig, device: str, data: ImageData | None, data_dir: Path | None, threads: int | None
) -> ImageData:
    """Set threads, check the device, bring the images to it."""
    if threads is not None:
        if threads < 1:
            raise ConfigError(f"threads must be at least 1, got {threads}")
        torch.set_num_threads(threads)
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device must be one that torch can use, got {device!r}: {str(error).splitlines()[0]}"
        ) from None
    return (images.load(config.data, data_dir) if data is None else data).to(device)


# --- what is done with trained weights ------------------------------------------------------------------------------


def _best_vae(config: TrialConfig, data: ImageData, folder: Path, number: int, place: Place) -> VAE:
    weights, _ = trial_folder.load_best(folder, config, data, number)
    return with_weights(config, data, weights, number, place.device, place.max_decodes)


def _measured_once(config: TrialConfig, data: ImageData, folder: Path, place: Place, number: int) -> Measurement:
    """A replicate's measurement, read back where an interrupted run had made it already."""
    path = folder / "checkpoints" / f"measured_{number}.json"
    if path.is_file():
        try:
            measured: Measurement = read_json(path)
            return measured
        except ConfigError as error:
            set_aside(path, str(error))
    write_json(path, measure(config, data, _best_vae(config, data, folder, number, place), number))
    return dict(read_json(path))


def _draw_final(config: TrialConfig, data: ImageData, folder: Path, place: Place, history: list[Row]) -> float:
    """The training curves, and what the first replicate's best weights can show. Returns the seconds it took."""
    started, number = time.perf_counter(), config.first_replicate
    vae, seed = _best_vae(config, data, folder, number, place), replicate_seed(config.seed, number, "pictures")
    pictures.final(vae, data.test, history, folder / "pictures", seed=seed)
    return time.perf_counter() - started
