"""Chatterjee & Diaconis (2018): prior Monte Carlo costs about exp(KL) draws, and dimensions that carry nothing none."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from analysis import tables
from tests.reproductions.lines import Line, Sweeps, interval

TOLERANCES = (0.25, 0.5, 1.0, 2.0)
"""Nats that the estimate may be too low. The slope depends on them, so all are shown."""


def lines(sweeps: Sweeps) -> list[Line]:
    evidence = tables.joined(sweeps["prior"], "evidence", columns=["model.latent_dim", "test.active_units"])
    found = []
    for tolerance in TOLERANCES:
        models = needed(evidence, tolerance)
        slope = _slope(models["kl"], models["log_draws"])
        gaussian = _slope(models["kl"], models["latent_dim"].map(_gaussian_draws(models, tolerance)))[0]
        quantity = f"slope of log draws needed against KL, D = 1 to 8, bias of at most {tolerance} nats"
        published = f"near 1; {gaussian:.2f} for Gaussian posteriors of these KL"
        found.append(Line(quantity, published, interval(*slope), slope[1] <= 1.0 <= slope[2]))
        inactive = models["latent_dim"] - models["active_units"]
        added = _added(models["log_draws"], models["kl"], inactive)
        quantity = f"change of log draws needed with each inactive dimension, at the same KL, {tolerance} nats"
        found.append(Line(quantity, "0", interval(*added), added[1] <= 0.0 <= added[2]))
    return found


def needed(evidence: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Log of the draws from which the bias stays below the tolerance, mean over the images of each model."""
    rows = evidence[(evidence["estimator"] == "prior_monte_carlo") & np.isfinite(evidence["bias"])]
    images = []
    for (dim, units, *model), group in rows.groupby(
        ["model.latent_dim", "test.active_units", "trial", "replicate", "image"]
    ):
        ordered = group.sort_values("num_draws")
        draws = crossing(np.log(ordered["num_draws"].to_numpy(float)), ordered["bias"].to_numpy(float), tolerance)
        images.append((dim, units, *model, group["kl"].iloc[0], draws))
    names = ["latent_dim", "active_units", "trial", "replicate", "image", "kl", "log_draws"]
    frame = pd.DataFrame(images, columns=names).dropna()
    keys = ["latent_dim", "active_units", "trial", "replicate"]
    return frame.groupby(keys)[["kl", "log_draws"]].mean().reset_index()


def crossing(log_draws: np.ndarray, bias: np.ndarray, tolerance: float) -> float:
    """Where the bias last rises above minus the tolerance, by a straight line between the numbers tried; NaN: never."""
    below = np.flatnonzero(bias < -tolerance)
    if not len(below):
        return float(log_draws[0])
    if (last := int(below[-1])) + 1 == len(bias):
        return float("nan")
    share = (-tolerance - bias[last]) / (bias[last + 1] - bias[last])
    return float(log_draws[last] + share * (log_draws[last + 1] - log_draws[last]))


def _slope(x: pd.Series, y: pd.Series) -> tuple[float, float, float]:
    found = stats.linregress(x, y)
    half = stats.t.ppf(0.975, len(x) - 2) * found.stderr
    return float(found.slope), float(found.slope - half), float(found.slope + half)


def _added(y: pd.Series, x: pd.Series, extra: pd.Series) -> tuple[float, float, float]:
    """What `extra` adds to the regression of y on x: its coefficient with the 95 % interval."""
    design = np.column_stack([np.ones(len(x)), x, extra])
    coefficients, squares, *_ = np.linalg.lstsq(design, y, rcond=None)
    degrees = len(y) - design.shape[1]
    variance = float(squares[0]) / degrees * np.linalg.inv(design.T @ design)[2, 2]
    half = stats.t.ppf(0.975, degrees) * np.sqrt(variance)
    return float(coefficients[2]), float(coefficients[2] - half), float(coefficients[2] + half)


def _gaussian_draws(models: pd.DataFrame, tolerance: float) -> dict[int, float]:
    """The same for a Gaussian posterior of the same number of active dimensions and the same KL, by simulation."""
    draws = {}
    for dim, group in models.groupby("latent_dim"):
        active = max(1, round(float(group["active_units"].mean())))
        draws[int(dim)] = gaussian_log_draws(active, float(group["kl"].mean()), tolerance)
    return draws


def gaussian_log_draws(dims: int, kl: float, tolerance: float, *, repeats: int = 100, seed: int = 0) -> float:
    """Log draws for posteriors of `dims` equal Gaussian dimensions whose mixture is N(0, I): E loc^2 = 1 - scale^2, so
    the mean KL of a dimension is -log(scale)."""
    scale, sizes = np.exp(-kl / dims), 10 ** np.arange(6)
    generator = np.random.default_rng(seed)
    total = np.zeros(len(sizes))
    for _ in range(repeats):
        loc = generator.normal(size=dims) * np.sqrt(1 - scale**2)
        z = generator.normal(size=(sizes[-1], dims))
        log_ratio = (0.5 * (z**2 - ((z - loc) / scale) ** 2) - np.log(scale)).sum(-1)
        total += [np.logaddexp.reduce(log_ratio[:size]) - np.log(size) for size in sizes]
    return crossing(np.log(sizes), total / repeats, tolerance)
