"""The samplers that `search.sampler` chooses from: one class each, which says what it can and makes Optuna's.

A new sampler is a class here and a line in SAMPLERS; the specification's choices and rules follow from it, and
tests/sweeps/specification/test_samplers.py runs over every registered one. Optuna is imported when a sampler is made:
the specification is read without it.
"""

from __future__ import annotations

import importlib.util
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

POPULATION = 16
"""Of NSGA-II: sweeps are of tens to hundreds of trials, and need several generations."""


class Sampler(ABC):
    """A kind of sampler. One is made for each trial, and its draws depend on its two seeds and the study alone."""

    several_objectives: ClassVar[bool] = True
    """Whether it can search for the best trade-offs between several metrics."""
    package: ClassVar[str | None] = None
    """What it needs beside Optuna itself."""
    pickles: ClassVar[bool] = False
    """Whether it keeps its state in the study as a pickle, which could run anything: only one's own study is opened."""

    @abstractmethod
    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        """Optuna's sampler for one trial.

        Args:
            seed: `search.seed`, the same for all trials of a sweep.
            trial_seed: depends on the seed and the trial's number.
        """

    def system_attributes(self) -> dict[str, int]:
        """What makes the sampler learn from a trial that Optuna did not suggest."""
        return {}

    @property
    def installed(self) -> bool:
        """Whether the package that it needs is there."""
        return self.package is None or importlib.util.find_spec(self.package) is not None


class Tpe(Sampler):
    """Tree-structured Parzen estimator (Bergstra et al. 2011), over all keys of a branch at once."""

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        from optuna.samplers import TPESampler

        return TPESampler(seed=trial_seed, multivariate=True, group=True, constant_liar=True)


class Gp(Sampler):
    """Gaussian process with expected improvement; keys that exist in some trials only are drawn at random."""

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        from optuna.samplers import GPSampler

        return GPSampler(seed=trial_seed, warn_independent_sampling=False)


class Random(Sampler):
    """Independent draws."""

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        from optuna.samplers import RandomSampler

        return RandomSampler(seed=trial_seed)


class Qmc(Sampler):
    """One low-discrepancy sequence for the whole sweep: its index, not its seed, goes on with the trials."""

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        from optuna.samplers import QMCSampler, RandomSampler

        return QMCSampler(
            seed=seed,
            scramble=True,
            independent_sampler=RandomSampler(seed=trial_seed),
            warn_independent_sampling=False,
            warn_asynchronous_seeding=False,
        )


class CmaEs(Sampler):
    """Covariance matrix adaptation (Hansen 2016); keys that exist in some trials only are drawn at random."""

    several_objectives = False
    package = "cmaes"
    pickles = True

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        from optuna.samplers import CmaEsSampler

        return CmaEsSampler(seed=trial_seed, warn_independent_sampling=False)


class Nsga2(Sampler):
    """Non-dominated sorting genetic algorithm (Deb et al. 2002); the factorial trials are its first generation."""

    def make(self, seed: int, trial_seed: int) -> BaseSampler:
        from optuna.samplers import NSGAIISampler

        return NSGAIISampler(seed=trial_seed, population_size=POPULATION)

    def system_attributes(self) -> dict[str, int]:
        from optuna.samplers import NSGAIISampler

        return {NSGAIISampler._get_generation_key(): 0}


SAMPLERS: Mapping[str, Sampler] = {
    "tpe": Tpe(),
    "gp": Gp(),
    "random": Random(),
    "qmc": Qmc(),
    "cmaes": CmaEs(),
    "nsga2": Nsga2(),
}
"""Every sampler, by its name in `search.sampler`."""


def sampler_for(name: str, seed: int, number: int) -> BaseSampler:
    """Optuna's sampler for the trial of a number: its draws depend on the seed and the number alone."""
    import numpy as np
    from optuna.exceptions import ExperimentalWarning

    trial_seed = int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return SAMPLERS[name].make(seed, trial_seed)
