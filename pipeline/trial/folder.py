"""The folder of a trial: who owns it, where its weights lie, and how its tables and its result.json are written."""

from __future__ import annotations

import json
import math
import platform
import statistics
from pathlib import Path
from typing import Any

import torch
import yaml

from pipeline.config import ConfigError, TrialConfig, config_hash, flatten, parse, read_yaml
from pipeline.data.images import ImageData, histogram_floor
from pipeline.data.splits import SPLITS
from pipeline.files import write_json, write_rows, write_text
from pipeline.training.replicate import Row
from pipeline.trial import checkpoints
from pipeline.trial.measure import TABLES, Measurement

SCHEMA = 1
NOT_METRICS = ("replicate", "seed", "status", "epochs", "best_epoch")


def claim(folder: Path, config: TrialConfig) -> None:
    """Write the configuration into a new folder.

    Raises:
        ConfigError: the folder holds another configuration (names every key that differs), or cannot be written.
    """
    path = folder / "config.yaml"
    if not path.exists():
        write_text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        return
    there, here = flatten(read_config(folder)), flatten(config)
    if keys := [key for key in there | here if there.get(key) != here.get(key)]:
        listed = "; ".join(f"{key} is {there.get(key)!r} there and {here.get(key)!r} here" for key in keys)
        raise ConfigError(f"{folder}: holds another trial: {listed}; choose another folder")


def read_config(folder: Path) -> TrialConfig:
    path = folder / "config.yaml"
    return parse(read_yaml(path), str(path))


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not readable JSON ({error}); remove it to run the trial again") from None


def identity(config: TrialConfig, data: ImageData) -> dict[str, Any]:
    """What the weights in a checkpoint belong to."""
    return flatten(config) | {"data.checksum": data.checksum}


def save_best(folder: Path, config: TrialConfig, data: ImageData, weights: dict[str, torch.Tensor], row: Row) -> None:
    """Keep a replicate's best weights with its row: what `load_best` gives back."""
    checkpoints.save(_best_path(folder, row["replicate"]), {"weights": weights, "row": row}, identity(config, data))


def load_best(folder: Path, config: TrialConfig, data: ImageData, number: int) -> tuple[dict[str, torch.Tensor], Row]:
    path = _best_path(folder, number)
    best = checkpoints.load(path, identity(config, data))
    if best is None:
        raise ConfigError(f"{path}: holds no trained replicate; train the trial first")
    return best["weights"], best["row"]


def _best_path(folder: Path, number: int) -> Path:
    return folder / "checkpoints" / f"replicate_{number}.pt"


# --- the result -----------------------------------------------------------------------------------------------------


def write_result(
    folder: Path,
    config: TrialConfig,
    data: ImageData,
    *,
    rows: list[Row],
    measured: list[Measurement],
    seconds: dict[str, float],
    device: str,
    max_decodes: int | None = None,
) -> dict[str, Any]:
    """Write the tables and then result.json, whose presence marks a finished trial. Returns its content.

    Args:
        rows: of the `replicates` table, in the order of `measured`.
        max_decodes: images at once, where memory ran out.
    """
    rows = [
        row | result["metrics"] | {f"seconds.{part}": value for part, value in result["seconds"].items()}
        for row, result in zip(rows, measured, strict=True)
    ]
    write_rows(folder / "replicates.jsonl", rows)
    for table in TABLES:
        write_rows(folder / f"{table}.jsonl", [row for result in measured for row in result[table]])
    record = {
        "schema": SCHEMA,
        "status": "finished",
        "config_hash": config_hash(config),
        "config": flatten(config),
        "data": {
            "name": data.name,
            "checksum": data.checksum,
            **{split: len(getattr(data, split)) for split in SPLITS},
            "histogram_floor": histogram_floor(data)["test"],
        },
        "metrics": _metrics(rows),
        "suspect": [reason for result in measured for reason in result["suspect"]],
        "seconds": seconds,
        "environment": {
            "torch": torch.__version__,
            "python": platform.python_version(),
            "device": f"{device} ({torch.cuda.get_device_name(device)})" if device.startswith("cuda") else device,
            "threads": torch.get_num_threads(),
            **({"max_decodes": max_decodes} if max_decodes else {}),
        },
    }
    write_json(folder / "result.json", record)
    content: dict[str, Any] = read_json(folder / "result.json")
    return content


def _metrics(rows: list[Row]) -> dict[str, float | None]:
    """Mean and standard error over replicates (a replicate's own standard errors, over images, stay in its row)."""
    metrics: dict[str, float | None] = {}
    for name in rows[0]:
        if name in NOT_METRICS or name.startswith("seconds.") or name.endswith(".standard_error"):
            continue
        values = [row.get(name) for row in rows]
        numbers = [float(value) for value in values if isinstance(value, (int, float))]
        if len(numbers) == len(values):
            metrics[name], metrics[f"{name}.standard_error"] = mean_and_error(numbers)
    return metrics


def mean_and_error(values: list[float]) -> tuple[float, float | None]:
    """Mean and its standard error; None where one value tells nothing about the spread."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error
