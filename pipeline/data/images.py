"""Images as grey levels: read from their source, quantised or binarised, one uint8 tensor per split in memory.

`digits` is embedded in scikit-learn and needs no download. `npz:PATH` reads one's own images (`pipeline.data.npz`). The
others are torchvision's data sets, read from torchvision's own folder layout (`MNIST/raw/train-images-idx3-ubyte`,
plain or `.gz`) and downloaded by torchvision where they are missing.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor

from pipeline.config import ConfigError, DataConfig
from pipeline.data.sources import source_of
from pipeline.data.splits import SPLITS, Split


@dataclass(frozen=True)
class ImageData:
    """One data set, ready to train on: levels 0 ... `levels` - 1 as uint8, all splits on one device.

    `train` holds levels whatever the binarization; with `dynamic` it is one fixed draw (for evaluation), and
    `intensities` holds the grey values that `train_batch` draws from: bytes where white is 255, else floats in [0, 1].
    """

    name: str
    levels: int
    train: UInt8[Tensor, "train height width"]
    validation: UInt8[Tensor, "validation height width"]
    test: UInt8[Tensor, "test height width"]
    checksum: str
    """sha256 over the splits: two results with equal checksums saw the same pixels in the same splits."""
    intensities: Shaped[Tensor, "train height width"] | None = None
    train_labels: Int64[Tensor, " train"] | None = None
    validation_labels: Int64[Tensor, " validation"] | None = None
    test_labels: Int64[Tensor, " test"] | None = None

    @property
    def image_shape(self) -> tuple[int, int]:
        return self.train.shape[1], self.train.shape[2]

    @property
    def num_pixels(self) -> int:
        return self.train[0].numel()

    def train_batch(
        self, index: Int64[Tensor, " batch"], generator: torch.Generator
    ) -> UInt8[Tensor, "batch height width"]:
        """Training images by index; with dynamic binarization their pixels are drawn anew from `generator`."""
        if self.intensities is None:
            return self.train[index]
        grey = self.intensities[index]
        grey = grey if grey.is_floating_point() else grey.float() / 255
        return torch.bernoulli(grey, generator=generator).to(torch.uint8)

    def to(self, device: torch.device | str) -> ImageData:
        """The same data with every tensor on `device` (itself if it is there already)."""
        if self.train.device == torch.device(device):
            return self
        moved: dict[str, Any] = {k: v.to(device) for k, v in vars(self).items() if isinstance(v, Tensor)}
        return replace(self, **moved)


def load(config: DataConfig, data_dir: Path | None = None, download: bool = True) -> ImageData:
    """The data set that `config` describes.

    Args:
        config: name, grey levels, binarization, seed of the splits.
        data_dir: torchvision's root folder; default `$ELBOSWEEP_DATA`, else a cache folder in the home directory.
        download: whether missing files may be fetched.

    Raises:
        ConfigError: the data are missing, cannot be downloaded or are malformed; says which files go where.
    """
    splits, full_scale = source_of(config).read(config, data_dir, download)
    if config.train_images is not None:
        train = splits["train"]
        if config.train_images > len(train.pixels):
            raise ConfigError(
                f"data.train_images must be at most {len(train.pixels)}, the training images of {config.name}, "
                f"got {config.train_images}"
            )
        splits["train"] = train[: config.train_images]
    return assemble(config, splits, full_scale)


def assemble(config: DataConfig, splits: dict[str, Split], full_scale: float) -> ImageData:
    """Quantise or binarise each split, and compute the checksum of the result."""
    levels, intensities = config.levels, None
    tensors: dict[str, Tensor] = {}
    if config.binarization == "none":
        for name in SPLITS:
            tensors[name] = quantise(splits[name].pixels, levels, full_scale)
    else:
        levels = 2
        for number, name in enumerate(SPLITS):
            # A stream of its own per split: a shorter training split leaves the held-out draws as they are.
            generator = np.random.default_rng([config.split_seed, number])
            draws = generator.random(splits[name].pixels.shape, dtype=np.float32)
            tensors[name] = torch.from_numpy((draws < _share(splits[name].pixels, full_scale)).astype(np.uint8))
        if config.binarization == "dynamic":
            intensities = _grey(splits["train"].pixels, full_scale)
    labels: dict[str, Any] = {
        f"{name}_labels": None if split.labels is None else torch.from_numpy(np.asarray(split.labels, dtype=np.int64))
        for name, split in splits.items()
    }
    checksum = _checksum([*(tensors[name] for name in SPLITS), *([] if intensities is None else [intensities])])
    return ImageData(config.name, levels, checksum=checksum, intensities=intensities, **tensors, **labels)


def _share(pixels: np.ndarray, full_scale: float) -> np.ndarray:
    """The share of white of each pixel: the probability with which it is drawn white."""
    return np.asarray(pixels / np.float32(full_scale))


def _grey(pixels: np.ndarray, full_scale: float) -> Tensor:
    """The same shares for `train_batch`; bytes of 255ths stay bytes, which take a quarter of the memory."""
    whole = pixels.dtype == np.uint8 and full_scale == 255
    grey = pixels if whole else _share(pixels, full_scale).astype(np.float32).clip(max=1)
    return torch.from_numpy(np.array(grey))


def quantise(pixels: np.ndarray, levels: int, full_scale: float) -> Tensor:
    """Pixels -> levels, min(floor(levels * x / full_scale), levels - 1): for bytes from a table of exact integers."""
    if pixels.dtype == np.uint8 and float(full_scale).is_integer():
        level = (np.arange(256) * levels // int(full_scale)).clip(max=levels - 1).astype(np.uint8)[pixels]
    else:
        level = np.floor(levels * pixels.astype(np.float64) / full_scale).clip(max=levels - 1).astype(np.uint8)
    return torch.from_numpy(level)


def histogram_floor(data: ImageData) -> dict[str, float]:
    """The floor for a model without z: nats per image under each pixel's own histogram of the training split.

    The histograms are smoothed by one count per level. A VAE below this floor uses its latent variables.

    Returns:
        {"train": nats, "validation": nats, "test": nats}, the mean of -log p(x) over each split.
    """
    counts = {name: _counts(getattr(data, name), data.levels) for name in SPLITS}
    smoothed = counts["train"] + 1.0
    log_p = torch.log(smoothed / smoothed.sum(dim=1, keepdim=True))
    return {name: -float((counts[name] * log_p).sum()) / len(getattr(data, name)) for name in SPLITS}


def _counts(images: UInt8[Tensor, "image height width"], levels: int) -> Float[Tensor, "pixel level"]:
    """Count how often each pixel takes each level; in chunks, since the indices take eight times the images' memory."""
    pixels = images[0].numel()
    offsets = torch.arange(pixels, device=images.device) * levels
    counts = torch.zeros(pixels * levels, dtype=torch.int64, device=images.device)
    for chunk in images.flatten(1).split(4096):
        counts += torch.bincount((chunk + offsets).flatten(), minlength=pixels * levels)
    return counts.view(pixels, levels).double()


def _checksum(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()
