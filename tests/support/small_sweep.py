"""A small sweep over fake trials, for tests of what runs sweeps: ten trials that take no time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fake_trial
import pandas as pd
import pytest
import ray.cloudpickle
from fake_trial import FakeTrial
from rich.console import Console

from sweeps.machine.exit_codes import ExitCode
from sweeps.running.ray_session import local_ray
from sweeps.running.sweep import Setting, Sweep
from sweeps.specification.options import Resources
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec

# Ray leaves sockets and files to the garbage collector when it shuts down, and Tune warns about its own future.
RAY_WARNINGS = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
]
TREE: dict[str, Any] = {
    "base": {"training": {"epochs": 3}, "replicates": 2},
    "factors": {"model.latent_dim": [2, 8, 32]},
    "space": {
        "model.latent_dim": {"int": [2, 32], "log": True},
        "training.learning_rate": {"float": [1e-4, 1e-2], "log": True},
    },
    "search": {"trials": 7, "window": 4},
    "tracking": {"wandb": "disabled"},
}
COLUMNS = ["trial", "phase", "status", "config_hash", "first_replicate", "validation.elbo", "test.elbo"]


@contextmanager
def one_ray(cpus: int) -> Iterator[None]:
    """One Ray for a whole module of tests: starting it costs seconds. Its workers get the fake trial by value."""
    ray.cloudpickle.register_pickle_by_value(fake_trial)
    try:
        with local_ray(Resources(workers=cpus)):
            yield
    finally:
        ray.cloudpickle.unregister_pickle_by_value(fake_trial)


def specification(name: str, **parts: Any) -> SweepSpec:
    return parse({"name": name, **TREE, **parts})


def setting(runs_dir: Path, **parts: Any) -> Setting:
    """Fake trials, and nothing on the screen."""
    return Setting(runs_dir, **{"function": fake_trial.run_trial, "console": Console(quiet=True), **parts})


def run(spec: SweepSpec, runs_dir: Path, workers: int = 4, trial: FakeTrial = fake_trial.run_trial) -> ExitCode:
    return Sweep(spec, setting(runs_dir, workers=workers, function=trial)).run()


def trials(runs_dir: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(runs_dir / name / "trials.parquet")
