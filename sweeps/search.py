"""What is tried next: the factorial part, then Optuna's suggestions, then confirmation. Deterministic and resumable.

The Optuna study is the record of what was asked; the ledger of what came out. Trial i is suggested by a sampler seeded
from (seed, i), which has been told exactly the results up to trial i - window, in order; so the list of configurations
is the same at any number of workers up to the window, and after a crash and resume.
"""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import TrialState

from pipeline.config import ConfigError, config_hash
from sweeps.design import factorial
from sweeps.journal import open_storage
from sweeps.options import Parameter, SearchConfig
from sweeps.spec import SweepSpec

optuna.logging.set_verbosity(optuna.logging.ERROR)

Phase = Literal["factorial", "search", "confirm"]
PLAN = "plan"
"""User attribute of an Optuna trial that holds the rest of what was planned; written last, so its absence tells a torn
ask."""


@dataclass(frozen=True)
class Plan:
    """One trial as it was decided: what it is called, and what it sets over the base configuration."""

    number: int
    phase: Phase
    overrides: Mapping[str, Any]
    config_hash: str = ""
    replicates: int = 0
    problem: str | None = None
    """Why the combination cannot be run, where that could not be found before the start."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended; `value` is the mean over its replicates of the search's metric, None where it failed."""

    status: Literal["finished", "failed", "stopped"]
    value: float | None = None

    @property
    def usable(self) -> bool:
        return self.status == "finished" and self.value is not None and math.isfinite(self.value)


class Waiting:
    """The next suggestion needs a result that is not there yet."""


WAITING = Waiting()


class Planner:
    """The sequence of trials of one sweep, over an Optuna study in a journal file."""

    def __init__(self, spec: SweepSpec, journal: Path) -> None:
        self.spec = spec
        self.study = optuna.create_study(
            study_name=spec.name,
            storage=open_storage(journal),
            direction="maximize" if spec.search.mode == "max" else "minimize",
            sampler=_sampler(spec.search, 0),
            load_if_exists=True,
        )
        self._factorial = factorial(spec)
        self._parameters = spec.parameters()
        self._distributions = {key: _distribution(parameter) for key, parameter in self._parameters.items()}
        trials = self.study.get_trials(deepcopy=False)
        self.known = [Plan(**trial.user_attrs[PLAN]) for trial in trials]
        self._told = sum(trial.state.is_finished() for trial in trials)
        self._replicates = Counter[str]()
        for plan in self.known:
            self._replicates[plan.config_hash] += plan.replicates

    @property
    def total(self) -> int:
        """Trials that the specification asks for; the confirmation is counted once it is known."""
        searched = len(self._factorial) + self.spec.search.trials
        return max(searched, len(self.known))

    def next(self, outcome: Callable[[int], Outcome | None]) -> Plan | Waiting | None:
        """Decide the next trial; None when the sweep is complete."""
        number, searched = len(self.known), len(self._factorial) + self.spec.search.trials
        if number < len(self._factorial):
            return self._add(number, "factorial", self._factorial[number])
        if number < searched:
            told = self._tell(number - self.spec.search.window + 1, outcome)
            return self._suggest(number) if told else WAITING
        if not self._tell(searched, outcome):
            return WAITING
        winners = self._winners()
        if number < searched + len(winners):
            return self._add(number, "confirm", winners[number - searched])
        return None if self._tell(number, outcome) else WAITING

    def _tell(self, count: int, outcome: Callable[[int], Outcome | None]) -> bool:
        """Tell the first `count` results, in order; False as long as one of them is missing."""
        while self._told < count:
            result = outcome(self._told)
            if result is None:
                return False
            if result.usable:
                self.study.tell(self._told, result.value)
            else:
                self.study.tell(self._told, state=TrialState.FAIL)
            self._told += 1
        return True

    # --- the phases -------------------------------------------------------------------------------------------------

    def _add(self, number: int, phase: Phase, overrides: Mapping[str, Any]) -> Plan:
        """Record a trial that Optuna did not suggest; it learns from it all the same."""
        plan = self._plan(number, phase, overrides)
        flat = self.spec.flat(overrides)
        params = {
            key: _label(flat[key])
            for key, distribution in self._distributions.items()
            if self.spec.active(key, flat) and key in flat and _holds(distribution, _label(flat[key]))
        }
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions={key: self._distributions[key] for key in params},
                user_attrs={PLAN: asdict(plan)},
            )
        )
        self.known.append(plan)
        return plan

    def _suggest(self, number: int) -> Plan:
        self.study.sampler = _sampler(self.spec.search, number)
        trial = self.study.ask()
        assert trial.number == number
        overrides: dict[str, Any] = {}
        for key, parameter in self._parameters.items():
            if self.spec.active(key, self.spec.flat(overrides)):
                overrides[key] = _ask(trial, key, parameter, self._distributions[key])
        plan = self._plan(number, "search", overrides)
        trial.set_user_attr(PLAN, asdict(plan))
        self.known.append(plan)
        return plan

    def _plan(self, number: int, phase: Phase, overrides: Mapping[str, Any]) -> Plan:
        """A configuration that is known already gets further replicates, with new seeds, instead of a rerun."""
        try:
            config = self.spec.trial(overrides)
        except ConfigError as error:
            return Plan(number, phase, dict(overrides), problem=str(error).removeprefix("combination: "))
        digest = config_hash(config)
        done = self._replicates[digest]
        complete = {**overrides, "first_replicate": done} if done else dict(overrides)
        self._replicates[digest] += config.replicates
        return Plan(number, phase, complete, digest, config.replicates)

    def _winners(self) -> list[dict[str, Any]]:
        """The best configuration of each level of `confirm.by`, to be trained again with fresh seeds."""
        confirm, best = self.spec.confirm, dict[Any, tuple[float, dict[str, Any]]]()
        if not confirm.replicates:
            return []
        sign = 1 if self.spec.search.mode == "max" else -1
        for plan, trial in zip(self.known, self.study.get_trials(deepcopy=False)):
            if plan.phase == "confirm" or trial.state is not TrialState.COMPLETE:
                continue
            overrides = {key: value for key, value in plan.overrides.items() if key != "first_replicate"}
            level, score = _label(self.spec.flat(overrides)[confirm.by]), sign * (trial.value or 0.0)
            if level not in best or score > best[level][0]:
                best[level] = (score, {**overrides, "replicates": confirm.replicates})
        return [best[level][1] for level in sorted(best, key=lambda level: (isinstance(level, str), level))]


