"""What this machine has for elbosweep, and what is wrong, in plain words."""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from sweeps.machine.resources import available_cores

OLDEST_PYTHON = (3, 11)
PAIRS = {(2, minor): (0, minor + 15) for minor in range(40)}
"""torchvision 0.(N + 15) is built for torch 2.N."""
MNIST = "MNIST/raw/train-images-idx3-ubyte"


@dataclass(frozen=True)
class Finding:
    what: str
    says: str
    good: bool = True

    def __str__(self) -> str:
        return f"{'ok   ' if self.good else 'WRONG'} {self.what}: {self.says}"


def examine(runs_dir: Path, data_dir: Path | None) -> list[Finding]:
    """Everything that can be told without training; a check that fails is a finding, not a traceback."""
    checks: list[Callable[[], Iterator[Finding]]] = [
        _python,
        _packages,
        _torch,
        _devices,
        _wandb,
        lambda: _data(data_dir),
        lambda: _folders(runs_dir),
    ]
    findings: list[Finding] = []
    for check in checks:
        try:
            findings += check()
        except Exception as error:
            findings.append(Finding("check", f"failed: {type(error).__name__}: {error}", good=False))
    return findings


def _python() -> Iterator[Finding]:
    good = sys.version_info[:2] >= OLDEST_PYTHON
    needs = "" if good else f"; needs {'.'.join(map(str, OLDEST_PYTHON))} or newer"
    yield Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}{needs}", good)


def _packages() -> Iterator[Finding]:
    """The base packages must be there; the extras say what is missing without them."""
    missing: dict[str, list[str]] = {}
    for extra, name in _requirements():
        try:
            version(name)
        except PackageNotFoundError:
            missing.setdefault(extra, []).append(name)
    base = missing.pop("", [])
    yield Finding("base packages", f"missing: {', '.join(base)}" if base else "installed", good=not base)
    for extra in ("sweeps", "analysis"):
        names = missing.get(extra, [])
        says = f"missing: {', '.join(names)}; pip install 'elbosweep[{extra}]'" if names else "installed"
        yield Finding(f"extra {extra}", says, good=not names)
    shown = ("torch", "torchvision", "ray", "optuna", "wandb", "pandas", "pyarrow", "seaborn")
    yield Finding("versions", ", ".join(f"{name} {_version(name)}" for name in shown if _version(name)))


def _requirements() -> Iterator[tuple[str, str]]:
    """(extra, package) of this distribution; the extra is empty for the base."""
    try:
        lines = requires("elbosweep") or []
    except PackageNotFoundError:
        lines = []
    for line in lines:
        extra = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", line)
        package = re.match(r"[\w.-]+", line)
        if package and not package[0].startswith("elbosweep"):
            yield (extra[1] if extra else ""), package[0]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _torch() -> Iterator[Finding]:
    """torch and torchvision must come from the same release, or torchvision does not even import."""
    torch, torchvision = _version("torch"), _version("torchvision")
    if torch is None or torchvision is None:
        return
    major, minor = (int(part) for part in torch.split(".")[:2])
    wanted = PAIRS.get((major, minor))
    have = tuple(int(part) for part in torchvision.split(".")[:2])
    if wanted is not None and have != wanted:
        says = f"torch {torch} needs torchvision {wanted[0]}.{wanted[1]}, got {torchvision}: install a matching pair"
        yield Finding("torch and torchvision", says, good=False)
        return
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        says = f"torchvision does not import: {error}: install both from the same index"
        yield Finding("torch and torchvision", says, good=False)
        return
    yield Finding("torch and torchvision", f"{torch} and {torchvision} fit together")


def _devices() -> Iterator[Finding]:
    import torch

    threads = torch.get_num_threads()
    yield Finding("processor", f"{available_cores()} cores to use, {threads} torch threads by default")
    if not torch.cuda.is_available():
        yield Finding("GPU", "none: trials run on the processor, which is enough for digits")
        return
    for index in range(torch.cuda.device_count()):
        memory = torch.cuda.get_device_properties(index).total_memory / 2**30
        yield Finding("GPU", f"cuda:{index} {torch.cuda.get_device_name(index)}, {memory:.0f} GiB")


def _wandb() -> Iterator[Finding]:
    if _version("wandb") is None:
        return
    from sweeps.tracking.online import find_key, server_url

    key = "a key is there" if find_key() else "no key: runs stay on disk (offline), which needs no account"
    yield Finding("W&B", f"mode {os.environ.get('WANDB_MODE', 'offline')}, server {server_url()}, {key}")


def _data(data_dir: Path | None) -> Iterator[Finding]:
    from pipeline.config import ConfigError, DataConfig
    from pipeline.data.images import load

    digits = load(DataConfig())
    yield Finding("digits", f"{len(digits.train)} training images, embedded, no download")
    try:
        mnist = load(DataConfig(name="mnist"), data_dir, download=False)
        yield Finding("mnist", f"{len(mnist.train)} training images")
    except ConfigError:
        where = data_dir or os.environ.get("ELBOSWEEP_DATA") or "the cache folder"
        yield Finding("mnist", f"not in {where}: downloaded when a sweep asks for it (or put {MNIST} there)")


def _folders(runs_dir: Path) -> Iterator[Finding]:
    """The runs folder, or the nearest folder above it that exists, can be written."""
    folder = runs_dir.resolve()
    nearest = next(parent for parent in (folder, *folder.parents) if parent.exists())
    good = nearest.is_dir() and os.access(nearest, os.W_OK)
    says = f"{folder} can be written" if good else f"{folder} cannot be written: choose another with --runs-dir"
    yield Finding("runs folder", says, good)
