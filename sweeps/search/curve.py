"""The best configuration of each level of one key, over all replicates that it has: what confirmation trains again, and
what refinement looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sweeps.search.samplers import label
from sweeps.specification.spec import SweepSpec

if TYPE_CHECKING:
    from sweeps.search.plan import Outcome, Plan


@dataclass
class Configuration:
    """All trials of one configuration."""

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
    """`seen`: every trial that was planned, with its outcome where that may be looked at."""

    def __init__(self, spec: SweepSpec, by: str, seen: Sequence[tuple[Plan, Outcome | None]]) -> None:
        self.spec, self.by = spec, by
        self.configurations: dict[str, Configuration] = {}
        for plan, outcome in seen:
            if plan.phase != "confirm" and plan.problem is None:
                self._add(plan, outcome)

    def _add(self, plan: Plan, outcome: Outcome | None) -> None:
        overrides = {key: value for key, value in plan.overrides.items() if key != "first_replicate"}
        level = self.spec.flat(overrides)[self.by]
        mine = self.configurations.setdefault(plan.config_hash, Configuration(level, overrides))
        if outcome is None:
            mine.pending += plan.replicates
        elif outcome.usable and outcome.value is not None:
            mine.ended += plan.replicates
            mine.total += plan.replicates * outcome.value
            if outcome.standard_error is not None:
                mine.errors.append((plan.replicates, outcome.standard_error))
        else:
            mine.failed = True

    def best(self) -> list[Configuration]:
        """The best configuration of each level, levels in order; one without a result yet counts below all others."""
        sign, found = self.spec.search.sign, dict[Any, Configuration]()
        for mine in self.configurations.values():
            if mine.mean is None and not mine.pending:
                continue
            there = found.get(label(mine.level))
            if there is None or there.mean is None or (mine.mean is not None and sign * mine.mean > sign * there.mean):
                found[label(mine.level)] = mine
        return [found[level] for level in sorted(found, key=lambda level: (isinstance(level, str), level))]

    def widest(self) -> dict[str, Any] | None:
        """What to train next where the curve is least certain; None where the target is reached everywhere."""
        from sweeps.search import refine  # scikit-learn is slow to import

        best = self.best()
        scale = refine.pooled_scale([error for mine in best for error in mine.errors])
        if not any(mine.ended for mine in best) or scale is None:
            return None
        numeric = all(isinstance(mine.level, (int, float)) and not isinstance(mine.level, bool) for mine in best)
        places = [float(mine.level) for mine in best] if numeric else [float(index) for index in range(len(best))]
        levels = [refine.Level(at, mine.mean, mine.ended + mine.pending) for at, mine in zip(places, best)]
        found = refine.widest(levels, self._between(best) if numeric else None, scale)
        target = self.spec.refine.target_standard_error
        if target is not None and found.standard_error <= target:
            return None
        if found.at in places:
            return best[places.index(found.at)].overrides
        nearest = min((mine for mine in best if mine.ended), key=lambda mine: abs(mine.level - found.at))
        level = int(found.at) if isinstance(nearest.level, int) else found.at
        return {**nearest.overrides, self.by: level}

    def _between(self, best: list[Configuration]) -> list[float]:
        """Levels that may be added; none where a trial has failed already."""
        parameter = self.spec.space.get(self.by)
        ends = [mine.level for mine in best]
        if parameter is not None and parameter.choice is None:
            ends += list(parameter.ends)
        elif parameter is not None:
            return []  # the specification names the choices that there are
        from sweeps.search.refine import levels_between

        places = levels_between(min(ends), max(ends))
        failed = {mine.level for mine in self.configurations.values() if mine.failed}
        return [place for place in places if place not in failed]
