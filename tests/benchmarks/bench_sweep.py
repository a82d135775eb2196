"""What the orchestrator costs: efficiency with trials of 1, 5 and 20 s, and growth with the number of trials.

The sweep is the real one (Ray, Optuna, W&B offline, ledger, tables); the trials sleep, so that the machine's load does
not count. Efficiency is (sum of the trials' own seconds) / (workers x seconds from the first trial's start to the last
one's end); start-up is from the process's start to the first trial, shut-down from the last trial to the process's end.

    python -m tests.benchmarks.bench_sweep [--seconds 1 5 20] [--trials 50 200 1000] [--workers 2]
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fake_trial

from pipeline.config import TrialConfig
from pipeline.files import write_json
from tests.benchmarks.timing import table

EPOCHS, REPLICATES = 10, 2
TRIALS_OF = {1.0: 24, 5.0: 8, 20.0: 4}
EFFICIENCY = {1.0: 0.8, 5.0: 0.95, 20.0: 0.98}
EDGES_LIMIT = 8.0
HEADER = ("trial s", "trials", "efficiency", "target", "added s", "tracking s", "ask ms", "start s", "stop s")
HEADER += ("wall s/trial", "driver MB")


@dataclass(frozen=True)
class TimedTrial:
    """The fake trial, with its own seconds in result.json and its place in time beside it."""

    trial: fake_trial.FakeTrial

    def __call__(self, config: TrialConfig, folder: Path, **arguments: Any) -> None:
        began = time.time()
        self.trial(config, folder, **arguments)
        result, ended = json.loads((folder / "result.json").read_text()), time.time()
        write_json(folder / "result.json", result | {"seconds": result["seconds"] | {"total": ended - began}})
        write_json(folder / "clock.json", {"began": began, "ended": ended})


def one_sweep(runs_dir: Path, seconds: float, trials: int, workers: int, process_began: float) -> None:
    """Run a sweep in this process and print what it took as JSON."""
    import optuna
    import pandas as pd
    import ray.cloudpickle
    from rich.console import Console

    from sweeps.running.sweep import Setting, Sweep
    from sweeps.specification.reading import parse

    ray.cloudpickle.register_pickle_by_value(fake_trial)
    asking, ask = [0.0], optuna.Study.ask

    def timed_ask(study: optuna.Study, *arguments: Any, **options: Any) -> optuna.trial.Trial:
        started = time.perf_counter()
        try:
            return ask(study, *arguments, **options)
        finally:
            asking[0] += time.perf_counter() - started

    optuna.Study.ask = timed_ask  # type: ignore[method-assign]
    spec = parse(
        {
            "name": "bench",
            "base": {"training": {"epochs": EPOCHS}, "replicates": REPLICATES},
            "space": {
                "model.latent_dim": {"int": [2, 32], "log": True},
                "training.learning_rate": {"float": [1e-4, 1e-2], "log": True},
            },
            "search": {"trials": trials},
            "resources": {"workers": workers, "cpus": 1, "gpus": 0},
            "tracking": {"wandb": "offline"},
        }
    )
    trial = TimedTrial(fake_trial.FakeTrial(seconds=seconds / EPOCHS))
    code = Sweep(spec, Setting(runs_dir, function=trial, console=Console(quiet=True))).run()
    ended = time.time()
    assert code == 0, f"the sweep ended with exit code {code}"
    clocks = [json.loads(path.read_text()) for path in (runs_dir / "bench" / "trials").glob("*/clock.json")]
    first, last = min(clock["began"] for clock in clocks), max(clock["ended"] for clock in clocks)
    own = sum(clock["ended"] - clock["began"] for clock in clocks)
    rows = pd.read_parquet(runs_dir / "bench" / "trials.parquet")
    print(
        json.dumps(
            {
                "efficiency": own / (workers * (last - first)),
                "added": (workers * (last - first) - own) / trials,
                "tracking": float(rows["seconds.tracking"].mean()),
                "asking": asking[0] / trials,
                "start": first - process_began,
                "stop": ended - last,
                "wall": last - first,
                "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def measure(seconds: float, trials: int, workers: int) -> dict[str, float]:
    """A sweep in a process of its own: its memory and its start-up are nobody else's."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.time()
        command = [
            sys.executable,
            "-m",
            __spec__.name,
            "--one",
            folder,
            str(seconds),
            str(trials),
            str(workers),
            str(began),
        ]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode:
            sys.exit(f"{' '.join(command)}\n{found.stderr}")
        values: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
        return values


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, nargs="*", default=list(TRIALS_OF))
    parser.add_argument("--trials", type=int, nargs="*", default=[50, 200], help="sizes of sweeps of empty trials")
    parser.add_argument("--workers", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--one", nargs=5, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        folder, seconds, trials, workers, began = arguments.one
        one_sweep(Path(folder), float(seconds), int(trials), int(workers), float(began))
        return
    rows = []
    sweeps = [(seconds, TRIALS_OF.get(seconds, 8)) for seconds in arguments.seconds]
    for seconds, trials in [*sweeps, *((0.0, trials) for trials in arguments.trials)]:
        found = measure(seconds, trials, arguments.workers)
        efficiency = [found["efficiency"], EFFICIENCY.get(seconds, "-")] if seconds else ["-", "-"]
        edges = [found["start"], found["stop"]]
        added = [found["added"], found["tracking"], 1000 * found["asking"]]
        rows.append(
            [f"{seconds:g}", trials, *efficiency, *added, *edges, found["wall"] / trials, round(found["memory"])]
        )
    print(f"{arguments.workers} workers, {EPOCHS} epochs a trial, W&B offline, load {os.getloadavg()[0]:.1f}")
    print(f"start-up + shut-down: at most {EDGES_LIMIT:g} s; added: worker seconds per trial beyond the trial's own")
    table(HEADER, rows)


if __name__ == "__main__":
    main()
