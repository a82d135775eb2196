"""The truth of a synthetic sweep: the expected values and variances that its tables are drawn from.

Expected bound: `-110 - 60 exp(-D/3) - 0.15 D` nats, minus `MONTE_CARLO_COST / L` where the KL was trained by Monte
Carlo. Replicates differ by `BETWEEN_REPLICATES`, images by `BETWEEN_IMAGES`, and one draw of an estimator by its
`one_draw_variance`, which falls as 1/L (iid), 0.5/L (antithetic) and L^-2 (sobol).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

BETWEEN_REPLICATES = 0.6  # nats: standard deviation of a replicate's bound
BETWEEN_IMAGES = 14.0  # nats: standard deviation of an image's bound
MONTE_CARLO_COST = 0.8  # nats: what training on k1 with L = 1 loses
PIXELS, TEST_IMAGES, STUDY_IMAGES, STUDY_DRAWS = 64, 270, 128, 1024
FLOOR = -137.0  # nats: the z-free histogram
L_GRID = (1, 2, 4, 8, 16, 32, 64, 128)
K_GRID = (1, 8, 64)
QUANTITIES = (
    *("k1", "k3", "cross_entropy", "reconstruction"),
    *("elbo_closed_form", "elbo_monte_carlo", "elbo_control_variate", "iwae"),
)
SCHEMES = {"iid": (1.0, -1.0), "antithetic": (0.5, -1.0), "sobol": (1.0, -2.0)}  # factor and slope of Var against L
HOSTILE = '<script>alert("x")</script> & ünïcödé \n| `` {{ 7*7 }} ' + "long " * 40


@dataclass(frozen=True)
class Options:
    """What the sweep is like, and what goes wrong in it."""

    name: str = "synthetic"
    seed: int = 0
    dims: tuple[int, ...] = (2, 4, 8, 16)
    estimators: tuple[str, ...] = ("closed_form", "monte_carlo")
    num_samples: tuple[int, ...] = (1, 4)
    replicates: int = 3
    search_trials: int = 6
    confirm_trials: int = 2
    trials: int | None = None
    """Total number of trials (None: factorial + search + confirm)."""
    failed: int = 0
    """The last so many trials before confirmation have failed; 10**6: all of them."""
    stopped: int = 0
    """So many trials before the failed ones were stopped early."""
    running: int = 0
    """So many trials before those are still running."""
    suspect: int = 0
    """The numbers of the first so many trials are in doubt."""
    epochs: int = 10
    variance_study: bool = True
    gradients: bool = True
    evidence: bool = True
    calibration: bool = True
    pictures: bool = True
    streams: bool = True
    """Whether the studies name the streams of their draws; tables of older versions do not, and shared them."""
    hostile: bool = False
    """Strings of the configuration, reasons and names that break careless HTML, Markdown and CSV."""
    state: str = "finished"


def true_bound(latent_dim: Any, estimator: Any, num_samples: Any) -> Any:
    """Expected test ELBO in nats of a configuration."""
    d = np.asarray(latent_dim, dtype=float)
    lost = np.where(
        np.asarray(estimator) == "closed_form", 0.0, MONTE_CARLO_COST / np.asarray(num_samples, dtype=float)
    )
    return -110.0 - 60.0 * np.exp(-d / 3.0) - 0.15 * d - lost


def true_kl(latent_dim: Any) -> Any:
    """Expected KL in nats per image."""
    return 18.0 * (1.0 - np.exp(-np.asarray(latent_dim, dtype=float) / 5.0))


def one_draw_variance(quantity: str, latent_dim: Any) -> Any:
    """Variance (nats^2) of one i.i.d. draw of an estimator given x; iwae at K = 1."""
    units = np.minimum(np.asarray(latent_dim, dtype=float), 11.0)
    k1, reconstruction = 0.55 * units, 1.5 + 0.9 * units
    return {
        "k1": k1,
        "k3": 40.0 * np.exp(0.8 * units),
        "cross_entropy": 0.4 * k1,
        "reconstruction": reconstruction,
        "elbo_closed_form": reconstruction,
        "elbo_monte_carlo": 0.5 * reconstruction,
        "elbo_control_variate": 0.45 * reconstruction,
        "iwae": 0.5 * reconstruction,
    }[quantity]
