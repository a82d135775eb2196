"""The real orchestrator over fake trials: same results at any number of workers, across interrupts, with failures."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fake_trial
import optuna
import pandas as pd
import pytest
import ray
import ray.cloudpickle
import yaml
from rich.console import Console

from pipeline.files import read_json
from sweeps.machine import resources
from sweeps.record.folders import find, locked
from sweeps.running import sweep
from sweeps.running.ray_session import session
from sweeps.specification.options import Resources
from sweeps.specification.reading import parse
from sweeps.specification.spec import SweepSpec

# Ray leaves sockets and files to the garbage collector when it shuts down, and Tune warns about its own future.
pytestmark = [
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
ORIGIN = ("command", "git", "versions", "hardware", "resumed")
COLUMNS = ["trial", "phase", "status", "config_hash", "first_replicate", "validation.elbo", "test.elbo"]


@pytest.fixture(scope="module", autouse=True)
def one_ray() -> Iterator[None]:
    """One Ray for the whole module: starting it costs seconds."""
    ray.cloudpickle.register_pickle_by_value(fake_trial)
    with session(Resources(workers=4)):
        yield
    ray.cloudpickle.unregister_pickle_by_value(fake_trial)


def specification(name: str, **parts: Any) -> SweepSpec:
    return parse({"name": name, **TREE, **parts})


def run(spec: SweepSpec, runs_dir: Path, workers: int = 4, trial: fake_trial.FakeTrial = fake_trial.run_trial) -> int:
    setting = sweep.Setting(runs_dir, workers=workers, function=trial, console=Console(quiet=True))
    return sweep.start(spec, setting)


def trials(runs_dir: Path, name: str) -> pd.DataFrame:
    return pd.read_parquet(runs_dir / name / "trials.parquet")


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds the uninterrupted sweep `alone`, run by one worker."""
    folder = tmp_path_factory.mktemp("runs")
    assert run(specification("alone"), folder, workers=1) == 0
    return folder


@pytest.fixture(scope="module")
def reference(runs_dir: Path) -> pd.DataFrame:
    return trials(runs_dir, "alone")


def test_every_trial_is_there_and_finished(reference: pd.DataFrame) -> None:
    assert reference["trial"].tolist() == list(range(10))
    assert reference["phase"].tolist() == ["factorial"] * 3 + ["search"] * 7
    assert (reference["status"] == "finished").all()
    assert (reference["seconds.orchestration"] >= 0).all()


def test_the_worker_is_reused(runs_dir: Path) -> None:
    starts = [json.loads(path.read_text())["pid"] for path in (runs_dir / "alone").glob("trials/*/starts.jsonl")]
    assert len(starts) == 10
    assert len(set(starts)) == 1


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


def test_importance_covers_the_space(runs_dir: Path) -> None:
    importance = pd.read_parquet(runs_dir / "alone" / "importance.parquet")
    assert set(importance["parameter"]) == {"model.latent_dim", "training.learning_rate"}
    assert importance["importance"].sum() == pytest.approx(1.0)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_same_results_at_any_number_of_workers(reference: pd.DataFrame, tmp_path: Path, workers: int) -> None:
    assert run(specification("many"), tmp_path, workers) == 0
    pd.testing.assert_frame_equal(trials(tmp_path, "many")[COLUMNS], reference[COLUMNS], check_exact=True)


def test_failed_trials_are_recorded_and_the_sweep_goes_on(tmp_path: Path) -> None:
    spec = specification("fails", space={}, search={}, retries=0, factors={"model.latent_dim": [2, 4, 8, 16]})
    bad = {"raise": {"model.latent_dim": 4}, "die": {"model.latent_dim": 8}, "not_finite": {"model.latent_dim": 16}}
    assert run(spec, tmp_path, workers=2, trial=fake_trial.FakeTrial(bad)) == 1
    table = trials(tmp_path, "fails").set_index("model.latent_dim")
    assert table["status"].to_dict() == {2: "finished", 4: "failed", 8: "failed", 16: "failed"}
    assert table.loc[4, "reason"] == "RuntimeError: asked to raise"
    assert "died" in table.loc[8, "reason"]
    assert table.loc[16, "reason"] == "validation.elbo is not a finite number"
    assert "asked to raise" in next((tmp_path / "fails").glob("trials/*/error.txt")).read_text()
    info = read_json(tmp_path / "fails" / "sweep.json")
    assert info["state"] == "failed"
    assert info["counts"] == {"finished": 1, "failed": 3, "stopped": 0, "running": 0}


