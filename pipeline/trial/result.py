"""The result of a trial: its tables and its result.json, whose presence marks a finished trial."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pipeline import layout
from pipeline.config import config_hash, flatten
from pipeline.data.images import ImageData, histogram_floor
from pipeline.data.splits import SPLITS
from pipeline.files import write_json, write_rows
from pipeline.means import over_replicates
from pipeline.training.replicate import Row
from pipeline.trial import folder as trial_folder
from pipeline.trial.job import Job
from pipeline.trial.measure import Measurement

SCHEMA = 1
NOT_METRICS = ("replicate", "seed", "status", "epochs", "best_epoch")
"""Columns of the `replicates` table that have no mean."""


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
        """Reasons to doubt the numbers; empty where none was found."""
        return list(self.record["suspect"])


def write_result(
    job: Job, *, rows: list[Row], measured: list[Measurement], seconds: dict[str, float]
) -> dict[str, Any]:
    """Write the tables and then result.json into the job's folder. Returns result.json's content.

    Args:
        rows: of the `replicates` table, in the order of `measured`.
        measured: what was measured on each replicate.
        seconds: by part of the work.
    """
    rows = [
        row | result["metrics"] | {f"seconds.{part}": value for part, value in result["seconds"].items()}
        for row, result in zip(rows, measured, strict=True)
    ]
    write_rows(job.folder / layout.rows_file(layout.REPLICATES), rows)
    for table in layout.MEASURED_TABLES:
        write_rows(job.folder / layout.rows_file(table), [row for result in measured for row in result[table]])
    record = {
        "schema": SCHEMA,
        "status": layout.FINISHED,
        "config_hash": config_hash(job.config),
        "config": flatten(job.config),
        "data": _data(job.data),
        "metrics": _metrics(rows),
        "suspect": [reason for result in measured for reason in result["suspect"]],
        "seconds": seconds,
        "environment": _environment(job),
    }
    write_json(job.folder / layout.RESULT, record)
    return trial_folder.read_result(job.folder)


def _data(data: ImageData) -> dict[str, Any]:
    sizes = {split: len(getattr(data, split)) for split in SPLITS}
    floor = histogram_floor(data)["test"]
    return {"name": data.name, "checksum": data.checksum, **sizes, "histogram_floor": floor}


def _environment(job: Job) -> dict[str, Any]:
    cuda = f" ({torch.cuda.get_device_name(job.device)})" if job.device.startswith("cuda") else ""
    return {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": f"{job.device}{cuda}",
        "threads": torch.get_num_threads(),
        **({"max_decodes": job.max_decodes} if job.max_decodes else {}),
    }


def _metrics(rows: list[Row]) -> dict[str, float | None]:
    """Mean and standard error over replicates (a replicate's own standard errors, over images, stay in its row)."""
    metrics: dict[str, float | None] = {}
    for name in rows[0]:
        if name in NOT_METRICS or name.startswith("seconds.") or name.endswith(".standard_error"):
            continue
        values = [row.get(name) for row in rows]
        numbers = [float(value) for value in values if isinstance(value, (int, float))]
        if len(numbers) == len(values):
            metrics[name], metrics[f"{name}.standard_error"] = over_replicates(numbers)
    return metrics
