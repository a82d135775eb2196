"""One YAML file describes one sweep. It is validated completely before anything starts.

`base` is the configuration that all trials share; `factors` are crossed in full; `space` is searched by Optuna.
"""

from __future__ import annotations

import graphlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline.config import ConfigError, Frozen, TrialConfig, explain, flatten, override, read_yaml
from pipeline.config import parse as parse_trial
from sweeps.keys import leaves, unknown

NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
SHIPPED = Path(__file__).parent / "specs"


class Parameter(Frozen):
    """Where one key may lie: `{int: [2, 64], log: true}`, `{float: [1e-4, 1e-2]}` or `{choice: [a, b]}`."""

    int_range: tuple[int, int] | None = Field(None, alias="int")
    float_range: tuple[float, float] | None = Field(None, alias="float")
    choice: tuple[Any, ...] | None = Field(None, min_length=1)
    log: bool = False
    step: float | None = Field(None, gt=0)
    when: dict[str, Any] = Field(default_factory=dict)
    """Searched only where these keys have these values (one, or a list of them); elsewhere `base` holds."""

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        kinds = [name for name, value in self._kinds().items() if value is not None]
        if len(kinds) != 1:
            raise ValueError(f"needs exactly one of int, float, choice, got {', '.join(kinds) or 'none'}")
        if self.choice is not None and (self.log or self.step is not None):
            raise ValueError("log and step go with int or float, got choice")
        if self.log and self.step is not None:
            raise ValueError(f"step and log exclude each other, got step {self.step:g} and log true")
        if self.int_range and self.step is not None and self.step != int(self.step):
            raise ValueError(f"step of an int range must be a whole number, got {self.step:g}")
        low, high = self.int_range or self.float_range or (1, 1)
        if low > high:
            raise ValueError(f"the range is empty: its low end must not exceed its high end, got [{low}, {high}]")
        if self.log and low <= 0:
            raise ValueError(f"log needs a range above 0, got [{low}, {high}]")
        return self

    def _kinds(self) -> dict[str, Any]:
        return {"int": self.int_range, "float": self.float_range, "choice": self.choice}

    @property
    def ends(self) -> tuple[Any, ...]:
        """All choices, or the two ends of the range."""
        return self.choice if self.choice is not None else (self.int_range or self.float_range or ())

    def written(self) -> dict[str, Any]:
        """As in the YAML file."""
        tree = {name: list(value) for name, value in self._kinds().items() if value is not None}
        optional = {"log": self.log, "step": self.step, "when": self.when}
        return tree | {name: value for name, value in optional.items() if value}


class SearchConfig(Frozen):
    sampler: Literal["tpe", "gp", "random", "qmc", "cmaes"] = "tpe"
    trials: int = Field(0, ge=0, le=100_000)
    """Suggested trials, after the factorial ones."""
    window: int = Field(8, ge=1, le=1024)
    """Trial i is suggested from exactly the results up to trial i - window: the most workers that change nothing."""
    metric: str = "validation.elbo"
    mode: Literal["max", "min"] = "max"
    seed: int = Field(0, ge=0, lt=2**31)


class ConfirmConfig(Frozen):
    """Train the best configuration of each level of `by` again, with fresh seeds: free of the winner's curse."""

    by: str = "model.latent_dim"
    replicates: int = Field(0, ge=0, le=10_000)
    """0 switches the phase off."""


class Resources(Frozen):
    workers: int = Field(1, ge=1, le=4096)
    """Trials that run at the same time."""
    cpus: int = Field(1, ge=1, le=1024)
    """Cores, and torch threads, of each."""
    gpus: float = Field(0, ge=0, le=64)
    """GPUs of each; 0.25 packs four trials on one."""

    @field_validator("gpus")
    @classmethod
    def _whole_above_one(cls, value: float) -> float:
        if value > 1 and value != int(value):
            raise ValueError(f"must be a whole number above 1, got {value:g}")
        return value


class TrackingConfig(Frozen):
    wandb: Literal["offline", "online", "disabled"] = "offline"
    project: str = Field("elbosweep", min_length=1)
    entity: str | None = None
    tags: tuple[str, ...] = ()
    artifacts: Literal["off", "best", "all"] = "off"
    """Checkpoints that travel with a run."""


class SweepSpec(Frozen):
    name: str = Field(pattern=NAME_PATTERN)
    description: str = ""
    base: dict[str, Any] = Field(default_factory=dict)
    """Complete after `parse`: every key of the trial that is neither a factor nor in the space."""
    factors: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    space: dict[str, Parameter] = Field(default_factory=dict)
    search: SearchConfig = SearchConfig()
    confirm: ConfirmConfig = ConfirmConfig()
    resources: Literal["auto"] | Resources = "auto"
    tracking: TrackingConfig = TrackingConfig()
    retries: int = Field(1, ge=0, le=100)
    """How often a trial whose worker died or raised is started again, from its last checkpoint."""

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
        "confirm": ConfirmConfig,
        "resources": Resources,
        "tracking": TrackingConfig,
    }
    for section, model in sections.items():
        inner = tree.get(section)
        for key, value in inner.items() if isinstance(inner, Mapping) else ():
            if key not in model.model_fields:
                problems.append(f"{section}.{key}: {unknown(str(key), model.model_fields)}, got {value!r}")
    return problems or _resources(tree.get("resources", "auto"))


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
