"""An existing Ray cluster: joined and left as it was; nodes that die in mid-sweep; data and code that reach them.

The nodes are processes of this machine (`ray_cluster.py`): each has its own raylet, workers and object store, and dies
as a lost machine does.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_trial
import numpy as np
import pandas as pd
import pytest
import ray
import ray.cloudpickle
import ray_cluster
from rich.console import Console

from pipeline.config import ConfigError, DataConfig
from pipeline.data.images import load
from sweeps.machine import resources
from sweeps.running import ray_session, shared_data, worker
from sweeps.running.sweep import Setting, Sweep
from sweeps.specification.reading import parse
from sweeps.specification.spec import Resources, SweepSpec

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore:.*:FutureWarning:ray"),
]

EPOCHS = 6
COLUMNS = ["trial", "phase", "status", "first_replicate", "validation.elbo", "test.elbo"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[ray_cluster.Nodes]:
    """A head that runs no trials, and two nodes of one CPU."""
    ray.cloudpickle.register_pickle_by_value(fake_trial)
    with ray_cluster.running(nodes=2) as nodes:
        yield nodes
    ray.cloudpickle.unregister_pickle_by_value(fake_trial)


def specification(name: str, **parts: Any) -> SweepSpec:
    tree = {
        "base": {"training": {"epochs": EPOCHS}, "replicates": 2},
        "factors": {"model.latent_dim": [2, 4, 8]},
        "tracking": {"wandb": "disabled"},
        "retries": 3,
    }
    return parse({"name": name, **tree, **parts})


def setting(runs_dir: Path, **parts: Any) -> Setting:
    return Setting(runs_dir, **{"function": fake_trial.run_trial, "console": Console(quiet=True), **parts})


def trials(runs_dir: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(runs_dir / name / "trials.parquet")


def starts(folder: Path) -> list[int]:
    return [len(path.read_text().splitlines()) for path in sorted(folder.glob("trials/*/starts.jsonl"))]


class Loss(threading.Thread):
    """Takes a node away, without a warning, when both are in the middle of a trial; then the held trials go on."""

    def __init__(self, cluster: ray_cluster.Nodes, trials: Path, held: Path) -> None:
        super().__init__()
        self.cluster, self.trials, self.held = cluster, trials, held

    def run(self) -> None:
        try:
            workers = self._workers_that_wait()
            self.cluster.lose()
            _wait(lambda: any(_gone(pid) for pid in workers), "the lost node's worker is gone")
        finally:
            self.held.unlink()

    def _workers_that_wait(self) -> list[int]:
        reached = {"epoch": fake_trial.HELD_EPOCH}
        _wait(lambda: [json.loads(path.read_text()) for path in self._epochs()] == [reached] * 2, "two trials wait")
        return [json.loads((path.parent / "starts.jsonl").read_text())["pid"] for path in self._epochs()]

    def _epochs(self) -> list[Path]:
        return list(self.trials.glob("*/epoch.json"))


def _wait(condition: Callable[[], bool], name: str) -> None:
    until = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < until, f"in vain: {name}"
        time.sleep(0.02)


def _gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("stored", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["disk", "storage"])
def test_a_lost_node_loses_no_trial_and_no_epoch(cluster: ray_cluster.Nodes, tmp_path: Path, stored: bool) -> None:
    cluster.fill(2)
    url = str(tmp_path / "storage") if stored else None
    spec = specification("lost")
    held = tmp_path / "held"
    held.touch()
    loss = Loss(cluster, (tmp_path / "storage/lost/trials") if stored else (tmp_path / "lost/trials"), held)
    loss.start()
    try:
        function = fake_trial.FakeTrial(held_while=str(held))
        assert Sweep(spec, setting(tmp_path, function=function, address=cluster.address, storage=url)).run() == 0
    finally:
        loss.join()
    table = trials(tmp_path, "lost")
    assert table["trial"].tolist() == [0, 1, 2]
    assert (table["status"] == "finished").all()
    expected = [fake_trial.bound(spec.trial({"model.latent_dim": dim})) for dim in table["model.latent_dim"]]
    assert table["validation.elbo"].tolist() == expected
    assert sorted(starts(tmp_path / "lost")) == [1, 1, 2], "the lost node's trial alone was started again"
    again = next(
        path.parent for path in tmp_path.glob("lost/trials/*/starts.jsonl") if path.read_text().count("\n") == 2
    )
    history = pd.read_json(again / "history.jsonl", lines=True)
    assert sorted(history["epoch"]) == sorted([*range(1, EPOCHS + 1)] * 2)
    first = json.loads((again / "starts.jsonl").read_text().splitlines()[1])["first"]
    assert first == fake_trial.HELD_EPOCH + 1, "it went on from its last epoch"
    assert not ray.is_initialized()


def test_code_and_data_reach_a_node_without_files(
    cluster: ray_cluster.Nodes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workers read our packages from Ray, not from where the driver has them, and images from the object store."""
    images = np.random.default_rng(0).integers(0, 256, (60, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "mine.npz", images=images)
    config = DataConfig(name=f"npz:{tmp_path / 'mine.npz'}")
    data = load(config)
    (tmp_path / "mine.npz").unlink()

    def look(shared: shared_data.Shared) -> dict[str, Any]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = shared_data.images(config, shared, None)
        return {
            "code": [
                path.read_text()
                for folder in sys.path
                if "py_modules" in folder
                for path in Path(folder).glob("sweeps/running/worker.py")
            ],
            "folders": [folder for folder in sys.path if "py_modules" in folder],
            "sum": int(found.train.sum()),
            "checksum": found.checksum,
            "same": shared_data.images(config, shared, None) is found,
            "warnings": [str(warning.message) for warning in caught],
            "settings": {name: os.environ.get(name) for name in ray_session.FOR_WORKERS},
        }

    with ray_session.joined(cluster.address):
        answer = ray.get(ray.remote(num_cpus=1)(look).remote(shared_data.share({config: data})))
    assert len(answer["folders"]) == 2, "pipeline and sweeps came with the connection"
    assert set(answer["code"]) == {Path(worker.__file__).read_text()}
    assert answer["sum"] == int(data.train.sum())
    assert answer["checksum"] == data.checksum
    assert answer["same"]
    assert answer["warnings"] == []
    assert answer["settings"] == {name: os.environ.get(name) for name in ray_session.FOR_WORKERS}
    assert answer["settings"]["RAY_CHDIR_TO_TRIAL_DIR"] == "0"


# --- addresses ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "--address: 127.0.0.1:1: cannot be reached: Connection refused$"),
        ("nowhere", "--address: must be auto or HOST:PORT, got 'nowhere'"),
        ("ray://head:10001", "--address: ray://head:10001: .* run elbosweep on a node of the cluster"),
    ],
)
def test_an_address_without_a_ray_is_one_line(tmp_path: Path, address: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Sweep(specification("none"), setting(tmp_path, address=address)).run()
    assert not (tmp_path / "none").exists()
    assert not ray.is_initialized()


def test_auto_where_no_ray_was_started_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "none"))
    with pytest.raises(ConfigError, match="--address: auto: no Ray was started on this machine"):
        Sweep(specification("none"), setting(tmp_path, address="auto")).run()


