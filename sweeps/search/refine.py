"""Where is the curve least certain? A Gaussian process over the levels, with the replicates' own errors as its noise.

The answer is a level that is known (it gets more replicates) or one between two that are (it gets its first), whichever
the curve's standard error is larger at: both kinds of ignorance are weighed on one scale (Rasmussen & Williams 2006,
eq. 2.26). The decision depends on its arguments alone.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

MOST_CANDIDATES = 200
FEWEST_LEVELS = 3
"""Below, a curve through the levels would be guesswork: the level with the largest error is refined."""


@dataclass(frozen=True)
class Level:
    """What is known at one level of the curve."""

    at: float
    mean: float | None
    """Mean over replicates; None where none is finished yet."""
    replicates: int
    """Finished ones and those that are under way."""


@dataclass(frozen=True)
class Widest:
    at: float
    standard_error: float
    """Of the curve there, in the metric's units."""


def widest(levels: Sequence[Level], between: Sequence[float] | None, scale: float) -> Widest:
    """The place where the curve's standard error is largest.

    Args:
        levels: at least one with a mean.
        between: further places where the curve may be evaluated; None where the levels have no order.
        scale: standard deviation of a single replicate, pooled over the levels.
    """
    known = [level for level in levels if level.mean is not None]
    if between is None or len(known) < FEWEST_LEVELS:
        worst = min(levels, key=lambda level: (level.replicates, level.at))
        return Widest(worst.at, scale / math.sqrt(worst.replicates))
    logarithmic = min(level.at for level in levels) > 0
    means = np.array([level.mean for level in known], dtype=float)
    unit = float(means.std()) or 1.0
    noise = (scale / unit) ** 2
    process = _process(
        _axis([level.at for level in known], logarithmic),
        (means - means.mean()) / unit,
        np.array([noise / level.replicates for level in known]),
    )
    # What is under way narrows the interval already: its value is not needed for that, only its place.
    every = GaussianProcessRegressor(
        kernel=process.kernel_, alpha=np.array([noise / level.replicates for level in levels]) + 1e-10, optimizer=None
    )
    every.fit(_axis([level.at for level in levels], logarithmic), np.zeros(len(levels)))
    places = sorted({level.at for level in levels} | set(between))
    _, deviation = every.predict(_axis(places, logarithmic), return_std=True)
    index = int(np.argmax(deviation))
    return Widest(places[index], float(deviation[index]) * unit)


def _axis(places: Sequence[float], logarithmic: bool) -> np.ndarray:
    values = np.asarray(places, dtype=float).reshape(-1, 1)
    return np.log2(values) if logarithmic else values


def _process(places: np.ndarray, values: np.ndarray, noise: np.ndarray) -> GaussianProcessRegressor:
    span = float(np.ptp(places)) or 1.0
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * Matern(span / 2, (span / 20, span * 10), nu=2.5)

    process = GaussianProcessRegressor(kernel=kernel, alpha=noise + 1e-10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return process.fit(places, values)


def pooled_scale(groups: Sequence[tuple[int, float]]) -> float | None:
    """Standard deviation of one replicate from (replicates, standard error) of trials; None if none has two."""
    freedom = sum(count - 1 for count, _ in groups)
    if not freedom:
        return None
    return math.sqrt(sum((count - 1) * count * error**2 for count, error in groups) / freedom)


def levels_between(low: float, high: float) -> list[float]:
    """Places to consider from `low` to `high`: all whole numbers where both are, at most MOST_CANDIDATES of them."""
    if isinstance(low, int) and isinstance(high, int) and high - low < MOST_CANDIDATES:
        return [float(value) for value in range(low, high + 1)]
    spread = np.geomspace(low, high, MOST_CANDIDATES) if low > 0 else np.linspace(low, high, MOST_CANDIDATES)
    whole = isinstance(low, int) and isinstance(high, int)
    return sorted({float(value) if not whole else float(round(value)) for value in spread})