def test_a_trial_that_raises_or_dies_is_started_again_from_its_checkpoint(tmp_path: Path) -> None:
    spec = specification("again", space={}, search={}, retries=1, factors={"model.latent_dim": [2, 4]})
    trial = fake_trial.FakeTrial({"raise": {"model.latent_dim": 2}, "die": {"model.latent_dim": 4}})
    console = Console(file=io.StringIO(), width=200)
    setting = sweep.Setting(tmp_path, workers=2, function=trial, console=console)
    assert sweep.start(spec, setting) == 0
    assert (trials(tmp_path, "again")["status"] == "finished").all()
    said = console.file.getvalue()
    assert "trial 0 is started again from its last epoch: RuntimeError: asked to raise" in said
    assert "trial 1 is started again from its last epoch: its worker process died" in said


def test_a_trial_whose_worker_dies_as_it_takes_over_is_started_again(tmp_path: Path) -> None:
    """Tune gives up on it at once, whatever `retries` says; which of these deaths comes when is chance."""
    factors = {"model.latent_dim": [1, 2, 4, 6, 8, 12, 16]}
    base = {"training": {"epochs": 1}}
    spec = specification("takeover", base=base, space={}, search={}, retries=5, factors=factors)
    assert run(spec, tmp_path, workers=1, trial=fake_trial.FakeTrial({"die_after": {}})) == 0
    assert (trials(tmp_path, "takeover")["status"] == "finished").all()


def test_a_combination_that_cannot_run_is_recorded_with_its_reason(tmp_path: Path) -> None:
    spec = parse(
        {
            "name": "sobol",
            "base": {"objective": {"name": "elbo", "sampling": "sobol"}, "training": {"epochs": 1}},
            "space": {"objective.num_samples": {"int": [4, 64]}},
            "search": {"trials": 3, "sampler": "random"},
            "tracking": {"wandb": "disabled"},
        }
    )
    assert run(spec, tmp_path, workers=1) == 1
    table = trials(tmp_path, "sobol")
    assert len(table) == 3
    assert table.loc[table["status"] == "failed", "reason"].str.contains("power of two").all()


def test_real_training_gives_the_same_numbers_with_one_and_with_two_workers(tmp_path: Path) -> None:
    """No fake: four trials of the real pipeline on digits, W&B in the driver, everything else switched off."""
    tree = {
        "base": {
            "model": {"network": {"name": "mlp", "hidden": [8]}},
            "data": {"train_images": 128},
            "training": {"epochs": 2},
            "replicates": 2,
            "evaluation": {"max_images": 8, "num_importance_samples": [1], "gap_images": 0, "prior_draws": 0,
                           "pictures": False, "num_samples": 2},
            "variance": {"images": 0, "gradient_repeats": 0},
        },
        "factors": {"model.latent_dim": [2, 4]},
        "space": {"model.latent_dim": {"int": [2, 8]}, "training.learning_rate": {"float": [1e-3, 1e-2], "log": True}},
        "search": {"trials": 2, "window": 2},
    }  # fmt: skip
    for workers, wandb in ((1, "disabled"), (2, "offline")):
        spec = parse({"name": f"real{workers}", **tree, "tracking": {"wandb": wandb}})
        assert sweep.start(spec, sweep.Setting(tmp_path, workers=workers, console=Console(quiet=True))) == 0
    one, two = trials(tmp_path, "real1"), trials(tmp_path, "real2")
    numbers = [column for column in one if column.startswith(("test.", "validation.", "train."))]
    assert len(numbers) > 10
    pd.testing.assert_frame_equal(one[[*COLUMNS, *numbers]], two[[*COLUMNS, *numbers]], check_exact=True)
    assert len(list((tmp_path / "real2" / "wandb").glob("offline-run-*"))) == 4
    assert (two["seconds.tracking"] > 0).all()
    replicates = pd.read_parquet(tmp_path / "real2" / "replicates.parquet")
    assert replicates[["trial", "replicate"]].to_numpy().tolist() == [[t, r] for t in range(4) for r in range(2)]


# --- folders --------------------------------------------------------------------------------------------------------