# --- to Optuna and back ---------------------------------------------------------------------------------------------


def _sampler(search: SearchConfig, number: int) -> optuna.samplers.BaseSampler:
    """A sampler whose draws depend on the seed and the trial's number alone."""
    seed = int(np.random.SeedSequence((search.seed, number)).generate_state(1)[0])
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match search.sampler:
            case "tpe":
                return samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
            case "gp":
                return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
            case "qmc":
                # One low-discrepancy sequence for the whole sweep: its index, not its seed, goes on with the trials.
                independent = samplers.RandomSampler(seed=seed)
                return samplers.QMCSampler(
                    seed=search.seed,
                    scramble=True,
                    independent_sampler=independent,
                    warn_independent_sampling=False,
                    warn_asynchronous_seeding=False,
                )
            case "cmaes":
                return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "random":
                return samplers.RandomSampler(seed=seed)


def _distribution(parameter: Parameter) -> BaseDistribution:
    if parameter.int_range is not None:
        low, high = parameter.int_range
        step = int(parameter.step or 1)
        return IntDistribution(low, low + (high - low) // step * step, log=parameter.log, step=step)
    if parameter.float_range is not None:
        low_end, high_end = parameter.float_range
        if parameter.step is not None:
            high_end = low_end + math.floor((high_end - low_end) / parameter.step + 1e-9) * parameter.step
        return FloatDistribution(low_end, high_end, log=parameter.log, step=parameter.step)
    return CategoricalDistribution([_label(value) for value in parameter.choice or ()])


def _label(value: Any) -> Any:
    """Optuna's choices are plain values: a list goes in as JSON text."""
    return json.dumps(value) if isinstance(value, (list, tuple)) else value


def _ask(trial: optuna.Trial, key: str, parameter: Parameter, distribution: BaseDistribution) -> Any:
    if isinstance(distribution, IntDistribution):
        return trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    if isinstance(distribution, FloatDistribution):
        return trial.suggest_float(
            key, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )
    choices = parameter.choice or ()
    suggested = trial.suggest_categorical(key, [_label(value) for value in choices])
    return next(value for value in choices if _label(value) == suggested)


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False
