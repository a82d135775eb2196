"""Data sources: one class a kind, which reads images from where they lie and gives the three splits.

A new source is a class here and a line in SOURCES, and its name in `pipeline.config.options.DATASETS`. The tests in
`tests/pipeline/data/test_sources.py` run over every registered source.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.config import ConfigError, DataConfig
from pipeline.data import downloads, idx, npz, omniglot
from pipeline.data.downloads import TorchvisionFiles
from pipeline.data.splits import SPLITS, Reading, Split, split_70_15_15


class Source(ABC):
    """A kind of data source; `data.name` chooses one by its name in SOURCES."""

    @abstractmethod
    def read(self, config: DataConfig, data_dir: Path | None = None, download: bool = True) -> Reading:
        """Read all images, split as `config.split_seed` says.

        Args:
            config: the name (with what follows a colon in it) and the seed of the splits.
            data_dir: torchvision's root folder, for a source that reads from there.
            download: whether missing files may be fetched.

        Raises:
            ConfigError: the images are missing, cannot be fetched or are malformed.
        """


class Digits(Source):
    """scikit-learn's 1,797 handwritten digits, 8 x 8 pixels: part of its installation."""

    def read(self, config: DataConfig, data_dir: Path | None = None, download: bool = True) -> Reading:
        from sklearn.datasets import load_digits  # costs a second, which other data need not pay

        digits = load_digits()
        return Reading(split_70_15_15(digits.images.astype(np.uint8), digits.target, config.split_seed), 16)


class Npz(Source):
    """Images of one's own: `npz:PATH` (`pipeline.data.npz` says which keys the file holds)."""

    def read(self, config: DataConfig, data_dir: Path | None = None, download: bool = True) -> Reading:
        path = Path(config.name.partition(":")[2]).expanduser()
        arrays = npz.read(path)
        if "images" not in arrays.images:
            return Reading(
                {name: Split(arrays.images[name], arrays.labels[name]) for name in SPLITS}, arrays.full_scale
            )
        splits = split_70_15_15(arrays.images["images"], arrays.labels["images"], config.split_seed)
        if empty := [name for name in SPLITS if not len(splits[name].pixels)]:
            raise ConfigError(
                f"data.name: {path}: 'images' needs enough images (of each class) for three splits, "
                f"got {len(arrays.images['images'])}, which leave {empty[0]!r} empty"
            )
        return Reading(splits, arrays.full_scale)


@dataclass(frozen=True)
class Torchvision(Source):
    """A torchvision data set in LeCun's idx format: the files' own test split; a tenth of the others is validation."""

    files: TorchvisionFiles

    def read(self, config: DataConfig, data_dir: Path | None = None, download: bool = True) -> Reading:
        folder = downloads.folder_with(config.name, self.files, data_dir, download)
        train, test = self.arrays(folder)
        order = np.random.default_rng(config.split_seed).permutation(len(train.pixels))
        kept, held_out = np.split(order, [len(order) - len(order) // 10])
        return Reading({"train": train[kept], "validation": train[held_out], "test": test}, 255)

    def arrays(self, folder: Path) -> tuple[Split, Split]:
        """Training and test images as the files hold them: uint8 [image, 28, 28], 0 ... 255."""
        train, train_labels, test, test_labels = (idx.read(folder / file) for file in self.files.names)
        return Split(train, train_labels), Split(test, test_labels)


class EmnistDigits(Torchvision):
    """EMNIST's digits: NIST's files hold the images column by column."""

    def arrays(self, folder: Path) -> tuple[Split, Split]:
        train, test = super().arrays(folder)
        return Split(train.pixels.transpose(0, 2, 1), train.labels), Split(test.pixels.transpose(0, 2, 1), test.labels)


class Omniglot(Torchvision):
    """Omniglot's handwritten characters: background alphabets for training, evaluation alphabets for the test."""

    def arrays(self, folder: Path) -> tuple[Split, Split]:
        train, test = (Split(*omniglot.read(folder / file)) for file in self.files.names)
        return train, test


def _ubyte(train: str, test: str) -> tuple[str, ...]:
    return tuple(f"{part}-{kind}-ubyte" for part in (train, test) for kind in ("images-idx3", "labels-idx1"))


SOURCES: Mapping[str, Source] = {
    "digits": Digits(),
    "mnist": Torchvision(TorchvisionFiles("MNIST", "MNIST/raw", _ubyte("train", "t10k"))),
    "fashion_mnist": Torchvision(TorchvisionFiles("FashionMNIST", "FashionMNIST/raw", _ubyte("train", "t10k"))),
    "kmnist": Torchvision(TorchvisionFiles("KMNIST", "KMNIST/raw", _ubyte("train", "t10k"))),
    "emnist_digits": EmnistDigits(
        TorchvisionFiles(
            "EMNIST", "EMNIST/raw", _ubyte("emnist-digits-train", "emnist-digits-test"), ({"split": "digits"},)
        )
    ),
    "omniglot": Omniglot(
        TorchvisionFiles(
            "Omniglot",
            "omniglot-py",
            ("images_background.zip", "images_evaluation.zip"),
            ({"background": True}, {"background": False}),
        )
    ),
    "npz": Npz(),
}
"""Every data source, by the name in `data.name`: all of it, or what comes before a colon."""


def source_of(config: DataConfig) -> Source:
    """The source that `data.name` chooses."""
    return SOURCES[config.name.partition(":")[0]]
