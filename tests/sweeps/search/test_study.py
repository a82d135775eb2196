"""Optuna's study of a sweep: in a database, guarded against other sweeps, other users and passwords in the open."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from fake_trial import bound
from simulated_search import simulate, specification

from pipeline.config import ConfigError
from sweeps.search import study
from sweeps.search.plan import Outcome, Plan
from sweeps.search.planner import Planner
from sweeps.specification.spec import SweepSpec


def test_a_database_holds_the_study_under_the_sweeps_name(tmp_path: Path) -> None:
    spec = specification(storage="sqlite:///study.sqlite")
    (tmp_path / "journal").mkdir()
    alone = simulate(specification(), tmp_path / "journal", workers=1)
    assert simulate(spec, tmp_path, workers=3, crash_after=(4, 9), seed=3) == alone
    assert not (tmp_path / "study.journal").exists()
    storage = f"sqlite:///{tmp_path}/study.sqlite"
    assert optuna.get_all_study_names(storage) == ["search"]
    assert all(trial.state.is_finished() for trial in optuna.load_study(study_name="search", storage=storage).trials)
    assert study.asked(spec, tmp_path) == set(range(21))


def test_a_study_of_another_sweep_is_not_taken_over(tmp_path: Path) -> None:
    spec = specification(storage=f"sqlite:///{tmp_path}/shared.sqlite", sampler="random", trials=1)
    simulate(spec, tmp_path, workers=1)
    with pytest.raises(ConfigError, match="already holds a study named 'search'"):
        study.claim(spec, tmp_path / "other", force=False)
    study.claim(spec, tmp_path / "other", force=True)
    assert study.asked(spec, tmp_path) is None


def test_no_password_is_written_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="must not hold a password") as error:
        specification(storage="postgresql://me:hunter2@host/name")
    assert "hunter2" not in str(error.value)
    spec = specification(storage="sqlite:///${ELBOSWEEP_TEST_DB}.sqlite")
    with pytest.raises(ConfigError, match="the environment variable ELBOSWEEP_TEST_DB is not set"):
        Planner(spec, tmp_path)
    monkeypatch.setenv("ELBOSWEEP_TEST_DB", "named")
    Planner(spec, tmp_path)
    assert (tmp_path / "named.sqlite").exists()


def test_a_study_that_holds_pickles_is_opened_by_its_owner_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = specification(sampler="cmaes", trials=3)
    Planner(spec, tmp_path)
    monkeypatch.setattr("os.getuid", lambda: 12345)
    with pytest.raises(ConfigError, match="belongs to another user"):
        Planner(spec, tmp_path)
    Planner(specification(sampler="tpe"), tmp_path)


def test_a_database_that_cannot_be_used_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "study.sqlite").write_text("this is no database, whatever its name says" * 100)
    with pytest.raises(ConfigError, match=r"search.storage: sqlite:///study.sqlite cannot be used: .*not a database"):
        Planner(specification(storage="sqlite:///study.sqlite"), tmp_path)


OBJECTIVES = {"validation.elbo": "max", "seconds.training": "min"}


def two_objectives(spec: SweepSpec) -> Callable[[Plan], Outcome]:
    def outcome(plan: Plan) -> Outcome:
        config = spec.trial(plan.overrides)
        return Outcome("finished", bound(config), others=(float(config.model.latent_dim),))

    return outcome


@pytest.mark.parametrize("sampler", ["nsga2", "tpe", "gp"])
def test_several_objectives_are_searched_deterministically(tmp_path: Path, sampler: str) -> None:
    spec = specification(sampler=sampler, trials=24 if sampler == "nsga2" else 8, objectives=OBJECTIVES)
    for name in ("alone", "many"):
        (tmp_path / name).mkdir()
    alone = simulate(spec, tmp_path / "alone", workers=1, outcome=two_objectives(spec))
    many = simulate(spec, tmp_path / "many", workers=4, crash_after=(9, 17), outcome=two_objectives(spec))
    assert many == alone
    front = Planner(spec, tmp_path / "alone").study.best_trials
    assert all(len(trial.values) == 2 for trial in front)
    assert len({json.dumps(dict(plan.overrides)) for plan in alone}) > 10


def test_the_factorial_part_is_the_first_generation(tmp_path: Path) -> None:
    spec = specification(sampler="nsga2", trials=2, objectives=OBJECTIVES)
    simulate(spec, tmp_path, workers=1, outcome=two_objectives(spec))
    trials = Planner(spec, tmp_path).study.trials
    assert [trial.system_attrs["NSGAIISampler:generation"] for trial in trials] == [0] * 7
