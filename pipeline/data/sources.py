"""Where images come from: scikit-learn's digits, torchvision's data sets, npz files; each gives its splits."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config import ConfigError, DataConfig
from pipeline.data.downloads import read_source

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Split:
    """One split as it was read: values 0 ... full_scale."""

    pixels: np.ndarray
    labels: np.ndarray | None = None


# --- sources --------------------------------------------------------------------------------------------------------


def read_digits(seed: int) -> tuple[dict[str, Split], float]:
    from sklearn.datasets import load_digits  # imported here: scikit-learn costs a second that other data need not pay

    digits = load_digits()
    return _split_70_15_15(digits.images.astype(np.uint8), digits.target, seed), 16


def read_torchvision(config: DataConfig, data_dir: Path | None, download: bool) -> tuple[dict[str, Split], float]:
    """The files' own test split; a seeded tenth of the training files is the validation split."""
    train, train_labels, test, test_labels = read_source(config.name, data_dir, download)
    order = np.random.default_rng(config.split_seed).permutation(len(train))
    kept, held_out = np.split(order, [len(train) - len(train) // 10])
    splits = {
        "train": Split(train[kept], train_labels[kept]),
        "validation": Split(train[held_out], train_labels[held_out]),
        "test": Split(test, test_labels),
    }
    return splits, 255


def _split_70_15_15(pixels: np.ndarray, labels: np.ndarray | None, seed: int) -> dict[str, Split]:
    """Stratified: within each class, images in a seeded order are cut at 70 % and 85 %."""
    order = np.random.default_rng(seed).permutation(len(pixels))
    classes = np.zeros(len(pixels), dtype=np.int64) if labels is None else np.asarray(labels)[order]
    position = np.empty(len(pixels))
    for label in np.unique(classes):
        (members,) = np.nonzero(classes == label)
        position[members] = (np.arange(len(members)) + 0.5) / len(members)
    splits = {}
    for name, low, high in (("train", 0.0, 0.7), ("validation", 0.7, 0.85), ("test", 0.85, 1.0)):
        chosen = order[(position >= low) & (position < high)]
        splits[name] = Split(pixels[chosen], None if labels is None else np.asarray(labels)[chosen])
    return splits


def read_npz(path: Path, seed: int) -> tuple[dict[str, Split], float]:
    """One's own images; the module's docstring documents the keys."""
    try:
        # Opened here, since numpy leaves a file open that turns out to be no archive.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile) as error:
        reason = (
            error.strerror if isinstance(error, OSError) and error.strerror else "is not a .npz file of plain arrays"
        )
        raise ConfigError(f"data.name: {path}: {reason}") from None
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
    if names == ["images"]:
        labels = _labels(path, arrays, "labels", len(arrays["images"]))
        splits = _split_70_15_15(arrays["images"], labels, seed)
        if empty := [name for name in SPLITS if not len(splits[name].pixels)]:
            raise ConfigError(
                f"data.name: {path}: 'images' needs enough images (of each class) for three splits, "
                f"got {len(arrays['images'])}, which leave {empty[0]!r} empty"
            )
        return splits, full_scale
    return {n: Split(arrays[n], _labels(path, arrays, f"{n}_labels", len(arrays[n]))) for n in names}, full_scale


def _full_scale(path: Path, arrays: dict[str, np.ndarray], names: list[str]) -> float:
    if "full_scale" not in arrays:
        return 255 if arrays[names[0]].dtype == np.uint8 else 1
    value = arrays["full_scale"]
    if value.size != 1 or value.dtype.kind not in "uif" or not 0 < value.item() < math.inf:
        raise ConfigError(f"data.name: {path}: 'full_scale' must be one positive number, got {value!r}")
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
