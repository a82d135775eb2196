"""Tune's events into W&B: one run per trial, made in the driver."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback

from sweeps.layout import trial_folder
from sweeps.specification.options import TrackingConfig
from sweeps.tracking.epochs import metrics_of
from sweeps.tracking.trial_runs import TrialRuns

log = logging.getLogger(__name__)


class WandbCallback(Callback):
    """Tune's events into `TrialRuns`. Tune pickles its callbacks: what lives in this process stays behind."""

    def __init__(
        self,
        sweep_folder: Path,
        sweep_name: str,
        tracking: TrackingConfig,
        resolve: Callable[[int], Mapping[str, Any]],
        phase: Callable[[int], str],
        warn: Callable[[str], None] = log.warning,
    ) -> None:
        self.sweep_folder, self.sweep_name, self.tracking = sweep_folder, sweep_name, tracking
        self.resolve: Callable[[int], Mapping[str, Any]] | None = resolve
        self.phase: Callable[[int], str] | None = phase
        self.runs: TrialRuns | None = TrialRuns(sweep_folder, sweep_name, tracking, warn)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "resolve": None, "phase": None, "runs": None}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        number = trial.config["number"]
        if self.runs and self.resolve and self.phase:
            self.runs.start(number, self.resolve(number), self.phase(number))

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        if self.runs and "epoch" in result:
            self.runs.log(trial.config["number"], int(result["epoch"]), metrics_of(result))

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        folder = self._folder(trial)
        self._finish(trial, "finished" if (folder / "result.json").is_file() else "stopped")

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._finish(trial, "failed")

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        if self.runs:
            self.runs.close()

    def _folder(self, trial: Any) -> Path:
        return trial_folder(self.sweep_folder, trial.config["number"])

    def _finish(self, trial: Any, status: str) -> None:
        if self.runs:
            self.runs.finish(trial.config["number"], self._folder(trial), status)
