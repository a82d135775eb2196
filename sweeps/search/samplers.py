"""Between a specification and Optuna: samplers, distributions, and values as Optuna knows them."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from sweeps.specification.options import Parameter, SearchConfig

POPULATION = 16
"""Of NSGA-II: sweeps are of tens to hundreds of trials, and need several generations."""


def sampler_for(search: SearchConfig, number: int) -> optuna.samplers.BaseSampler:
    """A sampler whose draws depend on the seed and the trial's number alone."""
    seed = int(np.random.SeedSequence((search.seed, number)).generate_state(1)[0])
    samplers = optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        match search.sampler:
            case "tpe":
                return samplers.TPESampler(seed=seed, multivariate=True, group=True, constant_liar=True)
            case "gp":
                return samplers.GPSampler(seed=seed, warn_independent_sampling=False)
            case "qmc":
                # One low-discrepancy sequence for the whole sweep: its index, not its seed, goes on with the trials.
                independent = samplers.RandomSampler(seed=seed)
                return samplers.QMCSampler(
                    seed=search.seed,
                    scramble=True,
                    independent_sampler=independent,
                    warn_independent_sampling=False,
                    warn_asynchronous_seeding=False,
                )
            case "cmaes":
                return samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
            case "nsga2":
                return samplers.NSGAIISampler(seed=seed, population_size=POPULATION)
            case _:
                return samplers.RandomSampler(seed=seed)


def first_generation(search: SearchConfig) -> dict[str, int]:
    """System attributes that make a trial which Optuna did not suggest a parent of those that it will."""
    key: str = optuna.samplers.NSGAIISampler._get_generation_key()
    return {key: 0} if search.sampler == "nsga2" else {}


def distribution(parameter: Parameter) -> BaseDistribution:
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
    """Optuna's choices are plain values: a list goes in as JSON text."""
    return json.dumps(value) if isinstance(value, (list, tuple)) else value


def ask(trial: optuna.Trial, key: str, parameter: Parameter, known: BaseDistribution) -> Any:
    """The value that Optuna suggests for one key."""
    if isinstance(known, IntDistribution):
        return trial.suggest_int(key, known.low, known.high, step=known.step, log=known.log)
    if isinstance(known, FloatDistribution):
        return trial.suggest_float(key, known.low, known.high, step=known.step, log=known.log)
    choices = parameter.choice or ()
    suggested = trial.suggest_categorical(key, [label(value) for value in choices])
    return next(value for value in choices if label(value) == suggested)


def holds(known: BaseDistribution, value: Any) -> bool:
    """Whether a value could have been suggested."""
    try:
        return bool(known._contains(known.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False
