"""Early stopping by Ray's ASHA; which trials are compared does not depend on the number of workers.

Asynchronous successive halving (Li et al. 2020, algorithm 2) compares a trial with whatever has reached its rung so
far, which depends on the number of workers. Here trial i is compared with the trials up to i - window, from which it
was suggested: the same trials are stopped at any number of workers up to the window, and after a crash and resume.
Only suggested trials are stopped; the factorial ones are the curve.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, TrialScheduler

from pipeline.files import read_rows
from pipeline.layout import HISTORY, rows_file
from sweeps.record.ledger import Ledger
from sweeps.search.planner import Planner
from sweeps.specification.options import StoppingConfig
from sweeps.specification.spec import SweepSpec


@dataclass(frozen=True)
class Stop:
    """Where and why a trial was stopped."""

    reached: tuple[tuple[int, float], ...]
    """Epoch and metric (a mean over replicates) at every rung that the trial got to."""
    reason: str


def rungs(stopping: StoppingConfig, epochs: int) -> list[float]:
    """Epochs at which a trial of `epochs` may be stopped: below the last one, where nothing would be saved."""
    below, rung = [], float(stopping.min_epochs)
    while stopping.min_epochs and rung < epochs:
        below.append(rung)
        rung *= stopping.reduction_factor
    return below


def falls_behind(value: float, others: list[float], rung: float, spec: SweepSpec, epochs: int) -> bool:
    """Whether Ray's ASHA stops a trial at a rung that the `others` have passed before it."""
    asha = AsyncHyperBandScheduler(
        time_attr="epoch",
        metric="metric",
        mode=spec.search.mode,
        max_t=epochs,
        grace_period=spec.stopping.min_epochs,
        reduction_factor=spec.stopping.reduction_factor,
        stop_last_trials=False,
    )
    action, nobody = TrialScheduler.CONTINUE, cast(Any, None)
    for index, metric in enumerate([*others, value]):
        trial: Any = SimpleNamespace(trial_id=str(index))
        asha.on_trial_add(nobody, trial)
        action = asha.on_trial_result(nobody, trial, {"epoch": rung, "metric": metric})
    return bool(action == TrialScheduler.STOP)


class EarlyStopping(FIFOScheduler):
    """A scheduler for Tune: trials run in the order of their numbers, and at a rung a suggested one may be stopped."""

    def __init__(self, spec: SweepSpec, planner: Planner, ledger: Ledger) -> None:
        super().__init__()
        self.spec, self.planner, self.ledger = spec, planner, ledger
        self.stopped: dict[int, Stop] = {}
        self._reported: dict[int, dict[int, float]] = defaultdict(dict)
        self._passed: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self._finished: dict[int, dict[int, float]] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: Mapping[str, Any]) -> str:
        number, metric = trial.config["number"], self.spec.search.metric
        if self.spec.stopping.min_epochs and "epoch" in result and metric in result:
            self._reported[number][int(result["epoch"])] = float(result[metric])
            if self.planner.plans[number].phase == "search" and (stop := self._decide(number)):
                self.stopped[number] = stop
                return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)

    def _decide(self, number: int) -> Stop | None:
        """Compare the trial at each rung that it has reached since the last report."""
        epochs = self.planner.config(self.planner.plans[number]).training.epochs
        passed = self._passed[number]
        for rung in rungs(self.spec.stopping, epochs)[len(passed) :]:
            curve = self._reported[number]
            if min(curve) > rung:  # a resumed trial: its file holds the epochs that were reported before
                curve = self._from_file(number) | curve
            if (reached := _first(curve, rung)) is None:
                break
            passed.append(reached)
            others = [point[1] for other in self._seen(number) if (point := self._at(other, rung)) is not None]
            if falls_behind(reached[1], others, rung, self.spec, epochs):
                about = f"{self.spec.search.metric} {reached[1]:.4f} missed the cut of {len(others)} earlier"
                return Stop(tuple(passed), f"stopped early at epoch {reached[0]} of {epochs}: {about}")
        return None

    def _seen(self, number: int) -> range:
        """The trials that a trial is compared with: it was suggested from them, so all of them are over."""
        return range(max(0, number - self.spec.search.window + 1))

    def _at(self, number: int, rung: float) -> tuple[int, float] | None:
        """Where a trial that is over passed a rung; None for one that failed or did not get there."""
        outcome = self.ledger.outcome(number)
        if outcome is None or outcome.status == "failed":
            return None
        if outcome.status == "stopped":
            return _first(dict(outcome.stopped), rung)
        if number not in self._finished:
            self._finished[number] = self._from_file(number)
        return _first(self._finished[number], rung)

    def _from_file(self, number: int) -> dict[int, float]:
        """Epoch -> mean of the metric over replicates, from a trial's history."""
        values = defaultdict(list)
        for row in read_rows(self.ledger.trial_folder(number) / rows_file(HISTORY)):
            values[row["epoch"]].append(row[self.spec.search.metric])
        return {epoch: statistics.fmean(replicates) for epoch, replicates in values.items()}


def _first(curve: Mapping[int, float], rung: float) -> tuple[int, float] | None:
    """The first epoch at or beyond a rung, and the metric then; None where the trial did not get there."""
    epoch = min((epoch for epoch in curve if epoch >= rung), default=None)
    return None if epoch is None else (epoch, curve[epoch])
