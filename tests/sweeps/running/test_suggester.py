"""What Tune is given next: trials that run again, then new ones; each configuration parsed once."""

from __future__ import annotations

import math
import pickle
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_trial
import pytest
from small_sweep import specification

from pipeline.config import TrialConfig
from sweeps.record.ledger import Ledger
from sweeps.running.suggester import Suggester
from sweeps.running.worker import Assignment
from sweeps.search.planner import Planner
from sweeps.specification.spec import SweepSpec


def started(spec: SweepSpec, folder: Path, deadline: float = math.inf) -> Suggester:
    """As at each start of a sweep."""
    planner, ledger = Planner(spec, folder), Ledger(folder, *spec.search.modes)
    return Suggester(planner, ledger, ledger.to_run_again(planner.plans), deadline)


def assignment(suggested: Any) -> Assignment:
    assert isinstance(suggested["assignment"], Assignment)
    return suggested["assignment"]


def run_to_the_end(suggester: Suggester) -> list[Assignment]:
    done = []
    while (suggested := suggester.suggest("id")) != "FINISHED":
        done.append(assignment(suggested))
        folder = suggester.ledger.trial_folder(done[-1].number)
        fake_trial.run_trial(done[-1].config, folder, report=lambda epoch, metrics: None)
        suggester.ledger.conclude(done[-1].number)
    return done


def test_each_configuration_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = specification("once", confirm={"replicates": 3})
    parsed: list[TrialConfig] = []
    validate = TrialConfig.model_validate

    def counted(tree: Any) -> TrialConfig:
        parsed.append(validate(tree))
        return parsed[-1]

    monkeypatch.setattr(TrialConfig, "model_validate", counted)
    done = run_to_the_end(started(spec, tmp_path))
    assert len(done) > 10
    assert len(parsed) == len(done)


def test_what_travels_is_what_the_plan_says(tmp_path: Path) -> None:
    """Further replicates of a configuration that was planned before too, whose seeds start where the first ones end."""
    spec = specification("same", confirm={"replicates": 3})
    done = run_to_the_end(started(spec, tmp_path))
    again = Planner(spec, tmp_path)
    assert [trial.config for trial in done] == [again.config(plan) for plan in again.plans]
    assert any(trial.config.first_replicate for trial in done)


def test_a_trial_that_was_under_way_comes_first(tmp_path: Path) -> None:
    spec = specification("resumed")
    first = started(spec, tmp_path)
    before = [assignment(first.suggest("id")) for _ in range(3)]
    again = started(spec, tmp_path)
    assert again.decide()
    assert [assignment(again.suggest("id")) for _ in range(3)] == before
    assert assignment(again.suggest("id")).number == 3


def test_a_plan_that_is_not_valid_any_more_is_recorded_as_failed(tmp_path: Path) -> None:
    """Another version of the code allowed it; the sweep goes on with the next one."""
    spec = specification("older")
    first = started(spec, tmp_path)
    first.suggest("id")
    planner, ledger = Planner(spec, tmp_path), Ledger(tmp_path, *spec.search.modes)
    older = replace(planner.plans[0], overrides={"model.latent_dim": 0})
    suggester = Suggester(planner, ledger, [older])
    assert assignment(suggester.suggest("id")).number == 1
    assert ledger.records[0].status == "failed"
    assert (ledger.records[0].reason or "").startswith("trial 0: model.latent_dim: must be at least 1, got 0")


def test_nothing_new_starts_when_the_time_is_used_up(tmp_path: Path) -> None:
    suggester = started(specification("late", budget={"hours": 1.0}), tmp_path, deadline=time.monotonic())
    assert not suggester.decide()
    assert suggester.suggest("id") == "FINISHED"
    assert suggester.exhausted


def test_a_suggestion_waits_for_the_results_it_is_made_from(tmp_path: Path) -> None:
    suggester = started(specification("waits", factors={}, search={"trials": 4, "window": 2}), tmp_path)
    assert [assignment(suggester.suggest("id")).number for _ in range(2)] == [0, 1]
    assert suggester.suggest("id") is None
    assert not suggester.exhausted


def test_tune_pickles_it_without_the_planner(tmp_path: Path) -> None:
    suggester = started(specification("pickled"), tmp_path)
    suggester.suggest("id")
    assert vars(pickle.loads(pickle.dumps(suggester))) == {"_metric": None, "_mode": None}
