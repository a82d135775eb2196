"""Measure a trained trial again with other sizes, into a folder inside the trial's own."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pipeline import layout
from pipeline.config import ConfigError, config_hash, override, parse
from pipeline.data.images import ImageData
from pipeline.training.precision import tf32
from pipeline.trial import folder as trial_folder
from pipeline.trial.job import prepare
from pipeline.trial.measure import measure, total_seconds
from pipeline.trial.result import TrialResult, write_result
from pipeline.trial.trained import with_weights


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
        ConfigError: the folder holds no trial with trained replicates, or an override is not under evaluation. or
            variance.
    """
    folder, started = Path(folder), time.perf_counter()
    trained = trial_folder.read_config(folder)
    for key, value in (overrides or {}).items():
        if key.partition(".")[0] not in ("evaluation", "variance"):
            raise ConfigError(f"{key}: only evaluation.* and variance.* can change after training, got {value!r}")
    config = parse(override(trained.model_dump(mode="json"), overrides or {}), str(folder / layout.CONFIG))
    job = prepare(config, folder, device=device, data=data, data_dir=data_dir, threads=threads)
    rows, measured = [], []
    for number in range(config.first_replicate, config.first_replicate + config.replicates):
        # The checkpoint belongs to the configuration that was trained, not to the one that is measured.
        weights, row = trial_folder.load_best(folder, trained, job.data, number)
        vae = with_weights(config, job.data, weights, number, device)
        measured.append(measure(config, job.data, vae, number, config_hash(trained)))
        rows.append(row)
    seconds = total_seconds(measured) | {"total": time.perf_counter() - started}
    target = folder / layout.EVALUATIONS / config_hash(config)
    record = write_result(replace(job, folder=target), rows=rows, measured=measured, seconds=seconds)
    return TrialResult(target, record)
