"""Images of one's own in a .npz file, read and checked.

images                   [N, H, W], to be split 70/15/15 (stratified where `labels` [N] exists too); or
train, validation, test  [N, H, W] each, used as they are (`train_labels`, ... optional)
full_scale               optional scalar: the value of white (default 255 for uint8, 1 for floats and booleans)
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.config import ConfigError
from pipeline.data.splits import SPLITS

LARGEST = 1e30
"""Of `full_scale`, and the inverse of the least: float32 divides by it."""


class Arrays(NamedTuple):
    """What a .npz file holds: images and labels under `images`, or under each of SPLITS."""

    images: dict[str, np.ndarray]
    labels: dict[str, np.ndarray | None]
    full_scale: float


def read(path: Path) -> Arrays:
    """Read and check a file.

    Raises:
        ConfigError: the file cannot be read or breaks a rule; names file, key, rule and value.
    """
    arrays = _load(path)
    names = ["images"] if "images" in arrays else list(SPLITS)
    if missing := [name for name in names if name not in arrays]:
        raise ConfigError(
            f"data.name: {path}: needs the key 'images' or the keys 'train', 'validation', 'test'; "
            f"{missing[0]!r} is missing, got {', '.join(sorted(arrays)) or 'no key'}"
        )
    full_scale = _full_scale(path, arrays, names)
    for name in names:
        _check_pixels(path, name, arrays[name], full_scale)
    if len({arrays[name].shape[1:] for name in names}) > 1:
        shapes = ", ".join(f"{name} {arrays[name].shape[1:]}" for name in names)
        raise ConfigError(f"data.name: {path}: images of all splits must have one shape, got {shapes}")
    keys = {name: "labels" if name == "images" else f"{name}_labels" for name in names}
    labels = {name: _labels(path, arrays, key, len(arrays[name])) for name, key in keys.items()}
    return Arrays({name: arrays[name] for name in names}, labels, full_scale)


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here, since numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "is not a .npz file of plain arrays"
        )
        raise ConfigError(f"data.name: {path}: {reason}") from None


def _full_scale(path: Path, arrays: dict[str, np.ndarray], names: list[str]) -> float:
    if "full_scale" not in arrays:
        return 255 if arrays[names[0]].dtype == np.uint8 else 1
    value = arrays["full_scale"]
    if value.size != 1 or value.dtype.kind not in "uif" or not 1 / LARGEST <= value.item() <= LARGEST:
        raise ConfigError(
            f"data.name: {path}: 'full_scale' must be one number from {1 / LARGEST:g} to {LARGEST:g}, got {value!r}"
        )
    return float(value.item())


def _check_pixels(path: Path, name: str, pixels: np.ndarray, full_scale: float) -> None:
    where = f"data.name: {path}: {name!r}"
    if pixels.ndim != 3 or 0 in pixels.shape:
        raise ConfigError(f"{where} must have shape [images, height, width], none of them 0, got {pixels.shape}")
    if pixels.dtype != np.uint8 and pixels.dtype.kind not in "fb":
        raise ConfigError(f"{where} must hold uint8, floats or booleans, got {pixels.dtype}")
    # The comparison is false for NaN too.
    if not (pixels.min() >= 0 and pixels.max() <= full_scale):
        raise ConfigError(
            f"{where} must lie between 0 and full_scale = {full_scale:g}, got {pixels.min()} to {pixels.max()}"
        )


def _labels(path: Path, arrays: dict[str, np.ndarray], key: str, count: int) -> np.ndarray | None:
    labels = arrays.get(key)
    if labels is not None and (labels.shape != (count,) or labels.dtype.kind not in "iu"):
        raise ConfigError(
            f"data.name: {path}: {key!r} must be {count} integers, got {labels.dtype} of shape {labels.shape}"
        )
    return labels
