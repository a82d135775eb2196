"""What runs inside a Ray worker: one trial after the other, in the same process."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ray
import torch
from ray import tune

from pipeline.config import ConfigError, TrialConfig
from pipeline.data.images import ImageData
from pipeline.files import full_disk, write_text
from pipeline.training.replicate import TrainingDiverged
from sweeps.machine.watchdog import ERROR_FILE, time_limit
from sweeps.running import shared_data
from sweeps.storage.storage import Storage
from sweeps.storage.workplace import workplace

FULL_DISK = "full_disk"
"""Key of the report that stops the sweep: the trial did nothing wrong."""


class TrialFunction(Protocol):
    """`pipeline.trial.run_trial`, or what stands in for it where training is not the point."""

    def __call__(
        self,
        config: TrialConfig,
        folder: Path,
        *,
        device: str,
        data: ImageData,
        report: Callable[[int, dict[str, float]], None],
        threads: int,
    ) -> object: ...


@dataclass(frozen=True)
class Job:
    """What all trials of a sweep share."""

    folder: Path
    """The sweep's `trials` folder."""
    threads: int
    data_dir: Path | None
    function: TrialFunction
    storage: Storage | None = None
    """The sweep's own folder in the storage, where the trials folder is not on a disk that all nodes share."""
    limit_minutes: float | None = None
    """Wall-clock limit of one attempt."""


@dataclass(frozen=True)
class Assignment:
    """One trial as it travels from the driver to a worker, with the configuration that the driver has parsed.

    Tune copies and flattens what it finds in a trial's `config`, and makes names of it; this it takes as one value.
    """

    number: int
    config: TrialConfig

    def for_tune(self) -> dict[str, Any]:
        """The trial's `config` in Tune."""
        return {"number": self.number, "assignment": self}

    def __deepcopy__(self, memo: dict[int, Any]) -> Assignment:
        return self  # nothing in it changes, and Tune keeps every trial to the end of the sweep

    def __str__(self) -> str:
        return f"trial {self.number}"


def trainable(job: Job) -> Callable[..., None]:
    """The function that Tune calls for each trial; `data` are handed to it by `tune.with_parameters`."""

    def trial(config: dict[str, Any], data: shared_data.Shared) -> None:
        run(job, config["assignment"], data)

    return trial


def run(job: Job, assignment: Assignment, data: shared_data.Shared) -> None:
    """Run one trial into its folder.

    A configuration that cannot be trained, or whose loss is not finite, would fail again: it is written down and the
    trial ends. Whatever else is raised goes on to Tune, which starts the trial again from its last checkpoint.
    A full disk is no fault of the trial: the driver is told, and stops.
    """
    try:
        _attempt(job, assignment, data)
    except Exception as error:
        if (place := full_disk(error)) is not None:
            tune.report({FULL_DISK: place})
        raise


def _attempt(job: Job, assignment: Assignment, data: shared_data.Shared) -> None:
    """Run one trial within its time; leave the reason in its folder where that fails."""
    with workplace(job.folder, job.storage, assignment.number) as (folder, keep):
        (folder / ERROR_FILE).unlink(missing_ok=True)

        def report(epoch: int, metrics: dict[str, float]) -> None:
            keep()
            tune.report({"epoch": epoch, **metrics})

        try:
            with time_limit(folder, job.limit_minutes):
                job.function(
                    assignment.config,
                    folder,
                    device="cuda" if ray.get_gpu_ids() else "cpu",
                    data=shared_data.images(assignment.config.data, data, job.data_dir),
                    report=report,
                    threads=job.threads,
                )
        except Exception as error:
            if full_disk(error) is not None:
                raise
            write_text(folder / ERROR_FILE, _described(error))
            if not isinstance(error, (ConfigError, TrainingDiverged)):
                raise


def _described(error: Exception) -> str:
    """What goes into the trial's log; the last line is the reason."""
    if isinstance(error, (ConfigError, TrainingDiverged)):
        return _one_line(error) + "\n"
    memory = "out of memory: " if isinstance(error, (MemoryError, torch.OutOfMemoryError)) else ""
    return f"{traceback.format_exc()}\n{memory}{type(error).__name__}: {_one_line(error)}\n"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
