"""The best configuration of each level of one key, over all replicates that it has: what confirmation trains again, and
what refinement looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweeps.search.distributions import label
from sweeps.specification.spec import SweepSpec

if TYPE_CHECKING:
    from sweeps.search.plan import Outcome, Plan


@dataclass
class Configuration:
    """What is known of one configuration from all of its trials."""

    level: Any
    overrides: dict[str, Any]
    ended: int = 0
    """Replicates of finished trials."""
    total: float = 0.0
    """Sum of the metric over them."""
    pending: int = 0
    failed: bool = False
    errors: list[tuple[int, float]] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        return self.total / self.ended if self.ended else None


class Curve:
    """The configurations of a sweep by the level of one key, with their results."""

    def __init__(self, spec: SweepSpec, by: str, seen: Sequence[tuple[Plan, Outcome | None]]) -> None:
        """`seen`: every trial that was planned, with its outcome where that may be looked at."""
        self.spec, self.by = spec, by
        self.configurations: dict[str, Configuration] = {}
        for plan, outcome in seen:
            if plan.phase != "confirm" and plan.problem is None:
                self._add(plan, outcome)

    def _add(self, plan: Plan, outcome: Outcome | None) -> None:
        overrides = {key: value for key, value in plan.overrides.items() if key != "first_replicate"}
        level = self.spec.flat(overrides)[self.by]
        configuration = self.configurations.setdefault(plan.config_hash, Configuration(level, overrides))
        if outcome is None:
            configuration.pending += plan.replicates
        elif outcome.usable and outcome.value is not None:
            configuration.ended += plan.replicates
            configuration.total += plan.replicates * outcome.value
            if outcome.standard_error is not None:
                configuration.errors.append((plan.replicates, outcome.standard_error))
        else:
            configuration.failed = True

    def best(self) -> list[Configuration]:
        """The best configuration of each level, levels in order; one without a result yet counts below all others."""
        best = dict[Any, Configuration]()
        for configuration in self.configurations.values():
            if configuration.mean is None and not configuration.pending:
                continue
            level = label(configuration.level)
            if level not in best or self._better(configuration, best[level]):
                best[level] = configuration
        return [best[level] for level in sorted(best, key=lambda level: (isinstance(level, str), level))]

    def _better(self, one: Configuration, other: Configuration) -> bool:
        """Whether `one` takes the place of `other`, which came first; any does where `other` has no result yet."""
        if one.mean is None or other.mean is None:
            return other.mean is None
        return self.spec.search.sign * one.mean > self.spec.search.sign * other.mean

    def widest(self) -> dict[str, Any] | None:
        """What to train next where the curve is least certain; None where the target is reached everywhere."""
        from sweeps.search import refine  # scikit-learn is slow to import

        best = self.best()
        scale = refine.pooled_scale([error for configuration in best for error in configuration.errors])
        if not any(configuration.ended for configuration in best) or scale is None:
            return None
        own = [configuration.level for configuration in best]
        numeric = all(isinstance(level, (int, float)) and not isinstance(level, bool) for level in own)
        places = [float(level) for level in own] if numeric else [float(index) for index in range(len(own))]
        levels = [refine.Level(at, each.mean, each.ended + each.pending) for at, each in zip(places, best)]
        widest = refine.widest(levels, self._between(best) if numeric else None, scale)
        target = self.spec.refine.target_standard_error
        if target is not None and widest.standard_error <= target:
            return None
        if widest.at in places:
            return best[places.index(widest.at)].overrides
        nearest = min((each for each in best if each.ended), key=lambda each: abs(each.level - widest.at))
        level = int(widest.at) if isinstance(nearest.level, int) else widest.at
        return {**nearest.overrides, self.by: level}

    def _between(self, best: list[Configuration]) -> list[float]:
        """Levels that may be added; none where a trial has failed already."""
        parameter = self.spec.space.get(self.by)
        ends = [configuration.level for configuration in best]
        if parameter is not None and parameter.choice is None:
            ends += list(parameter.ends)
        elif parameter is not None:
            return []  # the specification names the choices that there are
        from sweeps.search.refine import levels_between

        places = levels_between(min(ends), max(ends))
        failed = {each.level for each in self.configurations.values() if each.failed}
        return [place for place in places if place not in failed]
