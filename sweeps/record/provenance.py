"""Where a sweep's numbers come from: command, revision, versions, hardware, data."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Collection, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pipeline.config import ConfigError
from sweeps.layout import SPEC
from sweeps.machine.resources import available_cores
from sweeps.specification.spec import SweepSpec

if TYPE_CHECKING:
    from pipeline.data.images import ImageData

PACKAGES = (
    "elbosweep", "torch", "torchvision", "zuko", "arviz-stats", "scikit-learn", "numpy", "scipy", "pydantic",
    "ray", "optuna", "wandb", "pandas", "pyarrow", "seaborn", "matplotlib", "typer", "rich",
)  # fmt: skip


EACH_START = ("command", "git", "versions", "hardware", "ended", "seconds")
"""What may differ between the starts of one sweep."""

FIXED = ("base", "factors", "space", "search", "stopping")
"""Sections of a specification that decide which trial has which number."""


CLOSED_BY = {
    "refine": (("search", "trials"), ("refine", "by")),
    "confirm": (
        ("search", "trials"),
        *(("refine", key) for key in ("by", "trials", "target_standard_error")),
        *(("budget", key) for key in ("trials", "target")),
        *(("confirm", key) for key in ("by", "replicates")),
    ),
}
"""What each phase was decided from: a change would not be followed by trials, or by ones that do not fit the others."""


def describe(spec: SweepSpec, command: str, data: Sequence[ImageData]) -> dict[str, Any]:
    """Everything but the outcome; `data` is the first data set, further ones are listed beside it."""
    first, *others = [_describe_data(images) for images in data]
    tree: dict[str, Any] = {
        "schema": 1,
        "name": spec.name,
        "spec": yaml.safe_load(spec.written()),
        "command": command,
        "git": revision(Path(__file__).parent),
        "versions": {"python": platform.python_version(), **versions()},
        "hardware": hardware(),
        "data": first,
    }
    return tree | ({"other_data": others} if others else {})


def earlier(before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What each start before this one ran on, oldest first; `seconds` counts from the first start to each one's end."""
    start = {key: before[key] for key in EACH_START if key in before}
    return [*before.get("earlier", []), *([start] if start else [])]


def _describe_data(images: ImageData) -> dict[str, Any]:
    return {
        "name": images.name,
        "checksum": images.checksum,
        "levels": images.levels,
        "image_shape": list(images.image_shape),
        **{split: len(getattr(images, split)) for split in ("train", "validation", "test")},
    }


def versions() -> dict[str, str]:
    """Installed packages of the project's own."""
    installed = {}
    for package in PACKAGES:
        try:
            installed[package] = version(package)
        except PackageNotFoundError:
            continue
    return installed


def hardware() -> dict[str, Any]:
    """The machine that the driver runs on."""
    import torch

    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    return {
        "machine": platform.machine(),
        "processor": _processor(),
        "system": platform.system(),
        "cores": available_cores(),
        "memory_gib": None if memory is None else round(memory, 1),
        "gpus": gpus,
    }


def _processor() -> str:
    """The model's name; Python knows it on few systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def revision(folder: Path) -> dict[str, Any] | None:
    """Commit of the source and whether it was changed since; None outside a git checkout."""

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        # --no-optional-locks: looking must not disturb a commit that is being made.
        changed = bool(git("--no-optional-locks", "status", "--porcelain", "--untracked-files=no"))
        return {"revision": git("rev-parse", "HEAD"), "dirty": changed}
    except (OSError, subprocess.SubprocessError):
        return None


def check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any], phases: Collection[str] = ()) -> None:
    """A sweep that goes on has the data it was started with, and the specification as far as it decides the trials.

    Resources and tracking may change; `search.trials`, budgets, refinement and confirmation as long as none of the
    `phases` that follow them has begun.

    Raises:
        ConfigError: what differs, with both values.
    """
    was, are = before.get("data", {}).get("checksum"), now["data"]["checksum"]
    if was not in (None, are):
        raise ConfigError(f"{folder}: was started with other data: checksum must be {was}, got {are}")
    then, here = before.get("spec", {}), now["spec"]
    for section in FIXED:
        old, new = ({**(tree.get(section) or {}), "trials": None} for tree in (then, here))
        for key in old | new if section in then else ():
            if old.get(key) != new.get(key):
                raise ConfigError(
                    f"{folder / SPEC}: {section}.{key}: must stay what the sweep was started with "
                    f"({old.get(key)!r}), got {new.get(key)!r}; give the new specification a name of its own"
                )
    for phase, keys in CLOSED_BY.items():
        for section, key in keys if phase in phases and then else ():
            decided, wanted = ((tree.get(section) or {}).get(key) for tree in (then, here))
            if decided != wanted:
                raise ConfigError(
                    f"{folder / SPEC}: {section}.{key}: cannot change once the {phase} phase has begun (it was "
                    f"{decided!r}), got {wanted!r}; give the new specification a name of its own"
                )
