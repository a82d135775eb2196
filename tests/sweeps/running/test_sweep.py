"""A sweep is started, resumed, replaced or refused; its folder holds the same whoever started it."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_trial
import pandas as pd
import pytest
import ray
import yaml
from rich.console import Console
from small_sweep import COLUMNS, RAY_WARNINGS, TREE, one_ray, run, setting, specification, trials

from pipeline.config import ConfigError
from pipeline.files import read_json
from sweeps.cli.main import main
from sweeps.machine.exit_codes import ExitCode
from sweeps.record.folders import locked
from sweeps.running import launch, session
from sweeps.running.sweep import Setting, Sweep
from sweeps.specification.reading import load

ORIGIN = ("command", "git", "versions", "hardware", "resumed")


pytestmark = RAY_WARNINGS


@pytest.fixture(scope="module", autouse=True)
def ray_of_this_module() -> Iterator[None]:
    with one_ray(cpus=4):
        yield


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the uninterrupted sweep `alone`."""
    folder = tmp_path_factory.mktemp("runs")
    assert run(specification("alone"), folder) == 0
    return folder


def test_provenance(runs_dir: Path) -> None:
    info = read_json(runs_dir / "alone" / "sweep.json")
    assert (info["state"], info["resumed"]) == ("finished", 0)
    assert info["counts"] == {"finished": 10, "failed": 0, "stopped": 0, "running": 0}
    assert info["spec"]["factors"] == {"model.latent_dim": [2, 8, 32]}
    assert info["data"]["name"] == "digits"
    assert len(info["data"]["checksum"]) == 64
    assert info["versions"]["ray"] == ray.__version__


def test_references_are_bounds(runs_dir: Path) -> None:
    references = pd.read_parquet(runs_dir / "alone" / "references.parquet")
    assert set(references["reference"]) == {"histogram_floor", "ppca"}
    assert (references["nats"] < 0).all()
    assert (references["bits_per_dim"] > 0).all()


def test_seven_trials_of_a_search_rank_no_parameter(runs_dir: Path) -> None:
    path = runs_dir / "alone" / "importance.parquet"
    assert not path.exists() or pd.read_parquet(path).empty


def test_an_existing_name_is_refused_and_left_as_it_is(runs_dir: Path) -> None:
    before = (runs_dir / "alone" / "sweep.json").read_bytes()
    with pytest.raises(
        ConfigError, match=r"exists: say `elbosweep resume alone --runs-dir \S+`, or --force to replace it"
    ):
        run(specification("alone"), runs_dir)
    assert (runs_dir / "alone" / "sweep.json").read_bytes() == before


def test_force_replaces_a_sweep(runs_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "twice")
    spec = specification("twice", factors={"model.latent_dim": [4, 8]}, space={}, search={})
    assert Sweep(spec, setting(tmp_path, workers=1)).run(force=True) == 0
    assert sorted(trials(tmp_path, "twice")["model.latent_dim"]) == [4, 8]
    assert [path.name for path in tmp_path.iterdir()] == ["twice"]


def test_force_leaves_the_old_sweep_where_data_are_missing(runs_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "kept")
    spec = specification("kept", base={"data": {"name": "npz:nowhere.npz"}})
    with pytest.raises(ConfigError, match=r"nowhere\.npz"):
        Sweep(spec, setting(tmp_path)).run(force=True)
    assert (tmp_path / "kept" / "trials.parquet").exists()


def test_force_does_not_destroy_what_is_not_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    with pytest.raises(ConfigError, match="is not a sweep"):
        Sweep(specification("mine"), setting(tmp_path)).run(force=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_a_running_sweep_is_left_alone(runs_dir: Path) -> None:
    with locked(runs_dir / "alone"):
        with pytest.raises(ConfigError, match="another process runs this sweep"):
            Sweep.resume("alone", setting(runs_dir))
        with pytest.raises(ConfigError, match="another process runs this sweep"):
            Sweep(specification("alone"), setting(runs_dir)).run(force=True)
    assert (runs_dir / "alone" / "trials.parquet").exists()


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="must be a folder that can be written"):
        run(specification("nowhere"), tmp_path / "file")


