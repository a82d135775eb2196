"""The list of configurations depends on the specification alone: not on workers, order of arrival, or crashes."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from fake_trial import bound

from sweeps.journal import repair
from sweeps.search import Outcome, Plan, Planner, Waiting
from sweeps.spec import SweepSpec, parse

FACTORS = {"model.latent_dim": [2, 4, 8, 16, 32]}
SPACE = {
    "training.learning_rate": {"float": [1e-4, 1e-2], "log": True},
    "objective.name": {"choice": ["elbo", "iwae"]},
    "objective.num_importance_samples": {"int": [2, 16]},
    "model.network.hidden": {"choice": [[16], [32, 32]]},
}


def specification(**search: Any) -> SweepSpec:
    settings = {"sampler": "tpe", "trials": 16, "window": 4, **search}
    return parse({"name": "search", "factors": FACTORS, "space": SPACE, "search": settings})


def simulate(
    spec: SweepSpec, folder: Path, *, workers: int, crash_after: tuple[int, ...] = (), seed: int = 0
) -> list[Plan]:
    """Run a sweep without Ray: trials end in random order; a crash tears the journal and forgets the process."""
    order, outcomes, running = random.Random(seed), dict[int, Outcome](), list[Plan]()
    planner = Planner(spec, folder)
    while True:
        while len(running) < workers and isinstance(plan := planner.next(outcomes.get), Plan):
            running.append(plan)
        if not running:
            return planner.known
        ended = running.pop(order.randrange(len(running)))
        config = spec.trial(ended.overrides)
        failed = ended.number == 6
        outcomes[ended.number] = Outcome("failed") if failed else Outcome("finished", bound(config))
        if len(outcomes) in crash_after:
            with (folder / "study.journal").open("ab") as journal:
                journal.write(b'{"op_code":4,"worker_id":"x","study')
            planner = Planner(spec, folder)
            running = [plan for plan in planner.known if plan.number not in outcomes]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> list[Plan]:
    return simulate(specification(), tmp_path_factory.mktemp("alone"), workers=1)


def test_both_parts_are_there_and_numbered(alone: list[Plan]) -> None:
    assert [plan.number for plan in alone] == list(range(21))
    assert Counter(plan.phase for plan in alone) == {"factorial": 5, "search": 16}
    assert len({json.dumps(dict(plan.overrides)) for plan in alone}) == 21


@pytest.mark.parametrize(("workers", "seed"), [(2, 1), (3, 2), (4, 3), (4, 4)])
def test_same_list_at_any_number_of_workers(alone: list[Plan], tmp_path: Path, workers: int, seed: int) -> None:
    assert simulate(specification(), tmp_path, workers=workers, seed=seed) == alone


@pytest.mark.parametrize("crashes", [(3,), (7, 12), (1, 2, 18, 20)])
def test_same_list_across_crashes(alone: list[Plan], tmp_path: Path, crashes: tuple[int, ...]) -> None:
    assert simulate(specification(), tmp_path, workers=4, crash_after=crashes, seed=5) == alone


def test_another_seed_gives_another_list(alone: list[Plan], tmp_path: Path) -> None:
    other = simulate(specification(seed=1), tmp_path, workers=1)
    assert [plan.overrides for plan in other[:5]] == [plan.overrides for plan in alone[:5]]
    assert all(mine.overrides != theirs.overrides for mine, theirs in zip(other[5:], alone[5:]))


@pytest.mark.parametrize("sampler", ["random", "qmc", "tpe", "gp"])
def test_every_sampler_is_deterministic_and_does_not_repeat_itself(tmp_path: Path, sampler: str) -> None:
    spec = specification(sampler=sampler, trials=8)
    first = simulate(spec, tmp_path, workers=1)
    (tmp_path / "again").mkdir()
    assert simulate(spec, tmp_path / "again", workers=3, crash_after=(6,)) == first
    assert len({plan.overrides["training.learning_rate"] for plan in first if plan.phase == "search"}) == 8


def test_conditional_keys_are_asked_only_where_they_exist(alone: list[Plan]) -> None:
    searched = [plan.overrides for plan in alone if plan.phase == "search"]
    assert {overrides["objective.name"] for overrides in searched} == {"elbo", "iwae"}
    for overrides in searched:
        assert ("objective.num_importance_samples" in overrides) == (overrides["objective.name"] == "iwae")


def test_a_repeated_configuration_becomes_new_replicates(tmp_path: Path) -> None:
    spec = parse(
        {
            "name": "repeats",
            "base": {"replicates": 3},
            "factors": {"model.latent_dim": [2, 4]},
            "space": {"model.latent_dim": {"choice": [2, 4]}},
            "search": {"sampler": "random", "trials": 6},
        }
    )
    seen = Counter[str]()
    for plan in simulate(spec, tmp_path, workers=1):
        config = spec.trial(plan.overrides)
        assert config.first_replicate == seen[plan.config_hash]
        seen[plan.config_hash] += config.replicates
    assert sum(seen.values()) == 24
    assert len(seen) == 2


def test_factorial_trials_are_told_to_optuna(tmp_path: Path) -> None:
    spec = specification()
    simulate(spec, tmp_path, workers=2)
    trials = Planner(spec, tmp_path).study.trials
    assert [trial.state.name for trial in trials].count("FAIL") == 1
    assert all(trial.state.is_finished() for trial in trials)
    assert all({"model.latent_dim", "training.learning_rate"} <= trial.params.keys() for trial in trials)


def test_suggestions_wait_for_exactly_the_window(tmp_path: Path) -> None:
    spec = specification(window=2)
    planner = Planner(spec, tmp_path)
    for number in range(5):
        assert isinstance(planner.next({}.get), Plan), f"factorial trial {number} needs no result"
    assert isinstance(planner.next({number: Outcome("finished", -1.0) for number in range(3)}.get), Waiting)
    plan = planner.next({number: Outcome("finished", -1.0) for number in range(5)}.get)
    assert isinstance(plan, Plan)
    told = [trial.number for trial in planner.study.trials if trial.state.is_finished()]
    assert told == [0, 1, 2, 3], "trial 5 is suggested from the results up to trial 3, though trial 4 has ended too"


def test_a_combination_that_cannot_be_run_is_planned_with_its_problem(tmp_path: Path) -> None:
    """Both ends of the range are powers of two, what lies between is not: it is found when it is suggested."""
    space = {"objective.num_samples": {"int": [4, 64]}}
    spec = parse(
        {
            "name": "t",
            "base": {"objective": {"name": "elbo", "sampling": "sobol"}},
            "space": space,
            "search": {"trials": 1},
        }
    )
    planner = Planner(spec, tmp_path)
    plan = planner.next({}.get)
    assert isinstance(plan, Plan)
    assert "power of two" in (plan.problem or "")


def test_not_finite_is_not_usable() -> None:
    assert Outcome("finished", -1.0).usable
    assert not Outcome("finished", float("nan")).usable
    assert not Outcome("finished", None).usable
    assert not Outcome("failed", -1.0).usable


def test_confirmation_trains_the_best_of_each_level_with_fresh_seeds(tmp_path: Path) -> None:
    tree = {
        "name": "confirm",
        "base": {"replicates": 2},
        "factors": {"model.latent_dim": [2, 8], "training.learning_rate": [1e-4, 1e-3]},
        "confirm": {"by": "model.latent_dim", "replicates": 5},
    }
    spec = parse(tree)
    plans = simulate(spec, tmp_path, workers=3)
    confirmed = [spec.trial(plan.overrides) for plan in plans if plan.phase == "confirm"]
    assert [(config.model.latent_dim, config.training.learning_rate) for config in confirmed] == [(2, 1e-3), (8, 1e-3)]
    assert all((config.replicates, config.first_replicate) == (5, 2) for config in confirmed)


@pytest.mark.parametrize("cut", [1, 40, 200])
def test_a_torn_journal_is_cut_back_to_what_is_whole(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "study.journal"
    spec = specification(sampler="random", trials=3)
    before = simulate(spec, tmp_path, workers=1)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert repair(path) > 0
    assert path.with_name("study.journal.torn").read_bytes() == content[:-cut]
    assert repair(path) == 0
    known = Planner(spec, tmp_path).known
    assert known == before[: len(known)]
