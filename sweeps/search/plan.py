"""What one trial will do (Plan) and how it ended (Outcome), as the search sees them; needs no Optuna."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Phase = Literal["factorial", "search", "refine", "confirm"]
PHASES: tuple[Phase, ...] = get_args(Phase)
PLAN = "plan"
"""User attribute of an Optuna trial that holds its Plan. Written last: a trial without it was interrupted between
Optuna's suggestion and our plan."""


@dataclass(frozen=True)
class Plan:
    """One trial as it was decided: its number and phase, and what it sets over the base configuration."""

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
    standard_error: float | None = None
    others: tuple[float, ...] = ()
    """Further objectives, in the specification's order."""
    stopped: tuple[tuple[int, float], ...] = ()
    """Epochs at which early stopping looked at the trial that it ended, and the metric then."""

    @property
    def usable(self) -> bool:
        """Whether the value may be compared with those of other trials."""
        return self.status == "finished" and self.value is not None and math.isfinite(self.value)


Outcomes = Callable[[int], Outcome | None]
"""Gives the outcome of a trial by its number; None while it runs."""