def test_an_existing_name_is_refused_and_left_as_it_is(runs_dir: Path) -> None:
    before = (runs_dir / "alone" / "sweep.json").read_bytes()
    with pytest.raises(
        sweep.ConfigError, match=r"exists: say `elbosweep resume alone --runs-dir \S+`, or --force to replace it"
    ):
        run(specification("alone"), runs_dir)
    assert (runs_dir / "alone" / "sweep.json").read_bytes() == before


def test_force_replaces_a_sweep(runs_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "twice")
    setting = sweep.Setting(tmp_path, workers=1, function=fake_trial.run_trial, console=Console(quiet=True))
    spec = specification("twice", factors={"model.latent_dim": [4, 8]}, space={}, search={})
    assert sweep.start(spec, setting, force=True) == 0
    assert sorted(trials(tmp_path, "twice")["model.latent_dim"]) == [4, 8]
    assert [path.name for path in tmp_path.iterdir()] == ["twice"]


def test_force_leaves_the_old_sweep_where_data_are_missing(runs_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "kept")
    setting = sweep.Setting(tmp_path, function=fake_trial.run_trial)
    spec = specification("kept", base={"data": {"name": "npz:nowhere.npz"}})
    with pytest.raises(sweep.ConfigError, match=r"nowhere\.npz"):
        sweep.start(spec, setting, force=True)
    assert (tmp_path / "kept" / "trials.parquet").exists()


