"""Tune runs fake trials: the same results at any number of workers, every failure with its reason."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import optuna
import pandas as pd
import pytest
from fake_trial import FakeTrial
from rich.console import Console
from small_sweep import COLUMNS, RAY_WARNINGS, one_ray, run, setting, specification, trials

from pipeline.files import read_json
from sweeps.running.sweep import Setting, Sweep
from sweeps.specification.reading import parse

pytestmark = RAY_WARNINGS


@pytest.fixture(scope="module", autouse=True)
def ray_of_this_module() -> Iterator[None]:
    with one_ray(cpus=4):
        yield


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


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_same_results_at_any_number_of_workers(reference: pd.DataFrame, tmp_path: Path, workers: int) -> None:
    assert run(specification("many"), tmp_path, workers) == 0
    pd.testing.assert_frame_equal(trials(tmp_path, "many")[COLUMNS], reference[COLUMNS], check_exact=True)


def test_failed_trials_are_recorded_and_the_sweep_goes_on(tmp_path: Path) -> None:
    spec = specification("fails", space={}, search={}, retries=0, factors={"model.latent_dim": [2, 4, 8, 16]})
    bad = {"raise": {"model.latent_dim": 4}, "die": {"model.latent_dim": 8}, "not_finite": {"model.latent_dim": 16}}
    assert run(spec, tmp_path, workers=2, trial=FakeTrial(bad)) == 1
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
    trial = FakeTrial({"raise": {"model.latent_dim": 2}, "die": {"model.latent_dim": 4}})
    console = Console(file=io.StringIO(), width=200)
    assert Sweep(spec, setting(tmp_path, workers=2, function=trial, console=console)).run() == 0
    assert (trials(tmp_path, "again")["status"] == "finished").all()
    said = console.file.getvalue()
    assert "trial 0 is started again from its last epoch: RuntimeError: asked to raise" in said
    assert "trial 1 is started again from its last epoch: its worker process died" in said


def test_a_trial_whose_worker_dies_as_it_takes_over_is_started_again(tmp_path: Path) -> None:
    """Tune gives up on it at once, whatever `retries` says; which of these deaths comes when is chance."""
    base = {"training": {"epochs": 1}}
    factors = {"model.latent_dim": [1, 2, 4, 6, 8, 12, 16]}
    spec = specification("takeover", base=base, space={}, search={}, retries=5, factors=factors)
    assert run(spec, tmp_path, workers=1, trial=FakeTrial({"die_after": {}})) == 0
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
        assert Sweep(spec, Setting(tmp_path, workers=workers, console=Console(quiet=True))).run() == 0
    one, two = trials(tmp_path, "real1"), trials(tmp_path, "real2")
    numbers = [column for column in one if column.startswith(("test.", "validation.", "train."))]
    assert len(numbers) > 10
    pd.testing.assert_frame_equal(one[[*COLUMNS, *numbers]], two[[*COLUMNS, *numbers]], check_exact=True)
    assert len(list((tmp_path / "real2" / "wandb").glob("offline-run-*"))) == 4
    assert (two["seconds.tracking"] > 0).all()
    replicates = pd.read_parquet(tmp_path / "real2" / "replicates.parquet")
    assert replicates[["trial", "replicate"]].to_numpy().tolist() == [[t, r] for t in range(4) for r in range(2)]


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
    assert run(spec, tmp_path, workers=2, trial=FakeTrial(seconds=0.2)) == 0
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
