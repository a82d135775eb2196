"""The list of configurations depends on the specification alone: not on workers, order of arrival, or crashes."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from fake_trial import bound
from simulated_search import FACTORS, SPACE, bound_of, simulate, specification

from pipeline.config import TrialConfig, config_hash
from sweeps.search.plan import Outcome, Plan
from sweeps.search.planner import Planner, Waiting
from sweeps.specification.reading import parse


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
    assert all(one.overrides != another.overrides for one, another in zip(other[5:], alone[5:]))


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


# --- budgets, targets and crashes --------------------------------------------------------------------------


def test_the_budget_of_trials_cuts_the_search_and_leaves_the_confirmation(tmp_path: Path) -> None:
    spec = parse({**specification().model_dump(exclude={"space", "base"}), "space": SPACE, "budget": {"trials": 8},
                  "confirm": {"by": "model.latent_dim", "replicates": 2}})  # fmt: skip
    plans = simulate(spec, tmp_path, workers=2)
    assert Counter(plan.phase for plan in plans) == {"factorial": 5, "search": 3, "confirm": 5}
    planner = Planner(spec, tmp_path)
    assert planner.total == len(plans)


def test_a_target_ends_the_search_at_the_same_trial_at_any_number_of_workers(tmp_path: Path) -> None:
    tree = {"name": "t", "factors": {"model.latent_dim": [2, 8]}, "space": SPACE, "budget": {"target": -100.2},
            "base": {"training": {"learning_rate": 1e-2}}}  # fmt: skip
    spec = parse({**tree, "search": {"trials": 60, "window": 3}})
    lists = []
    for workers in (1, 3):
        (tmp_path / str(workers)).mkdir()
        lists.append(simulate(spec, tmp_path / str(workers), workers=workers, seed=workers))
    assert lists[0] == lists[1]
    reached = [plan.number for plan in lists[0] if bound(spec.trial(plan.overrides)) >= -100.2 and plan.number != 6]
    assert 5 < len(lists[0]) < 60
    assert len(lists[0]) - reached[0] <= 3, "trials beyond the first good one: those of the window"


def test_when_time_is_up_only_confirmation_starts(tmp_path: Path) -> None:
    tree = {"name": "t", "factors": FACTORS, "confirm": {"replicates": 2}, "budget": {"hours": 1}}
    planner = Planner(parse(tree), tmp_path)
    outcomes = dict[int, Outcome]()
    for number in range(3):
        planner.next(outcomes.get)
        outcomes[number] = Outcome("finished", -100.0)
    plan = planner.next(outcomes.get, closed=True)
    assert isinstance(plan, Plan)
    assert plan.phase == "confirm"
    assert planner.ended == "budget.hours: 1 are used up after 3 trials"


def test_an_ask_that_a_crash_tore_is_asked_again_under_its_number(
    alone: list[Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a database nothing can be cut off: the trial is there, without its plan."""
    spec = specification(storage="sqlite:///study.sqlite")
    planned = itertools.count()

    def torn(config: TrialConfig) -> str:
        if next(planned) == 9:
            raise KeyboardInterrupt
        return config_hash(config)

    with monkeypatch.context() as patch:
        patch.setattr("sweeps.search.planner.config_hash", torn)
        with pytest.raises(KeyboardInterrupt):
            simulate(spec, tmp_path, workers=1)
    outcomes = {number: bound_of(spec)(alone[number]) for number in range(9)}
    planner = Planner(spec, tmp_path)
    assert planner.plans == alone[:9]
    assert planner.next(outcomes.get) == alone[9]
    assert len(planner.study.trials) == 10
