"""Decides which trial comes next: factorial part, Optuna's suggestions, refinement, confirmation; resumable.

The Optuna study is the record of what was asked, the ledger that of what came out. Trial i is decided from exactly the
results up to trial i - window, told in order, by a sampler seeded from (seed, i); so the list of configurations is the
same at any number of workers up to the window, and after a crash and resume.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from pipeline.config import ConfigError, TrialConfig, config_hash, override, parse
from sweeps.search import distributions
from sweeps.search.curve import Curve
from sweeps.search.design import factorial
from sweeps.search.plan import PLAN, Outcomes, Phase, Plan
from sweeps.search.study import open_study
from sweeps.specification.samplers import SAMPLERS, sampler_for
from sweeps.specification.spec import SweepSpec

optuna.logging.set_verbosity(optuna.logging.ERROR)


class Waiting:
    """The next suggestion needs a result that is not there yet."""


WAITING = Waiting()


class Planner:
    """The sequence of trials of one sweep, over an Optuna study."""

    def __init__(self, spec: SweepSpec, folder: Path) -> None:
        self.spec = spec
        self.study = open_study(spec, folder)
        self._factorial = factorial(spec)
        self._parameters = spec.parameters()
        self._distributions = {
            key: distributions.distribution(parameter) for key, parameter in self._parameters.items()
        }
        trials = self.study.get_trials(deepcopy=False)
        self._torn: FrozenTrial | None = trials.pop() if trials and PLAN not in trials[-1].user_attrs else None
        self.plans = [Plan(**trial.user_attrs[PLAN]) for trial in trials]
        """All trials that were decided, by number."""
        self.ended: str | None = None
        """What cut factorial part, search and refinement short, if anything did."""
        self._told = sum(trial.state.is_finished() for trial in trials)
        self._replicates = Counter[str]()
        self._begun = Counter[str]()
        self._configs: dict[int, TrialConfig] = {}
        for plan in self.plans:
            self._count(plan)

    @property
    def total(self) -> int:
        """The number of trials that the specification asks for, as far as it can be told now."""
        if self._begun["confirm"]:
            return len(self.plans)
        wanted = len(self._factorial) + self.spec.search.trials + (self.spec.refine.trials or 0)
        return max(min(wanted, self.spec.budget.trials or wanted), len(self.plans))

    def config(self, plan: Plan) -> TrialConfig:
        """The configuration of a trial, parsed once: when it is planned, or here if its plan is from an earlier start.

        Raises:
            ConfigError: the plan was made by another version of the code, which allowed the combination.
        """
        if plan.number not in self._configs:
            tree = override(self.spec.base, plan.overrides)
            self._configs[plan.number] = parse(tree, f"trial {plan.number}")
        return self._configs[plan.number]

    def next(self, outcome: Outcomes, *, closed: bool = False) -> Plan | Waiting | None:
        """Decide the next trial; None when the sweep is complete.

        Args:
            outcome: of a trial by its number; None while it runs.
            closed: the time is up: nothing but confirmation starts.
        """
        number = len(self.plans)
        if not self._begun["confirm"]:
            if closed:
                self.ended = f"budget.hours: {self.spec.budget.hours:g} are used up after {number} trials"
            elif number >= (self.spec.budget.trials or math.inf):
                self.ended = f"budget.trials: {self.spec.budget.trials} are used up"
            elif (explored := self._explore(number, outcome)) is not None:
                return explored
        confirming = self._begun["confirm"]
        if not self._tell(number - confirming, outcome):
            return WAITING
        winners = self._winners(number - confirming, outcome)
        if confirming < len(winners):
            return self._add(number, "confirm", winners[confirming])
        return None if self._tell(number, outcome) else WAITING

    def _explore(self, number: int, outcome: Outcomes) -> Plan | Waiting | None:
        """The next trial of the factorial part, the search or the refinement; None when they are over."""
        if number < len(self._factorial):
            return self._add(number, "factorial", self._factorial[number])
        searching = not self._begun["refine"] and self._begun["search"] < self.spec.search.trials
        refining = self.spec.refine.trials is None or self._begun["refine"] < self.spec.refine.trials
        if not searching and not refining:
            return None
        seen = number - self.spec.search.window + 1
        if not self._tell(seen, outcome):
            return WAITING
        if self._reached(seen, outcome):
            self.ended = f"budget.target: {self.spec.search.metric} {self.spec.budget.target:g} is reached"
            return None
        if searching:
            return self._suggest(number)
        by = self.spec.refine.by
        if (overrides := self._curve(by, seen, outcome).widest()) is not None:
            return self._add(number, "refine", overrides)
        # Good enough if what is under way ends well: wait and see whether it did.
        if not self._tell(number, outcome):
            return WAITING
        overrides = self._curve(by, number, outcome).widest()
        return None if overrides is None else self._add(number, "refine", overrides)

    def _tell(self, count: int, outcome: Outcomes) -> bool:
        """Tell the first `count` results, in order; False as long as one of them is missing."""
        while self._told < count:
            number, result = self._told, outcome(self._told)
            if result is None:
                return False
            if result.value is not None and result.usable:
                self.study.tell(number, [result.value, *result.others])
            elif result.stopped:
                trial = self.study.get_trials(deepcopy=False)[number]
                for epoch, value in result.stopped:
                    self.study._storage.set_trial_intermediate_value(trial._trial_id, epoch, value)
                self.study.tell(number, state=TrialState.PRUNED)
            else:
                self.study.tell(number, state=TrialState.FAIL)
            self._told += 1
        return True

    def _reached(self, seen: int, outcome: Outcomes) -> bool:
        """Whether one of the first `seen` trials is as good as the budget's target asks for."""
        target, sign = self.spec.budget.target, self.spec.search.sign
        if target is None:
            return False
        values = (result.value for number in range(seen) if (result := outcome(number)) is not None)
        return any(value is not None and sign * value >= sign * target for value in values)

    # --- the phases -------------------------------------------------------------------------------------------------

    def _add(self, number: int, phase: Phase, overrides: Mapping[str, Any]) -> Plan:
        """Record a trial that Optuna did not suggest; it learns from it all the same."""
        plan = self._plan(number, phase, overrides)
        flat = self.spec.flat(overrides)
        params = {
            key: distributions.label(flat[key])
            for key, distribution in self._distributions.items()
            if self.spec.active(key, flat)
            and key in flat
            and distributions.holds(distribution, distributions.label(flat[key]))
        }
        self.study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions={key: self._distributions[key] for key in params},
                user_attrs={PLAN: asdict(plan)},
                system_attrs=SAMPLERS[self.spec.search.sampler].system_attributes(),
            )
        )
        return self._count(plan, new=True)

    def _suggest(self, number: int) -> Plan:
        self.study.sampler = sampler_for(self.spec.search.sampler, self.spec.search.seed, number)
        if self._torn is not None:  # a crash came between the question and the plan: the same answer is given again
            trial, self._torn = optuna.Trial(self.study, self._torn._trial_id), None
        else:
            trial = self.study.ask()
        assert trial.number == number
        overrides: dict[str, Any] = {}
        for key, parameter in self._parameters.items():
            if self.spec.active(key, self.spec.flat(overrides)):
                overrides[key] = distributions.ask(trial, key, parameter, self._distributions[key])
        plan = self._plan(number, "search", overrides)
        trial.set_user_attr(PLAN, asdict(plan))
        return self._count(plan, new=True)

    def _plan(self, number: int, phase: Phase, overrides: Mapping[str, Any]) -> Plan:
        """A configuration that was planned before gets further replicates, with new seeds, instead of a rerun."""
        try:
            config = self.spec.trial(overrides)
        except ConfigError as error:
            return Plan(number, phase, dict(overrides), problem=str(error).removeprefix("combination: "))
        digest = config_hash(config)
        done = self._replicates[digest]
        complete = {**overrides, "first_replicate": done} if done else dict(overrides)
        self._configs[number] = config.model_copy(update={"first_replicate": done}) if done else config
        return Plan(number, phase, complete, digest, config.replicates)

    def _count(self, plan: Plan, *, new: bool = False) -> Plan:
        if new:
            self.plans.append(plan)
        self._begun[plan.phase] += 1
        self._replicates[plan.config_hash] += plan.replicates
        return plan

    def _curve(self, by: str, seen: int, outcome: Outcomes) -> Curve:
        """Results of the first `seen` trials, and the places of all others."""
        results = [(plan, outcome(plan.number) if plan.number < seen else None) for plan in self.plans]
        return Curve(self.spec, by, results)

    def _winners(self, seen: int, outcome: Outcomes) -> list[dict[str, Any]]:
        """The best configuration of each level of `confirm.by`, to be trained again with fresh seeds."""
        confirm = self.spec.confirm
        if not confirm.replicates:
            return []
        best = self._curve(confirm.by, seen, outcome).best()
        return [{**each.overrides, "replicates": confirm.replicates} for each in best if each.ended]
