"""The files of torchvision's data sets: which folder holds them, and how missing ones are downloaded."""

from __future__ import annotations

import os
import queue
import shutil
import socket
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.config import ConfigError
from pipeline.data.idx import present

DATA_VARIABLE = "ELBOSWEEP_DATA"
PROBE_SECONDS = 5.0
"""A server that has not answered by then counts as out of reach."""


@dataclass(frozen=True)
class TorchvisionFiles:
    """The files of a torchvision data set."""

    dataset: str
    """Name of its class in torchvision.datasets."""
    folder: str
    """Its folder under torchvision's root."""
    names: tuple[str, ...]
    """Its files there: images and labels of training, then of test; or an archive for each."""
    arguments: tuple[Mapping[str, Any], ...] = ({},)
    """What the class needs to be told, once for each download."""


def folder_with(name: str, files: TorchvisionFiles, data_dir: Path | None = None, download: bool = True) -> Path:
    """The folder that holds the files, fetched where they are missing; existing files are never written to.

    Raises:
        ConfigError: files are missing and cannot be downloaded (one line: which files go where).
    """
    root = _root(data_dir)
    folder = root / files.folder
    if not all(present(folder / file) for file in files.names):
        reason = _download(files, root) if download else "downloading is switched off"
        if reason:
            raise ConfigError(
                f"data.name: {name} is not in {folder} and could not be downloaded ({reason}): "
                f"put {', '.join(files.names)} there (plain or .gz), or name another folder with --data-dir or "
                f"{DATA_VARIABLE}; data.name 'digits' needs no download"
            )
    return folder


def _root(data_dir: Path | None) -> Path:
    """The folder of all data: the argument, else $ELBOSWEEP_DATA, else a cache folder; a named one must exist."""
    named = data_dir or os.environ.get(DATA_VARIABLE)
    if named is None or named == "":
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "elbosweep"
    root = Path(named).expanduser()
    if not root.is_dir():
        origin = "--data-dir" if data_dir else DATA_VARIABLE
        raise ConfigError(f"{origin}: must be an existing folder, got {root}")
    return root


def _download(files: TorchvisionFiles, root: Path) -> str:
    """Fetch the files into `root` through torchvision. Returns "" where that worked, else the reason.

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
        if reason := out_of_reach(urls(files)):
            return reason
        socket.setdefaulttimeout(30)  # torchvision sets none: a silent server would hang for ever
        fetch(files, arriving)
        folder = root / files.folder
        folder.mkdir(parents=True, exist_ok=True)
        for file in files.names:
            os.replace(arriving / files.folder / file, folder / file)
    except (OSError, RuntimeError) as error:
        return " ".join(str(error).split()) or type(error).__name__
    finally:
        socket.setdefaulttimeout(patience)
        shutil.rmtree(arriving, ignore_errors=True)
    return ""


def fetch(files: TorchvisionFiles, root: Path) -> None:
    """Let torchvision download and unpack a data set under `root`."""
    from torchvision import datasets

    for arguments in files.arguments:
        getattr(datasets, files.dataset)(root, download=True, **arguments)


def urls(files: TorchvisionFiles) -> list[str]:
    """Where torchvision looks for the first file of a data set, one address a mirror."""
    from torchvision import datasets

    dataset = getattr(datasets, files.dataset)
    if hasattr(dataset, "download_url_prefix"):
        return [f"{dataset.download_url_prefix}/{files.names[0]}"]
    if hasattr(dataset, "url"):
        return [dataset.url]
    return [f"{mirror}{dataset.resources[0][0]}" for mirror in dataset.mirrors]


def out_of_reach(addresses: list[str]) -> str:
    """Ask every mirror at once for the header of the first file: "", or the reason if none answers in PROBE_SECONDS.

    In threads, since the look-up of a name obeys no timeout: offline, this returns within seconds all the same.
    """
    answers: queue.Queue[str] = queue.Queue()

    def probe(url: str) -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=PROBE_SECONDS):
                answers.put("")
        except (OSError, ValueError) as error:
            answers.put(f"{url}: {getattr(error, 'reason', None) or error}")

    for url in addresses:
        threading.Thread(target=probe, args=(url,), daemon=True).start()
    reason = ""
    for _ in addresses:
        try:
            reason = answers.get(timeout=PROBE_SECONDS)
        except queue.Empty:
            return reason or f"{addresses[0]}: no answer within {PROBE_SECONDS:g} s"
        if not reason:
            return ""
    return reason
