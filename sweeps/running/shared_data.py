"""Data sets in Ray's object store: the driver reads them, nodes need no files, and each node holds them once.

Arrays lie in shared memory, and the tensors of all workers of a node are views of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch

from pipeline.config import DataConfig
from pipeline.data.images import ImageData
from pipeline.data.images import load as load_data

Shared = Mapping[DataConfig, "ray.ObjectRef[dict[str, Any]]"]
"""Where each data set lies in the object store."""


def share(data: Mapping[DataConfig, ImageData]) -> Shared:
    """Put every data set into the object store of the Ray that this process is connected to."""
    return {config: ray.put(pack(images)) for config, images in data.items()}


def images(config: DataConfig, shared: Shared, data_dir: Path | None) -> ImageData:
    """A data set in a worker; from its files where the driver did not share it (a size inside a searched range)."""
    return _fetch(shared[config]) if config in shared else _read(config, data_dir)


# A worker process outlives its trials, and neighbouring trials seldom have more than two data sets between them.
@lru_cache(maxsize=2)
def _fetch(reference: ray.ObjectRef[dict[str, Any]]) -> ImageData:
    return unpack(ray.get(reference))


@lru_cache(maxsize=2)
def _read(config: DataConfig, data_dir: Path | None) -> ImageData:
    return load_data(config, data_dir)


def pack(images: ImageData) -> dict[str, Any]:
    """A data set with its tensors as NumPy arrays, the form that Ray shares without a copy."""
    return {key: value.numpy() if isinstance(value, torch.Tensor) else value for key, value in vars(images).items()}


def unpack(packed: dict[str, Any]) -> ImageData:
    """A data set again, its tensors over the same memory; that is read-only, and nothing here writes into images."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        tensors: dict[str, Any] = {k: torch.from_numpy(v) for k, v in packed.items() if isinstance(v, np.ndarray)}
    return ImageData(**{**packed, **tensors})
