"""The folder of a trial: which trial it belongs to, its configuration, its result, and the weights kept in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from pipeline import layout
from pipeline.config import ConfigError, TrialConfig, flatten, parse, read_yaml
from pipeline.data.images import ImageData
from pipeline.files import write_text
from pipeline.training.replicate import Row
from pipeline.trial import checkpoints


def claim(folder: Path, config: TrialConfig) -> None:
    """Write the configuration into a new folder, or check that the folder holds the same one.

    Raises:
        ConfigError: the folder holds another configuration (names every key that differs), or cannot be written.
    """
    path = folder / layout.CONFIG
    if not path.exists():
        write_text(path, yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))
        return
    kept, asked = flatten(read_config(folder)), flatten(config)
    if differences := checkpoints.differences(kept, asked):
        raise ConfigError(f"{folder}: holds another trial: {'; '.join(differences)}; choose another folder")


def read_config(folder: Path) -> TrialConfig:
    """The configuration that the folder's trial has.

    Raises:
        ConfigError: the folder holds no configuration, or a damaged one.
    """
    path = folder / layout.CONFIG
    return parse(read_yaml(path), str(path))


def read_result(folder: Path) -> dict[str, Any]:
    """The content of result.json.

    Raises:
        ConfigError: the file cannot be read (says that removing it runs the trial again).
    """
    path = folder / layout.RESULT
    try:
        result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: is not readable JSON ({error}); remove it to run the trial again") from None
    return result


def identity(config: TrialConfig, data: ImageData) -> dict[str, Any]:
    """What the weights in a checkpoint belong to: every key of the configuration, and the images' checksum."""
    return flatten(config) | {"data.checksum": data.checksum}


def save_best(folder: Path, config: TrialConfig, data: ImageData, weights: dict[str, torch.Tensor], row: Row) -> None:
    """Keep a replicate's best weights with its row of the `replicates` table: what `load_best` gives back."""
    path = best_weights_file(folder, row["replicate"])
    checkpoints.save(path, {"weights": weights, "row": row}, identity(config, data))


def load_best(folder: Path, config: TrialConfig, data: ImageData, number: int) -> tuple[dict[str, torch.Tensor], Row]:
    """A replicate's best weights, with its row.

    Raises:
        ConfigError: the replicate was not trained, or belongs to another configuration or other images.
    """
    path = best_weights_file(folder, number)
    best = checkpoints.load(path, identity(config, data))
    if best is None:
        raise ConfigError(f"{path}: holds no trained replicate; train the trial first")
    return best["weights"], best["row"]


def training_file(folder: Path) -> Path:
    """Where the state of the training lies until the trial is finished."""
    return folder / layout.CHECKPOINTS / layout.TRAINING


def best_weights_file(folder: Path, number: int) -> Path:
    """Where a replicate's best weights lie."""
    return folder / layout.CHECKPOINTS / layout.best_weights_file(number)


def measured_file(folder: Path, number: int) -> Path:
    """Where a replicate's measurement lies until the trial is finished."""
    return folder / layout.CHECKPOINTS / layout.measured_file(number)
