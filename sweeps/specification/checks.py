"""What a specification must satisfy beyond its own shape: keys, values, ranges and combinations of them."""

from __future__ import annotations

import graphlib
import itertools
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from pipeline.config import ConfigError, TrialConfig, flatten, override
from pipeline.config.errors import explain
from sweeps.specification.keys import leaves, misspelt, unknown
from sweeps.specification.metrics import BY_EPOCH, JUDGE, METRICS, VARIANCE
from sweeps.specification.options import Parameter
from sweeps.specification.samplers import SAMPLERS
from sweeps.specification.spec import SweepSpec

MAX_FACTORIAL = 5_000
MAX_CHECKED = 4_096
"""Combinations of a search space that are tried before the start; beyond, an invalid trial is recorded as failed."""
SET_BY_THE_SWEEP = "is set by the sweep itself"


def keys_and_values(spec: SweepSpec) -> tuple[SweepSpec, list[str]]:
    """Every key exists and accepts every value; gives back the values as a configuration holds them."""
    base, problems = _base(spec.base)
    factors: dict[str, tuple[Any, ...]] = {}
    for key, levels in spec.factors.items():
        of_key, factors[key] = _values("factors", key, levels)
        problems += of_key
    space: dict[str, Parameter] = {}
    for key, parameter in spec.space.items():
        of_key, space[key] = _parameter(key, parameter)
        problems += of_key
    complete = spec.model_copy(update={"base": base, "factors": factors, "space": space})
    return complete, problems or _design(complete)


