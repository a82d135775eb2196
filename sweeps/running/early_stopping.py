"""Early stopping by Ray's ASHA, shown exactly the trials that the design lets it see.

Asynchronous successive halving (Li et al. 2020, algorithm 2) compares a trial with whatever has reached its rung so
far, which depends on the number of workers. Here trial i is compared with the trials up to i - window, as it was
suggested from them: the same trials are stopped at any number of workers up to the window, and after a crash and
resume. Only suggested trials are stopped; the factorial ones are the curve.
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
from sweeps.record.ledger import Ledger
from sweeps.search.planner import Planner
from sweeps.specification.options import StoppingConfig
from sweeps.specification.spec import SweepSpec


@dataclass(frozen=True)
class Stop:
    """Why a trial was stopped."""

    reached: tuple[tuple[int, float], ...]
    """Epoch and metric (a mean over replicates) at every rung that the trial got to."""
    reason: str


def rungs(stopping: StoppingConfig, epochs: int) -> list[float]:
    """Epochs at which a trial of `epochs` may be stopped; the last one is not: nothing would be saved."""
    found, rung = [], float(stopping.min_epochs)
    while stopping.min_epochs and rung < epochs:
        found.append(rung)
        rung *= stopping.reduction_factor
    return found


def falls_behind(value: float, others: list[float], rung: float, spec: SweepSpec, epochs: int) -> bool:
    """Ray's ASHA on one rung: whether a trial that comes after `others` is stopped there."""
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
    for index, known in enumerate([*others, value]):
        trial: Any = SimpleNamespace(trial_id=str(index))
        asha.on_trial_add(nobody, trial)
        action = asha.on_trial_result(nobody, trial, {"epoch": rung, "metric": known})
    return bool(action == TrialScheduler.STOP)


class EarlyStopping(FIFOScheduler):
    """Tune's scheduler: first come, first served, and every report of a suggested trial may be its last."""

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
            if self.planner.known[number].phase == "search" and (stop := self._decide(number)):
                self.stopped[number] = stop
                return str(TrialScheduler.STOP)
        return str(TrialScheduler.CONTINUE)

    def _decide(self, number: int) -> Stop | None:
        """Judge the rungs that the trial has reached by now and was not judged at before."""
        epochs = self.planner.config(self.planner.known[number]).training.epochs
        passed = self._passed[number]
        for rung in rungs(self.spec.stopping, epochs)[len(passed) :]:
            # An interrupted trial goes on: its file holds the epochs that were reported before.
            mine = self._reported[number]
            if (reached := _first(mine if min(mine) <= rung else self._from_file(number) | mine, rung)) is None:
                break
            passed.append(reached)
            others = [there[1] for other in self._seen(number) if (there := self._at(other, rung)) is not None]
            if falls_behind(reached[1], others, rung, self.spec, epochs):
                about = f"{self.spec.search.metric} {reached[1]:.4f} missed the cut of {len(others)} earlier"
                return Stop(tuple(passed), f"stopped early at epoch {reached[0]} of {epochs}: {about}")
        return None

    def _seen(self, number: int) -> range:
        """Trials that a trial is compared with: all of them are over, since it was suggested from them."""
        return range(max(0, number - self.spec.search.window + 1))

    def _at(self, number: int, rung: float) -> tuple[int, float] | None:
        outcome = self.ledger.outcome(number)
        if outcome is None or outcome.status == "failed":
            return None
        if outcome.status == "stopped":
            return _first(dict(outcome.stopped), rung)
        if number not in self._finished:
            self._finished[number] = self._from_file(number)
        return _first(self._finished[number], rung)

    def _from_file(self, number: int) -> dict[int, float]:
        values = defaultdict(list)
        for row in read_rows(self.ledger.trial_folder(number) / "history.jsonl"):
            values[row["epoch"]].append(row[self.spec.search.metric])
        return {epoch: statistics.fmean(found) for epoch, found in values.items()}


def _first(curve: Mapping[int, float], rung: float) -> tuple[int, float] | None:
    """The first epoch at or beyond a rung, and the metric then; None where the trial did not get there."""
    epoch = min((epoch for epoch in curve if epoch >= rung), default=None)
    return None if epoch is None else (epoch, curve[epoch])
