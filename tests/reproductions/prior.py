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
        beyond = f"{models['beyond'].sum()} of {models['images'].sum()} images need more than were tried"
        quantity = f"slope of log draws needed against KL, D = 1 to 8, bias of at most {tolerance} nats ({beyond})"
        found.append(Line(quantity, "near 1", interval(*found_slope), found_slope[1] <= 1.0 <= found_slope[2]))
        inactive = models["latent_dim"] - models["active_units"]
        more = added(models["log_draws"], models["kl"], inactive)
        quantity = f"change of log draws needed with each inactive dimension, at the same KL, {tolerance} nats"
        found.append(Line(quantity, "0", interval(*more), more[1] <= 0.0 <= more[2]))
    return found


def evidence(sweep: Sweep) -> pd.DataFrame:
    return tables.joined(sweep, "evidence", columns=["model.latent_dim", "test.active_units"])


def needed(evidence: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """KL and log of the draws from which the bias stays below the tolerance: medians over the images of each model.

    An image that needs more draws than were tried counts as infinite: medians stand that, means would leave out the
    very images with the largest KL.
    """
    rows = evidence[(evidence["estimator"] == "prior_monte_carlo") & np.isfinite(evidence["bias"])]
    keys = ["latent_dim", "active_units", "trial", "replicate"]
    images = []
    for (*model, _), group in rows.groupby(["model.latent_dim", "test.active_units", "trial", "replicate", "image"]):
        ordered = group.sort_values("num_draws")
        draws = crossing(np.log(ordered["num_draws"].to_numpy(float)), ordered["bias"].to_numpy(float), tolerance)
        images.append((*model, group["kl"].iloc[0], draws))
    frame = pd.DataFrame(images, columns=[*keys, "kl", "log_draws"])
    models = frame.assign(beyond=np.isinf(frame["log_draws"])).groupby(keys)
    return models.agg(
        kl=("kl", "median"), log_draws=("log_draws", "median"), images=("kl", "size"), beyond=("beyond", "sum")
    ).reset_index()


def crossing(log_draws: np.ndarray, bias: np.ndarray, tolerance: float) -> float:
    """Where the bias last rises above minus the tolerance, by a straight line between the numbers tried."""
    below = np.flatnonzero(bias < -tolerance)
    if not len(below):
        return float(log_draws[0])
    if (last := int(below[-1])) + 1 == len(bias):
        return float("inf")
    share = (-tolerance - bias[last]) / (bias[last + 1] - bias[last])
    return float(log_draws[last] + share * (log_draws[last + 1] - log_draws[last]))


def added(y: pd.Series, x: pd.Series, extra: pd.Series) -> tuple[float, float, float]:
    """What `extra` adds to the regression of y on x: its coefficient with the 95 % interval."""
    design = np.column_stack([np.ones(len(x)), x, extra])
    coefficients, squares, *_ = np.linalg.lstsq(design, y, rcond=None)
    degrees = len(y) - design.shape[1]
    variance = float(squares[0]) / degrees * np.linalg.inv(design.T @ design)[2, 2]
    half = stats.t.ppf(0.975, degrees) * np.sqrt(variance)
    return float(coefficients[2]), float(coefficients[2] - half), float(coefficients[2] + half)