def test_force_does_not_destroy_what_is_not_a_sweep(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("all of it")
    setting = sweep.Setting(tmp_path, function=fake_trial.run_trial)
    with pytest.raises(sweep.ConfigError, match="is not a sweep"):
        sweep.start(specification("mine"), setting, force=True)
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "all of it"


def test_a_running_sweep_is_left_alone(runs_dir: Path) -> None:
    setting = sweep.Setting(runs_dir, function=fake_trial.run_trial)
    with locked(runs_dir / "alone"):
        with pytest.raises(sweep.ConfigError, match="another process runs this sweep"):
            sweep.resume("alone", setting)
        with pytest.raises(sweep.ConfigError, match="another process runs this sweep"):
            sweep.start(specification("alone"), setting, force=True)
    assert (runs_dir / "alone" / "trials.parquet").exists()


@pytest.mark.parametrize("name", ["../escape", "", ".hidden", "a/b", "x" * 65])
def test_names_are_checked_before_they_become_paths(tmp_path: Path, name: str) -> None:
    with pytest.raises(sweep.ConfigError, match="name: must be"):
        find(name, tmp_path)


def test_an_unknown_sweep_lists_those_that_are_there(tmp_path: Path) -> None:
    (tmp_path / "known").mkdir()
    (tmp_path / "known" / "spec.yaml").write_text("name: known")
    with pytest.raises(sweep.ConfigError, match="no such sweep, got 'unknown'; there are: known"):
        find("unknown", tmp_path)


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(sweep.ConfigError, match="must be a folder that can be written"):
        run(specification("nowhere"), tmp_path / "file")


# --- resources ------------------------------------------------------------------------------------------------------


def test_auto_is_one_worker_per_core_with_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    monkeypatch.setattr(resources, "available_cores", lambda: 6)
    assert resources.resolve_resources(specification("t")) == Resources(workers=6, cpus=1, gpus=0)


def test_auto_packs_several_trials_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(resources, "available_cores", lambda: 16)
    assert resources.resolve_resources(specification("t")) == Resources(workers=8, cpus=1, gpus=0.25)


def test_workers_do_not_change_the_threads_of_a_trial() -> None:
    spec = specification("t", resources={"workers": 2, "cpus": 3})
    assert resources.resolve_resources(spec, workers=5) == Resources(workers=5, cpus=3)


def test_early_stopping_ends_trials_and_keeps_them_out_of_the_results(tmp_path: Path) -> None:
    """The real Tune with Ray's ASHA: the same trials are stopped with one worker and with three."""
    parts = {"base": {"training": {"epochs": 6}, "replicates": 2}, "search": {"trials": 9, "window": 3},
             "stopping": {"min_epochs": 2, "reduction_factor": 2}}  # fmt: skip
    tables = []
    for workers in (1, 3):
        spec = specification(f"stop{workers}", **parts)
        assert run(spec, tmp_path, workers) == 0
        tables.append(trials(tmp_path, spec.name))
    pd.testing.assert_frame_equal(tables[0][COLUMNS], tables[1][COLUMNS], check_exact=True)
    assert tables[0]["reason"].tolist() == tables[1]["reason"].tolist()
    stopped = tables[0][tables[0]["status"] == "stopped"]
    assert len(stopped) >= 2
    assert set(stopped["phase"]) == {"search"}
    assert stopped["validation.elbo"].isna().all()
    history = pd.read_parquet(tmp_path / "stop1" / "history.parquet")
    assert not set(history["trial"]) & set(stopped["trial"])
    assert read_json(tmp_path / "stop1" / "sweep.json")["counts"]["stopped"] == len(stopped)


def test_the_time_budget_ends_the_sweep_with_what_it_has(tmp_path: Path) -> None:
    spec = specification("brief", budget={"hours": 2.5 / 3600})
    assert run(spec, tmp_path, workers=2, trial=fake_trial.FakeTrial(seconds=0.2)) == 0
    table = trials(tmp_path, "brief")
    assert 2 <= len(table) < 10
    assert (table["status"] == "finished").all()


def test_several_objectives_are_in_the_study_and_in_the_ledger(tmp_path: Path) -> None:
    objectives = {"validation.elbo": "max", "seconds.training": "min"}
    search = {"trials": 3, "window": 4, "sampler": "nsga2", "objectives": objectives, "storage": "sqlite:///s.sqlite"}
    assert run(specification("two", search=search), tmp_path, workers=2) == 0
    assert len(trials(tmp_path, "two")) == 6
    study = optuna.load_study(study_name="two", storage=f"sqlite:///{tmp_path}/two/s.sqlite")
    assert [trial.values[1] for trial in study.trials] == [0.1] * 6
    assert read_json(tmp_path / "two" / "trials" / "0000" / "trial.json")["others"] == {"seconds.training": 0.1}


def test_an_edited_specification_goes_on_only_where_the_trials_stay_the_same(tmp_path: Path, runs_dir: Path) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "alone")
    path = tmp_path / "alone" / "spec.yaml"
    tree = yaml.safe_load(path.read_text())
    setting = sweep.Setting(tmp_path, workers=2, function=fake_trial.run_trial, console=Console(quiet=True))
    before, told = trials(tmp_path, "alone"), read_json(tmp_path / "alone" / "sweep.json")
    for section, change in {"factors": {"model.latent_dim": [2, 8, 32, 64]}, "search": {"seed": 7}}.items():
        path.write_text(yaml.safe_dump({**tree, section: {**tree[section], **change}}))
        with pytest.raises(sweep.ConfigError, match=rf"{section}\.\S+: must stay what the sweep was started with"):
            sweep.resume("alone", setting)
        pd.testing.assert_frame_equal(trials(tmp_path, "alone"), before)
    path.write_text(yaml.safe_dump({**tree, "search": {**tree["search"], "trials": 9}, "retries": 3}))
    assert sweep.resume("alone", setting) == 0
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
    with pytest.raises(sweep.ConfigError, match=r"search\.trials: cannot change once the confirm phase has begun"):
        sweep.resume("firm", sweep.Setting(tmp_path, function=fake_trial.run_trial, console=Console(quiet=True)))


def test_a_finished_sweep_starts_nothing_and_stays_finished(
    tmp_path: Path, runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(runs_dir / "alone", tmp_path / "alone")
    before = trials(tmp_path, "alone")

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sweep.launch, "run_trials", interrupted)
    given: dict[str, Any] = {"function": fake_trial.run_trial, "console": Console(quiet=True)}
    setting = sweep.Setting(tmp_path, **given)
    told = read_json(tmp_path / "alone" / "sweep.json")
    assert sweep.resume("alone", sweep.Setting(tmp_path, command="another", **given)) == 0
    assert {key: read_json(tmp_path / "alone" / "sweep.json")[key] for key in ORIGIN} == {
        key: told[key] for key in ORIGIN
    }
    monkeypatch.setattr(sweep, "_reconcile", interrupted)
    assert sweep.resume("alone", setting) == 130
    assert read_json(tmp_path / "alone" / "sweep.json")["state"] == "finished"
    pd.testing.assert_frame_equal(trials(tmp_path, "alone"), before, check_exact=True)