def test_an_edited_specification_goes_on_only_where_the_trials_stay_the_same(tmp_path: Path, runs_dir: Path) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "alone")
    path = tmp_path / "alone" / "spec.yaml"
    tree = yaml.safe_load(path.read_text())
    before, told = trials(tmp_path, "alone"), read_json(tmp_path / "alone" / "sweep.json")
    for section, change in {"factors": {"model.latent_dim": [2, 8, 32, 64]}, "search": {"seed": 7}}.items():
        path.write_text(yaml.safe_dump({**tree, section: {**tree[section], **change}}))
        with pytest.raises(ConfigError, match=rf"{section}\.\S+: must stay what the sweep was started with"):
            Sweep.resume("alone", setting(tmp_path, workers=2))
        pd.testing.assert_frame_equal(trials(tmp_path, "alone"), before)
    path.write_text(yaml.safe_dump({**tree, "search": {**tree["search"], "trials": 9}, "retries": 3}))
    assert Sweep.resume("alone", setting(tmp_path, workers=2)) == 0
    after = trials(tmp_path, "alone")
    assert after["trial"].tolist() == list(range(12))
    pd.testing.assert_frame_equal(after[COLUMNS].head(10), before[COLUMNS], check_exact=True)
    info = read_json(tmp_path / "alone" / "sweep.json")
    assert info["earlier"] == [{key: told[key] for key in (*ORIGIN[:-1], "ended", "seconds")}]
    assert info["seconds"] > told["seconds"]


def test_what_confirmation_was_decided_from_stays(tmp_path: Path) -> None:
    """More suggestions after it would stand in the table and change nothing that was confirmed."""
    assert run(specification("firm", confirm={"replicates": 2}), tmp_path) == 0
    path = tmp_path / "firm" / "spec.yaml"
    tree = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump({**tree, "search": {**tree["search"], "trials": 9}}))
    with pytest.raises(ConfigError, match=r"search\.trials: cannot change once the confirm phase has begun"):
        Sweep.resume("firm", setting(tmp_path))


def test_a_finished_sweep_starts_nothing_and_stays_finished(
    tmp_path: Path, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "alone")
    before = trials(tmp_path, "alone")

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launch, "run_trials", interrupted)
    told = read_json(tmp_path / "alone" / "sweep.json")
    assert Sweep.resume("alone", setting(tmp_path, command="another")) == ExitCode.DONE
    now = read_json(tmp_path / "alone" / "sweep.json")
    assert {key: now[key] for key in ORIGIN} == {key: told[key] for key in ORIGIN}
    monkeypatch.setattr(session, "reconcile", interrupted)
    assert Sweep.resume("alone", setting(tmp_path)) == ExitCode.INTERRUPTED
    assert read_json(tmp_path / "alone" / "sweep.json")["state"] == "finished"
    pd.testing.assert_frame_equal(trials(tmp_path, "alone"), before, check_exact=True)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_started_from_python_it_leaves_what_the_command_line_leaves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipeline.trial.run_trial", fake_trial.run_trial)
    path = tmp_path / "same.yaml"
    path.write_text(yaml.safe_dump({"name": "same", **TREE}))
    command = ["elbosweep", "run", str(path), "--runs-dir", str(tmp_path / "typed"), "--workers", "2"]
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        main()

    sweep = Sweep(load(path), Setting(tmp_path / "called", workers=2, console=Console(quiet=True)))
    assert sweep.run() == ended.value.code == ExitCode.DONE
    typed, called = tmp_path / "typed" / "same", tmp_path / "called" / "same"
    assert files(called) == files(typed)
    assert (called / "spec.yaml").read_bytes() == (typed / "spec.yaml").read_bytes()
    tables = {path.stem: [pd.read_parquet(folder / path.name) for folder in (typed, called)]
              for path in typed.glob("*.parquet")}  # fmt: skip
    assert {"trials", "history", "references", "calibration", "calibration_seeds"} <= tables.keys()
    for name, (one, other) in tables.items():
        timed = [column for column in one if column in ("started", "ended") or column.startswith("seconds")]
        pd.testing.assert_frame_equal(other.drop(columns=timed), one.drop(columns=timed), check_exact=True, obj=name)
    records = [read_json(folder / "sweep.json") for folder in (typed, called)]
    assert records[0].keys() == records[1].keys()
    assert [record["command"] for record in records] == [" ".join(command), ""]


def test_a_mode_of_wandb_and_a_relative_data_folder_are_taken_from_the_setting(tmp_path: Path) -> None:
    sweep = Sweep(specification("given", tracking={"wandb": "online"}), Setting(wandb="disabled", data_dir=Path("d")))
    assert sweep.spec.tracking.wandb == "disabled"
    assert sweep.setting.data_dir == Path("d").resolve(), "a worker's own folder may be another one"


def test_a_sweep_whose_folder_was_renamed_goes_on_there(runs_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "renamed")
    (tmp_path / "renamed" / "trials" / "0009" / "result.json").unlink()
    (tmp_path / "renamed" / "calibration.parquet").unlink()
    assert Sweep.resume("renamed", setting(tmp_path)) == ExitCode.DONE
    assert [path.name for path in tmp_path.iterdir()] == ["renamed"]
    pd.testing.assert_frame_equal(
        trials(tmp_path, "renamed")[COLUMNS], trials(runs_dir, "alone")[COLUMNS], check_exact=True
    )
    assert (tmp_path / "renamed" / "calibration.parquet").exists()
