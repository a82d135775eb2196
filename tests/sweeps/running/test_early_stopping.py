"""The same trials are stopped, at the same epochs, at any number of workers and across a crash; by Ray's own rule."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from fake_trial import bound, epoch_metrics, run_trial

from sweeps.record.ledger import Ledger, Record
from sweeps.running.early_stopping import EarlyStopping, falls_behind, rungs
from sweeps.search.plan import Plan
from sweeps.search.planner import Planner
from sweeps.specification.options import StoppingConfig
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec

EPOCHS = 12


def specification(**parts: Any) -> SweepSpec:
    tree = {
        "name": "t",
        "base": {"training": {"epochs": EPOCHS}, "replicates": 2},
        "factors": {"model.latent_dim": [2, 8]},
        "space": {
            "model.latent_dim": {"int": [2, 64], "log": True},
            "training.learning_rate": {"float": [1e-4, 1e-2], "log": True},
        },
        "search": {"trials": 16, "window": 4},
        "stopping": {"min_epochs": 2, "reduction_factor": 2},
    }
    return parse({**tree, **parts})


def test_rungs_are_a_geometric_sequence_below_the_last_epoch() -> None:
    assert rungs(StoppingConfig(min_epochs=2, reduction_factor=2), 16) == [2, 4, 8]
    assert rungs(StoppingConfig(min_epochs=2, reduction_factor=2.5), 13) == [2, 5, 12.5]
    assert rungs(StoppingConfig(), 16) == []


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_trial_goes_on_if_it_is_in_the_best_share(mode: str) -> None:
    """A reduction factor of 4: the best quarter of what was seen before goes on (Li et al. 2020)."""
    spec = specification(search={"trials": 16, "mode": mode}, stopping={"min_epochs": 2, "reduction_factor": 4})
    sign = 1 if mode == "max" else -1
    others = [sign * float(value) for value in range(101)]
    cutoff = float(np.percentile(range(101), 75))
    assert falls_behind(sign * (cutoff - 0.5), others, 2.0, spec, EPOCHS)
    assert not falls_behind(sign * (cutoff + 0.5), others, 2.0, spec, EPOCHS)
    assert not falls_behind(sign * -1e9, [], 2.0, spec, EPOCHS), "the first has nobody to fall behind"


class Driver:
    """What Tune does with the planner, the scheduler and the ledger; trials report in random order."""

    def __init__(self, spec: SweepSpec, folder: Path, workers: int, seed: int) -> None:
        self.spec, self.folder, self.workers, self.order = spec, folder, workers, random.Random(seed)
        self.begin()

    def begin(self) -> None:
        """A process starts, or starts again after a crash."""
        self.planner, self.ledger = Planner(self.spec, self.folder), Ledger(self.folder, self.spec.search.metric)
        self.scheduler = EarlyStopping(self.spec, self.planner, self.ledger)
        self.again = self.ledger.to_run_again(self.planner.plans)
        self.running: dict[int, Iterator[bool]] = {}

    def run(self, crashes: int = 0) -> dict[int, Record]:
        steps = 0
        while True:
            while len(self.running) < self.workers and (plan := self._next()) is not None:
                self.running[plan.number] = self._trial(plan)
            if not self.running:
                return self.ledger.records
            number = self.order.choice(sorted(self.running))
            if next(self.running[number]):
                del self.running[number]
            steps += 1
            if crashes and steps % 25 == 0:
                crashes -= 1
                self.begin()

    def _next(self) -> Plan | None:
        plan = self.again.pop(0) if self.again else self.planner.next(self.ledger.outcome)
        if not isinstance(plan, Plan):
            return None
        self.ledger.start(plan)
        return plan

    def _trial(self, plan: Plan) -> Iterator[bool]:
        """True once it is over. A trial that runs again goes on after the epochs that its folder holds."""
        config, folder = self.spec.trial(plan.overrides), self.ledger.trial_folder(plan.number)
        done = folder / "done"
        first = int(done.read_text()) + 1 if done.exists() else 1
        for epoch in range(first, EPOCHS + 1):
            metrics = epoch_metrics(bound(config) - (EPOCHS - epoch))
            self._write(folder, epoch, config)
            trial = SimpleNamespace(config={"number": plan.number})
            if self.scheduler.on_trial_result(None, trial, {"epoch": epoch, **metrics}) == "STOP":
                stop = self.scheduler.stopped[plan.number]
                self.ledger.stop(plan.number, stop.reached, stop.reason)
                yield True
            yield False
        run_trial(config, folder, report=lambda epoch, metrics: None)
        self.ledger.conclude(plan.number)
        yield True

    def _write(self, folder: Path, epoch: int, config: Any) -> None:
        from pipeline.files import write_rows, write_text

        rows = [
            {"replicate": replicate, "epoch": one, **epoch_metrics(bound(config) - (EPOCHS - one))}
            for one in range(1, epoch + 1)
            for replicate in range(config.first_replicate, config.first_replicate + config.replicates)
        ]
        write_rows(folder / "history.jsonl", rows)
        write_text(folder / "done", str(epoch))


def summary(records: dict[int, Record]) -> list[Any]:
    return [(number, dict(r.plan.overrides), r.status, r.value, r.stopped) for number, r in sorted(records.items())]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Record]:
    return Driver(specification(), tmp_path_factory.mktemp("alone"), workers=1, seed=0).run()


def test_some_are_stopped_and_none_of_the_factorial_part(alone: dict[int, Record]) -> None:
    stopped = [record for record in alone.values() if record.status == "stopped"]
    assert 4 <= len(stopped) <= 14
    assert {record.plan.phase for record in stopped} == {"search"}
    assert all(record.value is None for record in stopped), "what it had reached is no result"
    assert all("stopped early at epoch" in (record.reason or "") for record in stopped)
    assert len(alone) == 18


@pytest.mark.parametrize(("workers", "seed"), [(2, 1), (4, 2), (4, 3)])
def test_the_same_trials_are_stopped_at_any_number_of_workers(
    alone: dict[int, Record], tmp_path: Path, workers: int, seed: int
) -> None:
    assert summary(Driver(specification(), tmp_path, workers, seed).run()) == summary(alone)


def test_the_same_trials_are_stopped_across_crashes(alone: dict[int, Record], tmp_path: Path) -> None:
    assert summary(Driver(specification(), tmp_path, workers=3, seed=4).run(crashes=3)) == summary(alone)


def test_optuna_hears_of_a_stopped_trial_as_pruned(tmp_path: Path) -> None:
    driver = Driver(specification(), tmp_path, workers=2, seed=0)
    records = driver.run()
    trials = driver.planner.study.trials
    stopped = {number for number, record in records.items() if record.status == "stopped"}
    assert {trial.number for trial in trials if trial.state.name == "PRUNED"} == stopped
    assert all(
        trials[number].intermediate_values == {int(e): v for e, v in records[number].stopped} for number in stopped
    )
