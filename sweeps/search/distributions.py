"""Parameters of a specification as Optuna's distributions, and their values as Optuna knows them."""

from __future__ import annotations

import json
import math
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sweeps.specification.options import Parameter


def distribution(parameter: Parameter) -> BaseDistribution:
    """The distribution that Optuna suggests a parameter's values from."""
    if parameter.int_range is not None:
        low, high = parameter.int_range
        step = int(parameter.step or 1)
        return IntDistribution(low, low + (high - low) // step * step, log=parameter.log, step=step)
    if parameter.float_range is not None:
        low_end, high_end = parameter.float_range
        if parameter.step is not None:
            high_end = low_end + math.floor((high_end - low_end) / parameter.step + 1e-9) * parameter.step
        return FloatDistribution(low_end, high_end, log=parameter.log, step=parameter.step)
    return CategoricalDistribution([label(value) for value in parameter.choice or ()])


def label(value: Any) -> Any:
    """A value as one of Optuna's choices, which are plain: a list goes in as JSON text."""
    return json.dumps(value) if isinstance(value, (list, tuple)) else value


def ask(trial: optuna.Trial, key: str, parameter: Parameter, values: BaseDistribution) -> Any:
    """The value that Optuna suggests for one key, out of its distribution `values`."""
    if isinstance(values, IntDistribution):
        return trial.suggest_int(key, values.low, values.high, step=values.step, log=values.log)
    if isinstance(values, FloatDistribution):
        return trial.suggest_float(key, values.low, values.high, step=values.step, log=values.log)
    choices = parameter.choice or ()
    suggested = trial.suggest_categorical(key, [label(value) for value in choices])
    return next(value for value in choices if label(value) == suggested)


def holds(values: BaseDistribution, value: Any) -> bool:
    """Whether a value could have been suggested."""
    try:
        return bool(values._contains(values.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False
