"""Chatterjee & Diaconis (2018): prior Monte Carlo costs about exp(KL) draws, and dimensions that carry nothing none."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from analysis import tables
from analysis.tables import Sweep
from tests.reproductions.lines import Line, Sweeps, interval, slope

TOLERANCES = (0.25, 0.5, 1.0, 2.0)
"""Nats that the estimate may be too low. The slope depends on them, so all are shown."""


def lines(sweeps: Sweeps) -> list[Line]:
    found = []
    for tolerance in TOLERANCES:
        models = needed(evidence(sweeps["prior"]), tolerance)
        found_slope = slope(models["kl"], models["log_draws"])
        quantity = f"slope of log draws needed against KL, D = 1 to 8, bias of at most {tolerance} nats"
        found.append(Line(quantity, "near 1", interval(*found_slope), found_slope[1] <= 1.0 <= found_slope[2]))
        inactive = models["latent_dim"] - models["active_units"]
        added = _added(models["log_draws"], models["kl"], inactive)
        quantity = f"change of log draws needed with each inactive dimension, at the same KL, {tolerance} nats"
        found.append(Line(quantity, "0", interval(*added), added[1] <= 0.0 <= added[2]))
    return found


def evidence(sweep: Sweep) -> pd.DataFrame:
    return tables.joined(sweep, "evidence", columns=["model.latent_dim", "test.active_units"])


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


def _added(y: pd.Series, x: pd.Series, extra: pd.Series) -> tuple[float, float, float]:
    """What `extra` adds to the regression of y on x: its coefficient with the 95 % interval."""
    design = np.column_stack([np.ones(len(x)), x, extra])
    coefficients, squares, *_ = np.linalg.lstsq(design, y, rcond=None)
    degrees = len(y) - design.shape[1]
    variance = float(squares[0]) / degrees * np.linalg.inv(design.T @ design)[2, 2]
    half = stats.t.ppf(0.975, degrees) * np.sqrt(variance)
    return float(coefficients[2]), float(coefficients[2] - half), float(coefficients[2] + half)
