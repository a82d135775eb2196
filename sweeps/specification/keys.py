"""The dotted keys of a trial's configuration: which exist, what they accept, and which only exist beside a choice.

Read from `TrialConfig` itself, so that a new field can be swept the moment it is added.
"""

from __future__ import annotations

import difflib
import re
import types
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from pipeline.config import TrialConfig, spelled_out
from pipeline.config.errors import rule_and_value


@dataclass(frozen=True)
class Leaf:
    """One key: the values it accepts, and the choices it exists with (`{"objective.name": {"iwae"}}`)."""

    annotation: Any
    only_with: Mapping[str, frozenset[str]]

    @property
    def numbers(self) -> frozenset[type]:
        """Numeric types that the key accepts. Empty: no range allowed; int alone: no range of floats."""
        annotation = get_args(self.annotation)[0] if get_origin(self.annotation) is Annotated else self.annotation
        union = get_origin(annotation) in (Union, types.UnionType)
        return frozenset({int, float} & set(get_args(annotation) if union else [annotation]))

    def canonical(self, value: Any) -> Any:
        """The value as a configuration holds it (`"1e-3"` -> 0.001, tuples as lists).

        Raises:
            ValueError: the rule that the value breaks, and the value.
        """
        adapter: TypeAdapter[Any] = TypeAdapter(self.annotation, config=ConfigDict(allow_inf_nan=False))
        try:
            return adapter.dump_python(adapter.validate_python(spelled_out(value, self.annotation)), mode="json")
        except ValidationError as error:
            raise ValueError(rule_and_value(error.errors()[0])) from None


@cache
def leaves() -> dict[str, Leaf]:
    """Every dotted key of a trial's configuration."""
    leaves: dict[str, Leaf] = {}
    choices: dict[str, frozenset[str]] = {}
    for key, leaf in _walk(TrialConfig, "", {}, choices):
        before = leaves.get(key)
        leaves[key] = leaf if before is None else Leaf(before.annotation, _either(before.only_with, leaf.only_with))
    return {
        key: Leaf(leaf.annotation, {name: tags for name, tags in leaf.only_with.items() if tags != choices[name]})
        for key, leaf in leaves.items()
    }


def _walk(
    model: type[BaseModel], prefix: str, only_with: dict[str, frozenset[str]], choices: dict[str, frozenset[str]]
) -> Iterator[tuple[str, Leaf]]:
    for name, field in model.model_fields.items():
        key, annotation = f"{prefix}{name}", field.annotation
        if field.discriminator is not None:
            variants = {variant.model_fields["name"].default: variant for variant in get_args(annotation)}
            choices[f"{key}.name"] = frozenset(variants)
            yield f"{key}.name", Leaf(Literal[tuple(variants)], only_with)
            for tag, variant in variants.items():
                inner = _walk(variant, f"{key}.", {**only_with, f"{key}.name": frozenset({tag})}, choices)
                yield from (item for item in inner if item[0] != f"{key}.name")
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            yield from _walk(annotation, f"{key}.", only_with, choices)
        else:
            rules = Annotated[(annotation, *field.metadata)] if field.metadata else annotation
            yield key, Leaf(rules, only_with)


def _either(one: Mapping[str, frozenset[str]], other: Mapping[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {name: one[name] | other[name] for name in one.keys() & other.keys()}


def misspelt(flat: Mapping[str, Any]) -> list[str]:
    """Keys of a flattened configuration that are neither leaves nor sections."""
    existing = {key[: match.start()] for key in leaves() for match in re.finditer(r"\.|$", key)}
    return [f"{key}: {unknown(key)}, got {value!r}" for key, value in flat.items() if key not in existing]


def unknown(key: str, existing: Iterable[str] | None = None, kind: str = "key") -> str:
    """The rule that a misspelt key breaks, with the key that was probably meant."""
    names = list(leaves() if existing is None else existing)
    if inside := [name for name in names if name.startswith(f"{key}.")]:
        return f"is a section, not a {kind}: name one of {', '.join(inside)}"
    if near := _meant(key, names):
        return f"unknown {kind} (did you mean {near!r}?)"
    return f"unknown {kind}" + (f" (there are: {', '.join(names)})" if len(names) < 20 else "")


def _meant(key: str, names: list[str]) -> str | None:
    """A name of the same section if there is one that is alike, else the same or the closest name of another."""
    section, _, word = key.rpartition(".")
    siblings = {name.rpartition(".")[2]: name for name in names if name.rpartition(".")[0] == section}
    short_for = [name for name in names if len(word) > 1 and word == "".join(part[0] for part in _words(name))]
    for candidates in (
        [name for name in short_for if name in siblings.values()],
        [siblings[near] for near in difflib.get_close_matches(word, siblings, n=1, cutoff=0.6)],
        [name for name in names if name.rpartition(".")[2] == word],
        short_for,
        difflib.get_close_matches(key, names, n=1, cutoff=0.75),
        [name for name in names if difflib.get_close_matches(word, [name.rpartition(".")[2]], cutoff=0.75)],
    ):
        if candidates:
            return max(candidates, key=lambda name: difflib.SequenceMatcher(None, key, name).ratio())
    return None


def _words(key: str) -> list[str]:
    """`training.learning_rate` -> learning, rate."""
    return [word for word in key.rpartition(".")[2].split("_") if word]
