"""Rows of the calibration table: a measured value, its exact value, and how far apart they are."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor

Row = dict[str, Any]
"""{estimator, quantity, value, exact, compared, standard_error, z_score, ulps, num_draws}"""

BY_ERROR, BY_SIDE, BY_ULPS = "standard error", "one side", "ulp"
"""Column `compared`: by a z-score, by a z-score that counts on the wrong side only, by units in the last place."""
TOLERANCE_ULPS = 64.0
"""Units in the last place that a deterministic quantity in float64 may be off: a few dozen roundings."""


def row(
    estimator: str,
    quantity: str,
    value: float,
    exact: float,
    standard_error: float,
    num_draws: int,
    side: Literal["both", "below", "above"] = "both",
) -> Row:
    """One comparison. With `side`, only being on the wrong side counts: `below` means that a value must not exceed."""
    z_score = (value - exact) / standard_error if standard_error > 0 else math.copysign(math.inf, value - exact)
    if value == exact or (side == "below" and value < exact) or (side == "above" and value > exact):
        z_score = 0.0
    return {
        "estimator": estimator,
        "quantity": quantity,
        "value": float(value),
        "exact": float(exact),
        "compared": BY_ERROR if side == "both" else BY_SIDE,
        "standard_error": float(standard_error),
        "z_score": float(z_score),
        "ulps": None,
        "num_draws": int(num_draws),
    }


def mean_row(
    estimator: str, quantity: str, draws: Tensor, exact: float | Tensor, per_draw: int = 1, **side: Any
) -> Row:
    """The mean of independent draws against its exact expectation; `per_draw` samples went into each."""
    draws = draws.detach().flatten().to(torch.float64)
    error = float(draws.std()) / math.sqrt(len(draws))
    return row(estimator, quantity, float(draws.mean()), float(exact), error, len(draws) * per_draw, **side)


def variance_row(estimator: str, quantity: str, draws: Tensor, exact: float | Tensor, per_draw: int = 1) -> Row:
    """The variance of independent draws against the exact one; its standard error knows their kurtosis."""
    draws = draws.detach().flatten().to(torch.float64)
    squares = (draws - draws.mean()).square()
    error = float(squares.std()) / math.sqrt(len(draws))
    return row(estimator, quantity, float(draws.var()), float(exact), error, len(draws) * per_draw)


def exact_row(estimator: str, quantity: str, value: float | Tensor, exact: float | Tensor, num_draws: int = 0) -> Row:
    """A deterministic quantity: it may differ by rounding only, counted in units in the last place of max(1, |exact|).

    It has no standard error and no z-score. Sums of terms of order one leave roundings of order one, however small the
    result is, hence the 1.
    """
    value, exact = float(value), float(exact)
    return {
        "estimator": estimator,
        "quantity": quantity,
        "value": value,
        "exact": exact,
        "compared": BY_ULPS,
        "standard_error": None,
        "z_score": None,
        "ulps": (value - exact) / math.ulp(max(1.0, abs(exact))),
        "num_draws": int(num_draws),
    }


def is_off(row: Row, limit: float) -> bool:
    """Whether an estimate is more than `limit` standard errors, or too many ulp, from its exact value, or no number."""
    if row["compared"] == BY_ULPS:
        return not abs(row["ulps"]) <= TOLERANCE_ULPS
    return not abs(row["z_score"]) <= limit