def _base(base: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    given = flatten(base)
    problems = [f"base.{problem}" for problem in misspelt(given)]
    if given.get("first_replicate", 0) != 0:
        problems.append(f"base.first_replicate: {SET_BY_THE_SWEEP}, got {given['first_replicate']!r}")
    if problems:
        return dict(base), problems
    given = {key: value for key, value in given.items() if value != {}}
    merged = override(TrialConfig().model_dump(mode="json"), given)
    problems = [
        f"base.{key}: {wrong}, got {value!r}" for key, value in given.items() if (wrong := _without(key, merged))
    ]
    if problems:
        return merged, problems
    try:
        return TrialConfig.model_validate(merged).model_dump(mode="json"), []
    except ValidationError as error:
        # A rule that ties several keys together may be satisfied once the factors are set: `combinations` sees to it.
        lines = zip(error.errors(), explain(error, ""))
        return merged, [f"base.{line.removeprefix(': ')}" for finding, line in lines if finding["loc"]]


def _without(key: str, tree: Mapping[str, Any]) -> str | None:
    """What is said of a key that stands beside a choice it does not exist with."""
    flat = flatten(tree)
    for name, tags in leaves()[key].only_with.items() if key in leaves() else ():
        chosen = flat.get(name)
        if isinstance(chosen, str) and chosen not in tags:
            return f"exists only with {name} {' or '.join(map(repr, sorted(tags)))}, not with {chosen!r}"
    return None


def _values(section: str, key: str, values: tuple[Any, ...]) -> tuple[list[str], tuple[Any, ...]]:
    where = f"{section}.{key}"
    if key not in leaves():
        return [f"{where}: {unknown(key)}, got {list(values)!r}"], values
    if key == "first_replicate":
        return [f"{where}: {SET_BY_THE_SWEEP}, got {list(values)!r}"], values
    if not values:
        return [f"{where}: needs at least one value, got []"], values
    problems, canonical = [], list[Any]()
    for value in values:
        try:
            accepted = leaves()[key].canonical(value)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            continue
        if accepted in canonical:
            problems.append(f"{where}: values must be different, got {value!r} twice")
        canonical.append(accepted)
    return problems, tuple(canonical)


def _parameter(key: str, parameter: Parameter) -> tuple[list[str], Parameter]:
    problems, when = [], {}
    for name, values in parameter.when.items():
        wanted = tuple(values) if isinstance(values, (list, tuple)) else (values,)
        of_name, accepted = _values(f"space.{key}.when", name, wanted)
        if any(isinstance(value, list) for value in accepted):
            of_name.append(f"space.{key}.when.{name}: must be a key with single values, got {list(accepted)}")
        problems += of_name
        when[name] = list(accepted)
    parameter = parameter.model_copy(update={"when": when})
    if parameter.choice is not None:
        of_key, choice = _values("space", key, parameter.choice)
        return problems + of_key, parameter.model_copy(update={"choice": choice})
    return problems + _range(key, parameter), parameter


def _range(key: str, parameter: Parameter) -> list[str]:
    """What is wrong with a range."""
    if key in leaves() and not leaves()[key].numbers:
        return [f"space.{key}: takes no numbers, so no range: use choice, got {list(parameter.ends)}"]
    ends = parameter.ends if parameter.ends[0] != parameter.ends[1] else parameter.ends[:1]
    problems = _values("space", key, ends)[0]
    if not problems and parameter.float_range and float not in leaves()[key].numbers:
        return [f"space.{key}: takes whole numbers: use an int range, got float {list(parameter.ends)}"]
    return problems


def _design(spec: SweepSpec) -> list[str]:
    """The phases fit together; of several problems the first one."""
    if spec.space and not spec.search.trials:
        return ["search.trials: must be at least 1 when there is a space to search, got 0"]
    if not spec.space and spec.search.trials:
        return [f"space: must not be empty when search.trials asks for trials, got {spec.search.trials} trials"]
    if not spec.space and not spec.factors:
        return ["factors: nothing to run: give factors, or a space with search.trials, got neither"]
    return [*_search(spec)] or [*_stopping(spec), *_refine(spec), *_by(spec)]


def _search(spec: SweepSpec) -> Iterator[str]:
    search = spec.search
    sampler = SAMPLERS[search.sampler]
    if not sampler.installed:
        yield f"search.sampler: needs the package {sampler.package}, which is not installed, got {search.sampler!r}"
    if len(search.objectives) > 1 and not sampler.several_objectives:
        yield f"search.sampler: takes one objective, got {search.sampler!r} with {', '.join(search.objectives)}"
    if search.storage is not None:
        yield from _storage(search.storage)
    where = "search.objectives" if search.objectives else "search.metric"
    for name in search.modes:
        if name.startswith(JUDGE):
            yield f"{where}: must not choose by the split that judges the choice: use validation.*, got {name!r}"
        elif not name.startswith(VARIANCE) and name not in METRICS:
            yield f"{where}: {unknown(name, METRICS, 'metric')}, got {name!r}"


def _storage(url: str) -> Iterator[str]:
    """The specification is written to disk and to W&B: no secret may be in it, nor in what is said about it."""
    password = re.match(r"[^/]*//[^/@]*?:([^@]*)@", url)
    if password and not re.fullmatch(r"\$\{\w+\}", password.group(1)):
        yield "search.storage: must not hold a password: write ${NAME}, and it is read from the environment"
    elif not re.match(r"(sqlite|postgresql|mysql)(\+\w+)?://", url):
        yield f"search.storage: must be a sqlite://, postgresql:// or mysql:// URL, got {url!r}"


def _stopping(spec: SweepSpec) -> Iterator[str]:
    if not spec.stopping.min_epochs:
        return
    if len(spec.search.modes) > 1:
        yield f"stopping.min_epochs: needs a single objective, got {', '.join(spec.search.modes)}"
    elif not spec.search.metric.startswith(BY_EPOCH):
        yield f"stopping.min_epochs: needs a search.metric that every epoch has, got {spec.search.metric!r}"
    if not spec.search.trials:
        yield f"stopping.min_epochs: only suggested trials are stopped early, got {spec.search.trials} of them"
    parameter = spec.space.get("training.epochs")
    base = spec.base.get("training", {}).get("epochs", math.inf)
    longest = max(spec.factors.get("training.epochs", parameter.ends if parameter else (base,)))
    if spec.stopping.min_epochs >= longest:
        yield f"stopping.min_epochs: must be below training.epochs ({longest}), got {spec.stopping.min_epochs}"


def _refine(spec: SweepSpec) -> Iterator[str]:
    refine, budget = spec.refine, spec.budget
    if refine.trials == 0:
        if refine.target_standard_error is not None:
            yield "refine.trials: must be at least 1, or null for as many as it takes, when there is a target, got 0"
        return
    if refine.trials is None and not (budget.trials or budget.hours or refine.target_standard_error):
        yield "refine.trials: null needs refine.target_standard_error, budget.trials or budget.hours, got none of them"
    if "replicates" not in spec.factors.keys() | spec.space.keys() and spec.base.get("replicates", 1) < 2:
        yield "refine.trials: an error bar needs replicates of at least 2, got 1"


def _by(spec: SweepSpec) -> Iterator[str]:
    """Keys that a phase works along are varied."""
    for name, by, on in (
        ("refine", spec.refine.by, spec.refine.trials != 0),
        ("confirm", spec.confirm.by, bool(spec.confirm.replicates)),
    ):
        if by not in leaves():
            yield f"{name}.by: {unknown(by)}, got {by!r}"
        elif on and by not in spec.factors.keys() | spec.space.keys():
            yield f"{name}.by: must be a key of factors or space, got {by!r}"


# --- combinations ---------------------------------------------------------------------------------------------------


def combinations(spec: SweepSpec) -> tuple[SweepSpec, list[str]]:
    """Conditions can hold, the factorial part is of a size that can be run, and no combination is invalid."""
    size = math.prod(len(levels) for levels in spec.factors.values())
    if size > MAX_FACTORIAL:
        return spec, [f"factors: at most {MAX_FACTORIAL} combinations, got {size}"]
    try:
        parameters = spec.parameters()
    except graphlib.CycleError as error:
        return spec, [f"space: `when` conditions go round in a circle, got {' -> '.join(error.args[1])}"]
    problems = [problem for key in parameters for problem in _never(spec, key, parameters)]
    if problems:
        return spec, problems
    levels = dict(spec.factors)
    problems = _invalid(spec, "factors", assignments(spec, levels)) if levels else []
    if spec.space and not problems:
        problems = _invalid(spec, "space", assignments(spec, _ends(parameters)))
    return spec, problems


def assignments(spec: SweepSpec, levels: Mapping[str, tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """Every different combination of the levels; a key that does not exist beside the others is left out."""
    seen: set[str] = set()
    keys = [key for key in spec.parameters() if key in levels]
    for values in itertools.product(*(levels[key] for key in keys)):
        chosen: dict[str, Any] = {}
        for key, value in zip(keys, values):
            if spec.active(key, spec.flat(chosen)):
                chosen[key] = value
        if repr(chosen) not in seen:
            seen.add(repr(chosen))
            yield chosen


def _ends(parameters: Mapping[str, Parameter]) -> dict[str, tuple[Any, ...]]:
    """Levels to try: all choices and both ends of ranges, thinned out until they can be tried in about a second."""
    levels = {key: parameter.ends for key, parameter in parameters.items()}
    ranges = [key for key, parameter in parameters.items() if parameter.choice is None]
    for key in [*ranges, *sorted(levels, key=lambda name: -len(levels[name]))]:
        if math.prod(len(values) for values in levels.values()) <= MAX_CHECKED:
            break
        levels[key] = levels[key][:1]
    return levels


def _never(spec: SweepSpec, key: str, parameters: Mapping[str, Parameter]) -> Iterator[str]:
    """A key whose condition cannot hold anywhere in this specification."""
    section = "space" if key in spec.space else "factors"
    base = spec.flat({})
    for name, allowed in spec.conditions(key).items():
        possible: set[Any] = {base.get(name)}
        ranged = False
        if name in parameters:
            ranged = parameters[name].choice is None
            possible = {value for value in parameters[name].ends if not isinstance(value, list)}
        if not ranged and not possible & allowed:
            wanted = " or ".join(repr(value) for value in sorted(allowed, key=str)) or "no value at all"
            got = ", ".join(repr(value) for value in sorted(possible, key=str))
            yield f"{section}.{key}: exists only with {name} {wanted}, got {got}"


def _invalid(spec: SweepSpec, section: str, chosen: Iterator[dict[str, Any]]) -> list[str]:
    problems: dict[str, list[dict[str, Any]]] = {}
    total = 0
    for overrides in chosen:
        total += 1
        try:
            spec.trial(overrides)
        except ConfigError as error:
            for line in str(error).splitlines():
                problems.setdefault(line.removeprefix("combination: "), []).append(overrides)
    hint = "; restrict a key with `when`" if section == "space" else ""
    return [
        f"{section}: {len(where)} of {total} combinations are invalid: {rule}{hint}" for rule, where in problems.items()
    ]
