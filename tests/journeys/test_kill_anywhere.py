"""A sweep that is killed again and again, in every way, ends with the results of one that was left alone."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fake_trial
import pandas as pd
import pytest
import ray  # noqa: F401  brings psutil with it
import yaml
from fake_trial import SWEEP
from pandas.testing import assert_frame_equal

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
    "base": {"training": {"epochs": 3, "gradient_clip": 0.3}, "replicates": 2},
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
        fake_trial.run_trial(
            spec.trial(plan.overrides), ledger.trial_folder(plan.number), report=lambda *_: None, wait=False
        )
        ledger.conclude(plan.number)
    collect(ledger, spec)
    return results(folder)


def results(folder: Path) -> pd.DataFrame:
    table = pd.read_parquet(folder / "trials.parquet")
    return table.drop(columns=["started", "ended", *(column for column in table if column.startswith("seconds."))])


def _hear() -> None:
    """A shell that runs the tests in the background, or nohup, has made them deaf."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _is_worker(process: Any) -> bool:
    return " ".join(process.cmdline()).startswith("ray::ImplicitFunc")


@dataclass
class Chain:
    """One sweep, started and resumed until it is complete; what was done to it on the way."""

    folder: Path
    tree: dict[str, Any]
    chance: random.Random
    process: subprocess.Popen[bytes] | None = None
    done: Counter[str] = field(default_factory=Counter)
    starts: dict[int, int] = field(default_factory=dict)
    """Starts of each trial that was finished at some moment."""
    stops: dict[str, list[float]] = field(default_factory=dict)
    resumes: list[float] = field(default_factory=list)

    @property
    def sweep(self) -> Path:
        return self.folder / "chain"

    def run(self) -> subprocess.Popen[bytes]:
        path = self.folder / "chain.yaml"
        path.write_text(yaml.safe_dump(self.tree))
        command = "resume" if (self.sweep / "spec.yaml").exists() else "run"
        script = str(SWEEP)
        environ = {key: value for key, value in os.environ.items() if not key.startswith("WANDB_")}
        with (self.folder / "said.txt").open("a") as said:
            self.process = subprocess.Popen(
                [sys.executable, script, command, str(self.folder), str(path), "2"],
                stderr=said,
                start_new_session=True,
                env=environ,
                preexec_fn=_hear,
            )
        return self.process

    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def below(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """Processes that the driver started."""
        assert self.process is not None
        try:
            return [child for child in psutil.Process(self.process.pid).children(recursive=True) if wanted(child)]
        except psutil.Error:
            return []

    def wait_for_work(self) -> bool:
        """Until an epoch was trained by this driver; False where it ended before."""
        marks = self._marks()
        began = time.monotonic()
        while self.running():
            # A worker of the driver that was killed before may still write for some seconds.
            if self._marks() != marks and self.below(_is_worker):
                self.resumes.append(time.monotonic() - began)
                return True
            assert time.monotonic() - began < 100, "the sweep does not get on"
            time.sleep(0.05)
        return False

    def _marks(self) -> dict[str, int]:
        return {str(path): path.stat().st_mtime_ns for path in self.sweep.glob("trials/*/epoch.json")}

    def remember(self) -> None:
        for path in self.sweep.glob("trials/*/trial.json"):
            if json.loads(path.read_text())["status"] == "finished":
                number = int(path.parent.name)
                count = len((path.parent / "starts.jsonl").read_text().splitlines())
                assert self.starts.setdefault(number, count) == count, f"trial {number} ran again"

    def hit(self, how: str, starting: bool = False) -> None:
        """Do it; afterwards the driver is gone, unless a worker was killed."""
        assert self.process is not None
        began = time.monotonic()
        match how:
            case "worker":
                workers = self.below(_is_worker)
                if workers:
                    self.chance.choice(workers).kill()
                    self.done[how] += 1
                return
            case "raylet" | "gcs_server":
                found = self.below(lambda child: child.name() == how)
                if not found:
                    return
                found[0].kill()
            case "twice":
                self.process.send_signal(signal.SIGINT)
                time.sleep(0.6)
                began = time.monotonic()
                self.process.send_signal(signal.SIGINT)
            case "group":
                os.killpg(self.process.pid, signal.SIGINT)
            case _:
                self.process.send_signal(signal.Signals[how])
        try:
            code = self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            pytest.fail(f"{how} does not stop the sweep: {(self.folder / 'said.txt').read_text()[-2000:]}")
        if code == 0:
            return  # it was complete before it noticed
        self.done[how] += 1
        self.stops.setdefault(how, []).append(time.monotonic() - began)
        # Before the sweep has its own handlers, while Python imports, a signal ends the process as it ends any other.
        plain = {"SIGTERM": -15, "SIGHUP": -1}.get(how, -2)
        expected = {"SIGKILL": [-9], "raylet": [1], "gcs_server": [1]}.get(how, [130, plain, 1] if starting else [130])
        assert code in expected, (how, code, (self.folder / "said.txt").read_text()[-2000:])
        if code == 130 and not starting:
            assert self.stops[how][-1] < (2 if how == "twice" else 15)
        if code == 130 or (code == 1 and not starting):
            said = (self.folder / "said.txt").read_text()
            assert said.endswith(f"to go on: elbosweep resume chain --runs-dir {self.folder}\n"), said[-2000:]
            assert read_json(self.sweep / "sweep.json")["state"] == "interrupted"
        self.remember()

    def complete(self, kinds: list[str], spread: float) -> None:
        for how in kinds:
            starting = False
            if not self.running():
                self.run()
                if self.chance.random() < 0.2 and how not in ("worker", "raylet", "gcs_server"):
                    starting = True
                    time.sleep(self.chance.uniform(0.5, 6))
                elif not self.wait_for_work():
                    break
            time.sleep(self.chance.uniform(0, spread))
            if self.running():
                self.hit(how, starting)
        while self.running() or self.run():
            assert self.process is not None
            code = self.process.wait(timeout=240)
            assert code == 0, (code, (self.folder / "said.txt").read_text()[-2000:])
            break
        self.remember()

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


def test_a_sweep_killed_at_five_moments_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    reference = uninterrupted(TREE, tmp_path / "reference")
    chain = Chain(tmp_path, TREE, random.Random(0))
    chain.complete(["SIGINT", "worker", "SIGKILL", "raylet", "twice"], spread=0.6)
    print(chain.figures())
    assert chain.done.total() >= 4
    assert_as_if_nothing_had_happened(chain, reference)


KINDS = ["SIGINT", "SIGTERM", "SIGKILL", "SIGHUP", "group", "twice", "worker", "raylet", "gcs_server"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_killed_anywhere(tmp_path: Path) -> None:
    """At least 24 moments, every kind, with W&B."""
    training = {"epochs": 8, "gradient_clip": 0.5}
    tree = {**TREE, "base": {**TREE["base"], "training": training}, "tracking": {"wandb": "offline"}}
    reference = uninterrupted(tree, tmp_path / "reference")
    chance = random.Random(7)
    kinds = [*chance.sample(KINDS, len(KINDS)), *chance.sample(KINDS, len(KINDS)), *chance.sample(KINDS, len(KINDS))]
    chain = Chain(tmp_path, tree, chance)
    chain.complete(kinds, spread=1.2)
    print(chain.figures())
    assert chain.done.total() >= 24
    assert set(chain.done) == set(KINDS)
    assert_as_if_nothing_had_happened(chain, reference)
    said = (tmp_path / "said.txt").read_text()
    assert f"trials by record: Tune {TRIALS}, Optuna {TRIALS}, tables {TRIALS}, W&B {TRIALS}" in said
    assert "disagreement" not in said
    for number, seen in offline.count(chain.sweep).items():
        assert (number, seen.state, seen.rows, seen.epochs) == (number, "finished", 8, 8)
