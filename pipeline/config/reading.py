"""A trial's configuration from YAML or a tree of values: parsed, overridden, flattened, hashed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.errors import ConfigError, explain
from pipeline.config.trial import TrialConfig

# --- reading, merging, naming ---------------------------------------------------------------------------------------


def parse(tree: Mapping[str, Any], source: str = "configuration") -> TrialConfig:
    """A tree of plain values -> TrialConfig.

    Raises:
        ConfigError: one line per problem: `source: key: rule, got value`.
    """
    try:
        return TrialConfig.model_validate(dict(tree))
    except ValidationError as error:
        raise ConfigError("\n".join(explain(error, source))) from None


def load(path: Path) -> TrialConfig:
    """Read one trial's YAML file."""
    return parse(read_yaml(path), str(path))


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, for which a key given twice is an error, as in YAML 1.2; pyyaml lets the last one win."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            line, name = key.start_mark.line + 1, (key.tag, key.value)
            if name in lines:
                raise yaml.YAMLError(f"key {key.value!r} must be given once, got it on lines {lines[name]} and {line}")
            lines[name] = line
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping, read with the safe loader; every failure is a ConfigError that names the file."""
    try:
        tree = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
        json.dumps(tree, default=str, skipkeys=True)  # an anchor that contains itself is a tree without an end
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark, said = getattr(error, "problem_mark", None), getattr(error, "problem", None) or error
        where = f"line {mark.line + 1}: " if mark else ""
        raise ConfigError(f"{path}: is not valid YAML: {where}{' '.join(str(said).split())}") from None
    if tree is None:
        return {}
    if not isinstance(tree, dict):
        raise ConfigError(f"{path}: must be a mapping of keys to values, got {type(tree).__name__}")
    return tree


def override(tree: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of `tree` with dotted keys set: `{"model.network.name": "cnn"}`.

    Setting a choice's `name` to another value drops the options of the choice it replaces; so names are set first.
    """
    merged: dict[str, Any] = json.loads(json.dumps(tree, default=str))  # YAML has dates, a configuration none
    for key, value in sorted(overrides.items(), key=lambda item: not item[0].endswith(".name")):
        *parents, leaf = key.split(".")
        node = merged
        for parent in parents:
            child = node.get(parent)
            node[parent] = node = child if isinstance(child, dict) else {}
        if leaf == "name" and node.get("name", value) != value and parents != ["data"]:
            node.clear()
        node[leaf] = value
    return merged


def flatten(config: BaseModel | Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted leaves, tuples as lists: `{"model.latent_dim": 8, ...}`."""
    tree = config.model_dump(mode="json") if isinstance(config, BaseModel) else config
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def config_hash(config: TrialConfig) -> str:
    """16 hexadecimal digits for the configuration without its seeds: equal hashes are replicates of one another."""
    tree = config.model_dump(mode="json", exclude={"seed", "replicates", "first_replicate"})
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:16]
