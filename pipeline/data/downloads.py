"""Where the torchvision data sets lie, how they are read without writing anything, and how missing ones are fetched."""

from __future__ import annotations

import gzip
import io
import math
import os
import queue
import shutil
import socket
import struct
import tempfile
import threading
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.config import ConfigError

DATA_VARIABLE = "ELBOSWEEP_DATA"
PROBE_SECONDS = 5.0
"""A server that has not answered by then counts as out of reach."""

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
"""Training images and labels, test images and labels: uint8 [N, 28, 28], 0 ... 255, and integers [N]."""


@dataclass(frozen=True)
class Source:
    """One torchvision data set: its class, its folder under the root, its files there (images, labels; train, test)."""

    dataset: str
    folder: str
    files: tuple[str, ...]


def _ubyte(train: str, test: str) -> tuple[str, ...]:
    return tuple(f"{split}-{kind}-ubyte" for split in (train, test) for kind in ("images-idx3", "labels-idx1"))


SOURCES = {
    "mnist": Source("MNIST", "MNIST/raw", _ubyte("train", "t10k")),
    "fashion_mnist": Source("FashionMNIST", "FashionMNIST/raw", _ubyte("train", "t10k")),
    "kmnist": Source("KMNIST", "KMNIST/raw", _ubyte("train", "t10k")),
    "emnist_digits": Source("EMNIST", "EMNIST/raw", _ubyte("emnist-digits-train", "emnist-digits-test")),
    "omniglot": Source("Omniglot", "omniglot-py", ("images_background.zip", "images_evaluation.zip")),
}


def read_source(name: str, data_dir: Path | None = None, download: bool = True) -> Arrays:
    """All images of a torchvision data set; files that are there are only read, never written to.

    Raises:
        ConfigError: files are missing and cannot be downloaded (one line: which files go where), or are damaged.
    """
    source = SOURCES[name]
    root = _root(data_dir)
    folder = root / source.folder
    if not _complete(folder, source):
        reason = _download(name, source, root) if download else "downloading is switched off"
        if reason:
            raise ConfigError(
                f"data.name: {name} is not in {folder} and could not be downloaded ({reason}): "
                f"put {', '.join(source.files)} there (plain or .gz), or name another folder with --data-dir or "
                f"{DATA_VARIABLE}; data.name 'digits' needs no download"
            )
    if name == "omniglot":
        return (*_read_omniglot(folder / source.files[0]), *_read_omniglot(folder / source.files[1]))
    train, train_labels, test, test_labels = (_read_idx(folder / file) for file in source.files)
    if name == "emnist_digits":  # NIST's files hold the images column by column
        train, test = train.transpose(0, 2, 1), test.transpose(0, 2, 1)
    return train, train_labels, test, test_labels


def _root(data_dir: Path | None) -> Path:
    """The argument, else $ELBOSWEEP_DATA, else the user's cache folder; a folder that was named must exist."""
    named = data_dir or os.environ.get(DATA_VARIABLE)
    if named is None or named == "":
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elbosweep"
    root = Path(named).expanduser()
    if not root.is_dir():
        origin = "--data-dir" if data_dir else DATA_VARIABLE
        raise ConfigError(f"{origin}: must be an existing folder, got {root}")
    return root


def _present(path: Path) -> Path | None:
    """The file itself or its .gz, whichever is there."""
    return next((p for p in (path, path.with_name(path.name + ".gz")) if p.is_file()), None)


def _complete(folder: Path, source: Source) -> bool:
    return all(_present(folder / file) for file in source.files)


# --- reading --------------------------------------------------------------------------------------------------------