def test_auto_finds_what_is_gone_by_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ConfigError, match=r"--address: 127\.0\.0\.1:1: cannot be reached: Connection refused"):
        Sweep(specification("none"), setting(tmp_path, address="auto")).run()


@pytest.mark.timeout(60)
def test_something_else_at_the_address_is_one_line(tmp_path: Path) -> None:
    """A server that accepts connections and is no Ray."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ConfigError, match=f"--address: {address}: is not a Ray cluster"):
            Sweep(specification("none"), setting(tmp_path, address=address)).run()


def test_a_disk_that_a_node_does_not_share_is_one_line(
    cluster: ray_cluster.Nodes, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr(ray_session, "node_sees", lambda path: False)
    with pytest.raises(ConfigError, match=r"on node .*: the runs folder is not on a disk that this node shares"):
        Sweep(specification("none"), setting(tmp_path, address=cluster.address)).run()
    assert list(tmp_path.iterdir()) == []


# --- resources ------------------------------------------------------------------------------------------------------


def test_auto_counts_what_the_cluster_has() -> None:
    spec = specification("t")
    assert resources.resolve_resources(spec, cluster={"CPU": 96.0}) == Resources(workers=96, cpus=1, gpus=0)
    assert resources.resolve_resources(spec, cluster={"CPU": 64.0, "GPU": 8.0}) == Resources(
        workers=32, cpus=1, gpus=0.25
    )


def test_a_cluster_may_be_asked_for_more_than_it_has_yet() -> None:
    spec = specification("t", resources={"workers": 9, "gpus": 1})
    assert resources.resolve_resources(spec, cluster={"CPU": 4.0}) == Resources(workers=9, cpus=1, gpus=1)


@pytest.mark.parametrize(
    ("given", "gpus", "message"),
    [
        ({"workers": 1, "gpus": 0.25}, 0, r"^resources\.gpus: this machine has 0 GPUs, got 0\.25$"),
        ({"workers": 3, "gpus": 1}, 2, "this machine has 2 GPUs, 3 workers with 1 GPUs each need 3: ask for fewer"),
        ({"workers": 3, "gpus": 0.6}, 2, "this machine has 2 GPUs, 3 workers with 0.6 GPUs each need 3"),
    ],
)
def test_gpus_that_this_machine_has_not_are_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], gpus: int, message: str
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: gpus)
    with pytest.raises(ConfigError, match=message):
        Sweep(specification("none", resources=given), setting(tmp_path)).run()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("workers", "gpus", "needed"), [(4, 0.25, 1), (5, 0.25, 2), (3, 1 / 3, 1), (3, 0.6, 3), (2, 4, 8), (7, 0, 0)]
)
def test_a_fraction_is_a_part_of_one_gpu(workers: int, gpus: float, needed: int) -> None:
    assert resources.gpus_needed(Resources(workers=workers, gpus=gpus)) == needed
