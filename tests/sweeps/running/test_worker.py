"""What a worker is given and what it makes of a trial that hangs, runs out of memory or finds the disk full."""

from __future__ import annotations

import copy
import errno
import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray.cloudpickle
from fake_trial import DISK_FULL_WHILE, FakeTrial
from rich.console import Console
from small_sweep import RAY_WARNINGS, one_ray, setting

from pipeline.config import TrialConfig
from pipeline.config import parse as parse_trial
from pipeline.data.images import ImageData
from pipeline.files import read_json, write_json
from sweeps.cli import status
from sweeps.record.ledger import Ledger
from sweeps.running import worker
from sweeps.running.sweep import Setting, Sweep
from sweeps.specification.reading import parse

pytestmark = RAY_WARNINGS
REAL: dict[str, Any] = {
    "base": {
        "model": {"latent_dim": 2, "network": {"name": "mlp", "hidden": [8]}},
        "training": {"epochs": 1},
        "evaluation": {"gap_images": 0, "prior_draws": 0, "num_importance_samples": [1], "pictures": False},
        "variance": {"images": 0, "gradient_repeats": 0},
        "replicates": 1,
    },
    "factors": {"model.latent_dim": [2]},
    "tracking": {"wandb": "disabled"},
}


def observed_trial(config: TrialConfig, folder: Path, **arguments: Any) -> object:
    """The real trial, with what its thread sees while it trains."""
    import torch

    from pipeline.trial import run_trial

    report: Callable[[int, dict[str, float]], None] = arguments.pop("report")

    def observe(epoch: int, metrics: dict[str, float]) -> None:
        environment = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "MALLOC_ARENA_MAX")}
        write_json(folder / "seen.json", {"torch": torch.get_num_threads(), **environment})
        report(epoch, metrics)

    data: ImageData = arguments.pop("data")
    return run_trial(config, folder, data=data, report=observe, **arguments)


@pytest.fixture(scope="module", autouse=True)
def ray_of_this_module() -> Iterator[None]:
    """Its workers get the functions of this file by value, and no number of threads from outside."""
    module = __import__(__name__)
    ray.cloudpickle.register_pickle_by_value(module)
    with pytest.MonkeyPatch.context() as environment:
        environment.delenv("OMP_NUM_THREADS", raising=False)
        with one_ray(cpus=2):
            yield
    ray.cloudpickle.unregister_pickle_by_value(module)


# --- what it is given -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cpus", [1, 2])
def test_a_worker_has_the_threads_of_its_resources(tmp_path: Path, cpus: int) -> None:
    """In torch and in OpenMP; and it keeps the memory that a step gives back."""
    spec = parse({"name": f"threads-{cpus}", **REAL, "resources": {"workers": 1, "cpus": cpus, "gpus": 0}})
    assert Sweep(spec, setting(tmp_path, function=observed_trial)).run() == 0
    seen = json.loads((tmp_path / spec.name / "trials" / "0000" / "seen.json").read_text())
    assert seen == {"torch": cpus, "OMP_NUM_THREADS": str(cpus), "MALLOC_ARENA_MAX": "1"}


def test_the_configuration_that_the_driver_parsed_is_not_parsed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = parse_trial({"model": {"latent_dim": 3}})
    given: list[TrialConfig] = []

    def trial(config: TrialConfig, folder: Path, **arguments: Any) -> None:
        given.append(config)

    def parsed(tree: Any) -> TrialConfig:
        raise AssertionError("parsed again")

    write_json(tmp_path / "0007" / "trial.json", {})
    monkeypatch.setattr(TrialConfig, "model_validate", parsed)
    worker.run(worker.Job(tmp_path, 1, None, trial), worker.Assignment(7, config), data={})
    assert given == [config]


def test_tune_neither_copies_nor_takes_apart_what_travels() -> None:
    assignment = worker.Assignment(7, parse_trial({}))
    assert copy.deepcopy(assignment.for_tune())["assignment"] is assignment
    assert str(assignment) == "trial 7"
    assert pickle.loads(pickle.dumps(assignment)) == assignment


# --- what goes wrong in it ------------------------------------------------------------------------------------------


def tree(name: str, **parts: Any) -> dict[str, Any]:
    base = {"training": {"epochs": 3}, "replicates": 2}
    return {"name": name, "base": base, "retries": 1, "tracking": {"wandb": "disabled"}, **parts}


def aloud(runs_dir: Path, misbehaviours: dict[str, Any] | None = None) -> Setting:
    return setting(runs_dir, workers=2, function=FakeTrial(misbehaviours or {}), console=Console(stderr=True))


def test_a_trial_that_hangs_or_runs_out_of_memory_is_tried_again_then_failed_with_its_log(tmp_path: Path) -> None:
    spec = parse(tree("bad", factors={"model.latent_dim": [2, 4, 8]}, limits={"trial_minutes": 0.02}))
    bad = {"hang": {"model.latent_dim": 4}, "out_of_memory": {"model.latent_dim": 8}}
    assert Sweep(spec, aloud(tmp_path, bad)).run() == 1
    records = Ledger(tmp_path / "bad", "validation.elbo").records.values()
    trials = {record.plan.overrides["model.latent_dim"]: record for record in records}
    assert [trials[key].status for key in (2, 4, 8)] == ["finished", "failed", "failed"]
    assert trials[4].reason == "exceeded its time limit of 0.02 min"
    assert trials[8].reason == "out of memory: MemoryError: cannot allocate 3 TB"
    for key, attempts in ((2, 1), (4, 2), (8, 2)):
        starts = tmp_path / "bad" / "trials" / f"{trials[key].plan.number:04d}" / "starts.jsonl"
        assert len(starts.read_text().splitlines()) == attempts
    shown = "\n".join(status.trial_lines("bad", trials[4].plan.number, tmp_path))
    assert "Timeout (0:00:01.200000)!" in shown
    assert "fake_trial.py" in shown


def test_a_full_disk_stops_the_sweep_and_not_the_trial(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec = parse(tree("full", factors={"model.latent_dim": [2, 4]}))
    bad = {"disk_full": {"model.latent_dim": 4}}
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / DISK_FULL_WHILE).touch()
    (tmp_path / "full" / "spec.yaml").write_text(spec.written())
    assert Sweep.resume("full", aloud(tmp_path, bad)) == 1
    said = " ".join(capsys.readouterr().err.split())
    assert "the disk is full: " in said
    assert "free some space, then: elbosweep resume full" in said
    assert read_json(tmp_path / "full" / "sweep.json")["state"] == "interrupted"
    assert Ledger(tmp_path / "full", "validation.elbo").records[1].status == "running"
    (tmp_path / "full" / DISK_FULL_WHILE).unlink()
    assert Sweep.resume("full", aloud(tmp_path, bad)) == 0
    assert (pd.read_parquet(tmp_path / "full" / "trials.parquet")["status"] == "finished").all()


def test_a_disk_that_is_full_for_the_driver(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, replace = parse(tree("quota", factors={"model.latent_dim": [2, 4, 8]})), os.replace

    def refuse(source: Any, target: Any) -> None:
        if str(target).endswith("0001/trial.json"):
            raise OSError(errno.EDQUOT, "Disk quota exceeded")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    assert Sweep(spec, aloud(tmp_path)).run() == 1
    assert "the disk is full: " in capsys.readouterr().err
    monkeypatch.undo()
    assert Sweep.resume("quota", aloud(tmp_path)) == 0
    assert pd.read_parquet(tmp_path / "quota" / "trials.parquet")["status"].tolist() == ["finished"] * 3
