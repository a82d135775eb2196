"""One YAML file describes one sweep. It is validated completely before anything starts.

`base` is the configuration that all trials share; `factors` are crossed in full; `space` is searched by Optuna.
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError

from pipeline.config import ConfigError, Frozen, TrialConfig, flatten, override, read_yaml
from pipeline.config import parse as parse_trial
from pipeline.config.errors import explain
from sweeps.keys import leaves, unknown
from sweeps.options import (
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
SHIPPED = Path(__file__).parent / "specs"


class SweepSpec(Frozen):
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
        return flatten(override(self.base, overrides))

    def parameters(self) -> dict[str, Parameter]:
        """What the search suggests, conditions first: the space, and each factor as a choice of its levels."""
        known = {key: Parameter(choice=levels) for key, levels in self.factors.items()} | self.space
        graph = {key: [name for name in self.conditions(key) if name in known] for key in known}
        return {key: known[key] for key in graphlib.TopologicalSorter(graph).static_order()}

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


# --- reading --------------------------------------------------------------------------------------------------------


def find(spec: str) -> Path:
    """A path, or the name of a specification that is shipped."""
    path = Path(spec)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(SHIPPED.glob("*.yaml"))}
    if spec not in shipped:
        raise ConfigError(f"{spec}: must be a YAML file or one of {', '.join(shipped)}, got {spec!r}")
    return shipped[spec]


def load(path: Path) -> SweepSpec:
    return parse(read_yaml(path), str(path))


def parse(tree: Mapping[str, Any], source: str = "specification") -> SweepSpec:
    """A tree of plain values -> a specification that has been checked completely.

    Raises:
        ConfigError: one line per problem: `source: key: rule, got value`.
    """
    from sweeps.checks import combinations, keys_and_values

    if not tree:
        raise ConfigError(f"{source}: is empty: must have a name, and factors or a space")
    problems = _misplaced(tree)
    if problems:
        raise ConfigError("\n".join(f"{source}: {problem}" for problem in problems))
    try:
        spec = SweepSpec.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError("\n".join(explain(error, source))) from None
    for check in (keys_and_values, combinations):
        spec, problems = check(spec)
        if problems:
            raise ConfigError("\n".join(f"{source}: {problem}" for problem in problems))
    return spec


def _misplaced(tree: Mapping[str, Any]) -> list[str]:
    """Unknown keys of the specification itself, with the key that was probably meant."""
    known = SweepSpec.model_fields
    problems = [f"{key}: {unknown(str(key), known)}, got {value!r}" for key, value in tree.items() if key not in known]
    sections: dict[str, type[Frozen]] = {
        "search": SearchConfig,
        "stopping": StoppingConfig,
        "refine": RefineConfig,
        "confirm": ConfirmConfig,
        "budget": Budget,
        "limits": Limits,
        "resources": Resources,
        "tracking": TrackingConfig,
    }
    for section, model in sections.items():
        inner = tree.get(section)
        for key, value in inner.items() if isinstance(inner, Mapping) else ():
            if key not in model.model_fields:
                problems.append(f"{section}.{key}: {unknown(str(key), model.model_fields)}, got {value!r}")
    problems += [
        f"{section}.{key}: {unknown(str(key))}, got {value!r}"
        for section in ("factors", "space")
        if isinstance(inner := tree.get(section), Mapping)
        for key, value in inner.items()
        if key not in leaves()
    ]
    return problems or _parameters(tree.get("space")) or _resources(tree.get("resources", "auto"))


def _parameters(space: Any) -> list[str]:
    """Unknown words of the ranges and choices."""
    known = [field.alias or name for name, field in Parameter.model_fields.items()]
    return [
        f"space.{key}.{name}: {unknown(str(name), known)}, got {value!r}"
        for key, given in (space.items() if isinstance(space, Mapping) else ())
        for name, value in (given.items() if isinstance(given, Mapping) else ())
        if name not in known
    ]


def _resources(given: Any) -> list[str]:
    """Checked by itself: pydantic would speak of both members of the union."""
    if given == "auto":
        return []
    if not isinstance(given, Mapping):
        return [f"resources: must be auto, or a mapping of workers, cpus and gpus, got {given!r}"]
    try:
        Resources.model_validate(dict(given))
    except ValidationError as error:
        return [f"resources.{line.removeprefix(': ')}" for line in explain(error, "")]
    return []
