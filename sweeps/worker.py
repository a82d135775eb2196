"""What runs inside a Ray worker: one trial after the other, in the same process."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import tune

from pipeline.checkpoints import write_text
from pipeline.config import ConfigError, DataConfig, TrialConfig, override, parse
from pipeline.data import ImageData
from pipeline.data import load as load_data
from pipeline.training import TrainingDiverged
from sweeps.ledger import ERROR_FILE


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

    base: Mapping[str, Any]
    folder: Path
    """The sweep's `trials` folder."""
    threads: int
    data_dir: Path | None
    function: TrialFunction


def trainable(job: Job) -> Callable[[dict[str, Any]], None]:
    """The function that Tune calls for each trial."""

    def trial(config: dict[str, Any]) -> None:
        run(job, config["number"], config["overrides"])

    return trial


def run(job: Job, number: int, overrides: Mapping[str, Any]) -> None:
    """Run one trial into its folder.

    A configuration that cannot be trained, or whose loss is not finite, would fail again: it is written down and the
    trial ends. Whatever else is raised goes on to Tune, which starts the trial again from its last checkpoint.
    """
    folder = job.folder / f"{number:04d}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / ERROR_FILE).unlink(missing_ok=True)
    try:
        config = parse(override(job.base, overrides), f"trial {number}")
        job.function(
            config,
            folder,
            device="cuda" if ray.get_gpu_ids() else "cpu",
            data=images(config.data, job.data_dir),
            report=lambda epoch, metrics: tune.report({"epoch": epoch, **metrics}),
            threads=job.threads,
        )
    except (ConfigError, TrainingDiverged) as error:
        write_text(folder / ERROR_FILE, _one_line(error) + "\n")
    except Exception as error:
        write_text(folder / ERROR_FILE, f"{traceback.format_exc()}\n{type(error).__name__}: {_one_line(error)}\n")
        raise


@lru_cache(maxsize=2)
def images(config: DataConfig, data_dir: Path | None) -> ImageData:
    """The data set, read once per worker process (which outlives its trials)."""
    return load_data(config, data_dir)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
