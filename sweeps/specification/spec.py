"""One YAML file describes one sweep. It is validated completely before anything starts.

`base` is the configuration that all trials share; `factors` are crossed in full; `space` is searched by Optuna.
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from typing import Any, Literal

import yaml
from pydantic import Field

from pipeline.config import Frozen, TrialConfig, flatten, override
from pipeline.config import parse as parse_trial
from sweeps.specification.keys import leaves
from sweeps.specification.options import (
    Budget,
    ConfirmConfig,
    Limits,
    Parameter,
    RefineConfig,
    Resources,
    SearchConfig,
    StoppingConfig,
    TrackingConfig,
)

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"


class SweepSpec(Frozen):
    """One specification: what a sweep is called, what it trains, and how."""

    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    base: dict[str, Any] = Field(default_factory=dict)
    """Complete after `parse`: every key of the trial that is neither a factor nor in the space."""
    factors: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    space: dict[str, Parameter] = Field(default_factory=dict)
    search: SearchConfig = SearchConfig()
    stopping: StoppingConfig = StoppingConfig()
    refine: RefineConfig = RefineConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    budget: Budget = Budget()
    resources: Literal["auto"] | Resources = "auto"
    tracking: TrackingConfig = TrackingConfig()
    retries: int = Field(1, ge=0, le=100)
    """How often a trial whose worker died or raised is started again, from its last checkpoint."""
    limits: Limits = Limits()
    storage: str | None = None
    """Where trials live when no disk is shared with the workers: s3://bucket/path, gs://bucket/path, a path."""

    def trial(self, overrides: Mapping[str, Any]) -> TrialConfig:
        """The configuration of a trial. Raises ConfigError where the combination is invalid."""
        return parse_trial(override(self.base, overrides), "combination")

    def flat(self, overrides: Mapping[str, Any]) -> dict[str, Any]:
        """The configuration of a trial by its dotted keys, not checked."""
        return flatten(override(self.base, overrides))

    def parameters(self) -> dict[str, Parameter]:
        """What the search suggests, conditions first: the space, and each factor as a choice of its levels."""
        varied = {key: Parameter(choice=levels) for key, levels in self.factors.items()} | self.space
        graph = {key: [name for name in self.conditions(key) if name in varied] for key in varied}
        return {key: varied[key] for key in graphlib.TopologicalSorter(graph).static_order()}

    def conditions(self, key: str) -> dict[str, frozenset[Any]]:
        """Keys whose value decides whether `key` exists, with the values that let it: choices and `when` together."""
        allowed: dict[str, frozenset[Any]] = dict(leaves()[key].only_with)
        for name, values in (self.space[key].when if key in self.space else {}).items():
            wanted = frozenset(values if isinstance(values, (list, tuple)) else [values])
            allowed[name] = allowed.get(name, wanted) & wanted
        return allowed

    def active(self, key: str, flat: Mapping[str, Any]) -> bool:
        """Whether `key` is set at all in a configuration that otherwise reads `flat`."""
        return all(flat.get(name) in allowed for name, allowed in self.conditions(key).items())

    def written(self) -> str:
        """The resolved specification as YAML; parsing it gives the same sweep."""
        tree = self.model_dump(mode="json", exclude={"space"})
        tree["space"] = {key: parameter.written() for key, parameter in self.space.items()}
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
