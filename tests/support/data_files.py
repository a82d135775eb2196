"""Small files in the layouts that the data sources read, written by the tests themselves."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config import DataConfig
from pipeline.data.sources import SOURCES, Digits, EmnistDigits, Npz, Omniglot, Torchvision

TRAIN, TEST = 40, 10


def idx_bytes(array: np.ndarray) -> bytes:
    """An array in LeCun's idx format."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def random_images(count: int, side: int = 28) -> tuple[np.ndarray, np.ndarray]:
    """Images that all differ, from black to white, and labels 0 ... 9."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (count, side, side), dtype=np.uint8)
    pixels[:, 0, :2] = 0, 255
    return pixels, (np.arange(count) % 10).astype(np.uint8)


def write_idx_files(
    root: Path, source: Torchvision, *, train: int = 20, test: int = 5, compress: bool = False, files: int = 4
) -> np.ndarray:
    """Write the first `files` files of a torchvision data set under `root`. Returns its images as they were written."""
    folder = root / source.files.folder
    folder.mkdir(parents=True)
    pixels, labels = random_images(train + test)
    arrays = (pixels[:train], labels[:train], pixels[train:], labels[train:])
    for file, array in list(zip(source.files.names, arrays))[:files]:
        content = idx_bytes(array)
        (folder / (file + ".gz" * compress)).write_bytes(gzip.compress(content) if compress else content)
    return pixels


def write_omniglot(root: Path, source: Torchvision, *, train: int = 10, test: int = 4) -> None:
    """Pages with ink over the first 12 of 28 rows, and a spot of its own on each."""
    folder = root / source.files.folder
    folder.mkdir()
    for part, (file, count) in enumerate(zip(source.files.names, (train, test))):
        with zipfile.ZipFile(folder / file, "w") as archive:
            for number in range(count):
                page = np.full((105, 105), 255, dtype=np.uint8)
                page[:45] = 0
                page[60 + 20 * part + 4 * (number // 20), 5 * (number % 20) + 2] = 0
                buffer = io.BytesIO()
                Image.fromarray(page).save(buffer, format="PNG")
                archive.writestr(f"{file[:-4]}/Latin/character{number % 2:02}/{number:04}.png", buffer.getvalue())


def _nothing(root: Path, source: Digits) -> int:
    return 1797


def _idx(root: Path, source: Torchvision) -> int:
    write_idx_files(root, source, train=TRAIN, test=TEST)
    return TRAIN + TEST


def _omniglot(root: Path, source: Omniglot) -> int:
    write_omniglot(root, source, train=TRAIN, test=TEST)
    return TRAIN + TEST


def _npz(root: Path, source: Npz) -> int:
    pixels, labels = random_images(TRAIN + TEST, side=5)
    np.savez(root / "own.npz", images=pixels, labels=labels)
    return TRAIN + TEST


WRITERS: dict[type, Callable[..., int]] = {
    Digits: _nothing,
    Torchvision: _idx,
    EmnistDigits: _idx,
    Omniglot: _omniglot,
    Npz: _npz,
}
"""By the class of a source: writes small files under a folder, and returns the number of images in them."""


def write_files(name: str, root: Path) -> tuple[DataConfig, int]:
    """Files for a registered source. Returns a configuration that reads them, and the number of images in them."""
    source = SOURCES[name]
    count = WRITERS[type(source)](root, source)
    return DataConfig(name=f"npz:{root / 'own.npz'}" if name == "npz" else name), count