def _read_idx(path: Path) -> np.ndarray:
    """LeCun's idx format: two zeros, type (8: unsigned byte), number of dimensions, their sizes, the bytes."""
    found = _present(path) or path
    try:
        content = gzip.decompress(found.read_bytes()) if found.suffix == ".gz" else found.read_bytes()
    except (OSError, EOFError) as error:
        raise ConfigError(f"data.name: {found}: cannot be read: {error}") from None
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ConfigError(f"data.name: {found}: is not an idx file of unsigned bytes, starts with {content[:4]!r}")
    rank = content[3]
    header = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:header]) if len(content) >= header else (0,)
    if len(content) != header + math.prod(shape):
        raise ConfigError(
            f"data.name: {found}: must hold {header + math.prod(shape)} bytes for shape {shape}, got {len(content)}"
        )
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def _read_omniglot(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Strokes white on black, 105 x 105 averaged down to the 28 x 28 that the VAE literature uses; label: character."""
    images, labels = [], []
    characters: dict[str, int] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(n for n in archive.namelist() if n.endswith(".png")):
                with Image.open(io.BytesIO(archive.read(name))) as picture:
                    small = picture.convert("L").resize((28, 28), Image.Resampling.BOX)
                images.append(255 - np.asarray(small, dtype=np.uint8))
                labels.append(characters.setdefault(name.rpartition("/")[0], len(characters)))
    except (OSError, zipfile.BadZipFile) as error:
        raise ConfigError(f"data.name: {path}: cannot be read: {error}") from None
    if not images:
        raise ConfigError(f"data.name: {path}: holds no .png file")
    return np.stack(images), np.asarray(labels)


# --- downloading ----------------------------------------------------------------------------------------------------


def _download(name: str, source: Source, root: Path) -> str:
    """Fetch the files into `root` through torchvision. Returns why it failed, or "" when they are there.

    They arrive in a folder of their own that is renamed at the end: an interrupted download is never read, and two
    processes that fetch the same data do not meet.
    """
    try:
        root.mkdir(parents=True, exist_ok=True)
        arriving = Path(tempfile.mkdtemp(prefix=".arriving-", dir=root))
    except OSError as error:
        return f"{root} cannot be written: {error.strerror}"
    patience = socket.getdefaulttimeout()
    try:
        if reason := _out_of_reach(_urls(source)):
            return reason
        socket.setdefaulttimeout(30)  # torchvision sets none: a silent server would hang for ever
        _fetch(name, source, arriving)
        folder = root / source.folder
        folder.mkdir(parents=True, exist_ok=True)
        for file in source.files:
            os.replace(arriving / source.folder / file, folder / file)
    except (OSError, RuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    finally:
        socket.setdefaulttimeout(patience)
        shutil.rmtree(arriving, ignore_errors=True)
    return ""


def _fetch(name: str, source: Source, folder: Path) -> None:
    from torchvision import datasets

    dataset = getattr(datasets, source.dataset)
    if name == "omniglot":
        for background in (True, False):
            dataset(folder, background=background, download=True)
    elif name == "emnist_digits":
        dataset(folder, split="digits", download=True)
    else:
        dataset(folder, download=True)


def _urls(source: Source) -> list[str]:
    from torchvision import datasets

    dataset = getattr(datasets, source.dataset)
    if hasattr(dataset, "download_url_prefix"):
        return [f"{dataset.download_url_prefix}/{source.files[0]}"]
    if hasattr(dataset, "url"):
        return [dataset.url]
    return [f"{mirror}{dataset.resources[0][0]}" for mirror in dataset.mirrors]


def _out_of_reach(urls: list[str]) -> str:
    """Ask for the first file's header at every mirror at once; the reason if none answers within PROBE_SECONDS.

    In threads, since the look-up of a name obeys no timeout: offline, this returns within seconds all the same.
    """
    answers: queue.Queue[str] = queue.Queue()

    def probe(url: str) -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
                answers.put("")
        except (OSError, ValueError) as error:
            answers.put(f"{url}: {getattr(error, 'reason', None) or error}")

    for url in urls:
        threading.Thread(target=probe, args=(url,), daemon=True).start()
    reason = ""
    for _ in urls:
        try:
            reason = answers.get(timeout=PROBE_SECONDS)
        except queue.Empty:
            return reason or f"{urls[0]}: no answer within {PROBE_SECONDS:g} s"
        if not reason:
            return ""
    return reason
