"""Whole sweeps whose trials live in a storage: the same table, elsewhere, with nothing of an older sweep."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_trial
import pandas as pd
import pytest
import ray.cloudpickle
from rich.console import Console
from small_sweep import COLUMNS, RAY_WARNINGS

from pipeline.config import ConfigError
from sweeps.running.ray_session import local_ray
from sweeps.running.sweep import Setting, Sweep
from sweeps.specification.reading import parse
from sweeps.specification.spec import Resources, SweepSpec
from sweeps.storage.storage import Storage
from sweeps.storage.sweep_copy import SweepCopy, make_room

pytestmark = RAY_WARNINGS
TREE: dict[str, Any] = {
    "base": {"training": {"epochs": 2}, "replicates": 2},
    "factors": {"model.latent_dim": [2, 8]},
    "space": {"training.learning_rate": {"float": [1e-4, 1e-2], "log": True}},
    "search": {"trials": 2, "window": 2},
    "tracking": {"wandb": "disabled"},
}


@pytest.fixture(scope="module", autouse=True)
def one_ray(server: str) -> Iterator[None]:
    """Started after the credentials are in the environment, which the workers inherit."""
    ray.cloudpickle.register_pickle_by_value(fake_trial)
    with local_ray(Resources(workers=1)):
        yield
    ray.cloudpickle.unregister_pickle_by_value(fake_trial)


def specification(name: str, **parts: Any) -> SweepSpec:
    return parse({"name": name, **TREE, **parts})


def setting(runs_dir: Path, **parts: Any) -> Setting:
    quiet = Console(quiet=True)
    return Setting(runs_dir, workers=1, function=fake_trial.run_trial, console=quiet, **parts)


def trials(runs_dir: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(runs_dir / name / "trials.parquet")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    folder = tmp_path_factory.mktemp("runs")
    assert Sweep(specification("plain"), setting(folder)).run() == 0
    return trials(folder, "plain")


def test_the_table_is_the_same_with_a_storage_and_the_sweep_goes_on_elsewhere(
    url: str, tmp_path: Path, reference: pd.DataFrame
) -> None:
    """The first machine is gone: what its storage holds is three finished trials and one that was running."""
    spec = specification("kept")
    assert Sweep(spec, setting(tmp_path / "one", storage=url)).run() == 0
    pd.testing.assert_frame_equal(trials(tmp_path / "one", "kept")[COLUMNS], reference[COLUMNS], check_exact=True)
    with pytest.raises(ConfigError, match="exists: say `elbosweep resume kept`, or --force"):
        Sweep(spec, setting(tmp_path / "two", storage=url)).run()
    assert not (tmp_path / "two" / "kept").exists()
    folder = Storage.parse(url) / "kept" / "trials" / "0003"
    folder.delete("result.json")
    folder.write("epoch.json", b'{"epoch": 1}')
    folder.write("trial.json", (folder.read("trial.json") or b"").replace(b'"finished"', b'"running"'))
    assert Sweep.resume("kept", setting(tmp_path / "two", storage=url)) == 0
    pd.testing.assert_frame_equal(trials(tmp_path / "two", "kept")[COLUMNS], reference[COLUMNS], check_exact=True)
    assert starts(tmp_path / "two" / "kept") == [[1], [1], [1], [1, 2]], "only the running one, from its checkpoint"
    written = [path.read_text(errors="replace") for path in (tmp_path / "two").rglob("*") if path.is_file()]
    assert os.environ["AWS_SECRET_ACCESS_KEY"] not in "".join(written)
    # Back on the first machine, the record of the second, which is the later one, is taken over.
    SweepCopy(tmp_path / "one" / "kept", Storage.parse(url) / "kept").catch_up()
    assert starts(tmp_path / "one" / "kept") == [[1], [1], [1], [1, 2]]
    pairs = [(tmp_path / machine / "kept" / "sweep.json").read_bytes() for machine in ("one", "two")]
    assert pairs[0] == pairs[1]


def starts(folder: Path) -> list[list[int]]:
    """By trial, the first epoch of each of its starts."""
    return [
        [json.loads(line)["first"] for line in path.read_text().splitlines()]
        for path in sorted(folder.glob("trials/*/starts.jsonl"))
    ]


@pytest.mark.parametrize("force", [False, True])
def test_a_new_sweep_finds_nothing_of_an_older_one(url: str, force: bool) -> None:
    storage = Storage.parse(url) / "again"
    storage.write("spec.yaml", b"name: again")
    storage.write("trials/0003/training.pt", b"weights")
    if force:
        make_room(storage, "again", force=True)
        assert storage.files() == {}
    else:
        with pytest.raises(ConfigError, match="exists: say `elbosweep resume again`, or --force to replace it"):
            make_room(storage, "again", force=False)
        assert len(storage.files()) == 2


def test_no_such_sweep_in_the_storage(url: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such sweep, got 'nothing'"):
        Sweep.resume("nothing", setting(tmp_path, storage=url))
    assert not (tmp_path / "nothing").exists()


@pytest.mark.usefixtures("impatient")
def test_a_copy_that_cannot_be_written_is_said_once_and_the_sweep_goes_on(tmp_path: Path, monkeypatch: Any) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "spec.yaml").write_text("name: x")
    copy, said = SweepCopy(tmp_path / "here", Storage.parse(str(tmp_path / "there"))), list[str]()

    def refused(self: Storage, name: str, content: bytes) -> None:
        raise OSError("connection reset")

    monkeypatch.setattr(Storage, "_write", refused)
    copy.push(said.append)
    copy.push(said.append)
    assert len(said) == 1
    assert "spec.yaml could not be written: connection reset; the copy is behind" in said[0]
