"""A specification from its name, its file or a tree of values, checked completely."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pipeline.config import ConfigError, Frozen, read_yaml
from pipeline.config.errors import explain
from sweeps.specification.keys import leaves, unknown
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
from sweeps.specification.spec import SweepSpec

SHIPPED = Path(__file__).parents[1] / "specs"


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
    """A specification from its file, checked completely."""
    return parse(read_yaml(path), str(path))


def parse(tree: Mapping[str, Any], source: str = "specification") -> SweepSpec:
    """A tree of plain values -> a specification that has been checked completely.

    Raises:
        ConfigError: one line per problem: `source: key: rule, got value`.
    """
    from sweeps.specification.checks import combinations, keys_and_values

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
    keys = SweepSpec.model_fields
    problems = [f"{key}: {unknown(str(key), keys)}, got {value!r}" for key, value in tree.items() if key not in keys]
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
    words = [field.alias or name for name, field in Parameter.model_fields.items()]
    return [
        f"space.{key}.{name}: {unknown(str(name), words)}, got {value!r}"
        for key, given in (space.items() if isinstance(space, Mapping) else ())
        for name, value in (given.items() if isinstance(given, Mapping) else ())
        if name not in words
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
