"""A sweep that is killed again and again, in every way, ends with the results of one that was left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray  # noqa: F401  brings psutil with it
import sweep_program
from fake_trial import FakeTrial, run_trial
from pandas.testing import assert_frame_equal
from programs import Program

from pipeline.files import read_json
from sweeps.record.ledger import Ledger
from sweeps.record.tables import collect
from sweeps.search.plan import Plan
from sweeps.search.planner import Planner
from sweeps.specification.reading import parse
from sweeps.tracking import offline

import psutil  # isort: skip

TREE: dict[str, Any] = {
    "name": "chain",
    "base": {"training": {"epochs": 3}, "replicates": 2},
    "factors": {"model.latent_dim": [2, 8, 32]},
    "space": {
        "model.latent_dim": {"int": [2, 32], "log": True},
        "training.learning_rate": {"float": [1e-4, 1e-2], "log": True},
    },
    "search": {"trials": 7, "window": 4},
    "retries": 5,
    "tracking": {"wandb": "disabled"},
}
TRIALS = 10


def uninterrupted(tree: dict[str, Any], folder: Path) -> pd.DataFrame:
    """The same sweep, trial after trial, without Ray and without waiting."""
    spec = parse(tree)
    planner, ledger = Planner(spec, folder), Ledger(folder, *spec.search.modes)
    while isinstance(plan := planner.next(ledger.outcome), Plan):
        ledger.start(plan)
        run_trial(spec.trial(plan.overrides), ledger.trial_folder(plan.number), report=lambda *_: None)
        ledger.conclude(plan.number)
    collect(ledger, spec)
    return results(folder)


def results(folder: Path) -> pd.DataFrame:
    table = pd.read_parquet(folder / "trials.parquet")
    return table.drop(columns=["started", "ended", *(column for column in table if column.startswith("seconds."))])


def is_worker(process: psutil.Process) -> bool:
    return " ".join(process.cmdline()).startswith("ray::ImplicitFunc")


def processes_below(program: Program, wanted: Callable[[psutil.Process], bool]) -> list[psutil.Process]:
    """Processes that a driver started."""
    try:
        return [child for child in psutil.Process(program.process.pid).children(recursive=True) if wanted(child)]
    except psutil.Error:
        return []


@dataclass
class Chain:
    """One sweep, started and resumed until it is complete; what was done to it on the way."""

    folder: Path
    tree: dict[str, Any]
    trial: FakeTrial
    chance: random.Random
    program: Program | None = None
    said: str = ""
    """What the programs before this one said."""
    done: Counter[str] = field(default_factory=Counter)
    starts: dict[int, int] = field(default_factory=dict)
    """Starts of each trial that was finished at some moment."""
    stops: dict[str, list[float]] = field(default_factory=dict)
    """Seconds that each kind of interrupt took to end the driver: printed, not asserted."""
    resumes: list[float] = field(default_factory=list)
    """Seconds from a start to the first epoch: printed, not asserted."""

    @property
    def sweep(self) -> Path:
        return self.folder / "chain"

    def run(self) -> Program:
        """Start the driver, or start it again."""
        self.close()
        command = "resume" if (self.sweep / "spec.yaml").exists() else "run"
        self.program = sweep_program.start(command, self.folder, self.tree, self.trial)
        return self.program

    def close(self) -> None:
        if self.program is not None:
            self.said += self.program.said()
            self.program.close()
            self.program = None

    def running(self) -> Program | None:
        """The driver, where it has not ended."""
        return self.program if self.program is not None and self.program.process.poll() is None else None

    def wait_for_work(self, program: Program) -> bool:
        """Until an epoch was trained by this driver; False where it ended before."""
        marks, began = self._marks(), time.monotonic()

        def works() -> bool:
            # A worker of the driver that was killed before may still write for some seconds.
            return program.process.poll() is not None or bool(
                self._marks() != marks and processes_below(program, is_worker)
            )

        program.wait_until(works, "an epoch")
        self.resumes.append(time.monotonic() - began)
        return program.process.poll() is None

    def _marks(self) -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in self.sweep.glob("trials/*/epoch.json")}

    def remember(self) -> None:
        for path in self.sweep.glob("trials/*/trial.json"):
            if json.loads(path.read_text())["status"] == "finished":
                number = int(path.parent.name)
                count = len((path.parent / "starts.jsonl").read_text().splitlines())
                assert self.starts.setdefault(number, count) == count, f"trial {number} ran again"

    def hit(self, program: Program, how: str, starting: bool = False) -> None:
        """Do it; afterwards the driver is gone, unless a worker was killed."""
        began = time.monotonic()
        match how:
            case "worker":
                if workers := processes_below(program, is_worker):
                    self.chance.choice(workers).kill()
                    self.done[how] += 1
                return
            case "raylet" | "gcs_server":
                servers = processes_below(program, lambda child: bool(child.name() == how))
                if not servers:
                    return
                servers[0].kill()
            case "twice":
                program.process.send_signal(signal.SIGINT)
                time.sleep(0.6)
                program.process.send_signal(signal.SIGINT)
            case "group":
                os.killpg(program.process.pid, signal.SIGINT)
            case _:
                program.process.send_signal(signal.Signals[how])
        code = program.end(seconds=60)
        if code == 0:
            return  # it was complete before it noticed
        self.done[how] += 1
        self.stops.setdefault(how, []).append(time.monotonic() - began)
        # Before the sweep has its own handlers, while Python imports, a signal ends the process as it ends any other.
        plain = {"SIGTERM": -15, "SIGHUP": -1}.get(how, -2)
        expected = {"SIGKILL": [-9], "raylet": [1], "gcs_server": [1]}.get(how, [130, plain, 1] if starting else [130])
        if code not in expected:
            raise program.failed(f"{how}: the exit code must be among {expected}")
        if code == 130 or (code == 1 and not starting):
            said = program.said()
            # Tune, ended in the middle of a result, may print a line of its own after ours.
            assert f"to go on: elbosweep resume chain --runs-dir {self.folder}\n" in said[-500:], said[-2000:]
            assert read_json(self.sweep / "sweep.json")["state"] == "interrupted"
        self.remember()

    def complete(self, kinds: list[str], spread: float) -> None:
        """Start it, and interrupt it in these ways at random moments; then let it end."""
        for how in kinds:
            starting = False
            if not self.running():
                program = self.run()
                if self.chance.random() < 0.2 and how not in ("worker", "raylet", "gcs_server"):
                    starting = True
                    time.sleep(self.chance.uniform(0.5, 6))
                elif not self.wait_for_work(program):
                    break
            time.sleep(self.chance.uniform(0, spread))
            if running := self.running():
                self.hit(running, how, starting)
        last = self.running() or self.run()
        if last.end(seconds=240) != 0:
            raise last.failed("the sweep is not complete")
        self.remember()
        self.close()

    def figures(self) -> str:
        seconds = {how: f"{max(times):.1f}" for how, times in self.stops.items()}
        return (
            f"{self.done.total()} moments {dict(self.done)}; seconds to stop, at most: {seconds}; "
            f"to the first epoch after a start: {sum(self.resumes) / max(1, len(self.resumes)):.1f} on average"
        )


def assert_as_if_nothing_had_happened(chain: Chain, reference: pd.DataFrame) -> None:
    table = results(chain.sweep)
    assert table["trial"].tolist() == list(range(TRIALS)), "no trial twice, none missing"
    assert_frame_equal(table, reference, check_exact=True)
    history = pd.read_parquet(chain.sweep / "history.parquet")
    assert not history.duplicated(["trial", "replicate", "epoch"]).any()
    assert sorted(chain.starts) == list(range(TRIALS))
    assert not [path.name for path in chain.sweep.rglob("*.damaged")]


@pytest.mark.timeout(900)
def test_a_sweep_killed_at_five_moments_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    reference = uninterrupted(TREE, tmp_path / "reference")
    with closing(Chain(tmp_path, TREE, FakeTrial(seconds=0.3), random.Random(0))) as chain:
        chain.complete(["SIGINT", "worker", "SIGKILL", "raylet", "twice"], spread=0.6)
    print(chain.figures())
    assert chain.done.total() >= 4
    assert_as_if_nothing_had_happened(chain, reference)


KINDS = ["SIGINT", "SIGTERM", "SIGKILL", "SIGHUP", "group", "twice", "worker", "raylet", "gcs_server"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_anywhere(tmp_path: Path) -> None:
    """At least 24 moments, every kind, with W&B."""
    tree = {**TREE, "base": {**TREE["base"], "training": {"epochs": 8}}, "tracking": {"wandb": "offline"}}
    reference = uninterrupted(tree, tmp_path / "reference")
    chance = random.Random(7)
    kinds = [*chance.sample(KINDS, len(KINDS)), *chance.sample(KINDS, len(KINDS)), *chance.sample(KINDS, len(KINDS))]
    with closing(Chain(tmp_path, tree, FakeTrial(seconds=0.5), chance)) as chain:
        chain.complete(kinds, spread=1.2)
    print(chain.figures())
    assert chain.done.total() >= 24
    assert set(chain.done) == set(KINDS)
    assert_as_if_nothing_had_happened(chain, reference)
    said = chain.said
    assert f"trials by record: Tune {TRIALS}, Optuna {TRIALS}, tables {TRIALS}, W&B {TRIALS}" in said
    assert "disagreement" not in said
    for number, seen in offline.count(chain.sweep).items():
        assert (number, seen.state, seen.rows, seen.epochs) == (number, "finished", 8, 8)
