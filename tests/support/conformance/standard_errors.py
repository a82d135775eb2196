"""Comparisons of independent draws with an exact value, in units of their standard error."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor


def assert_mean(values: Tensor, exact: float | Tensor | np.ndarray, errors: float = 5.0) -> None:
    """The mean of the draws is `exact`, within so many standard errors."""
    standard_error = float(values.std() / math.sqrt(len(values)))
    difference = float(values.mean()) - float(exact)
    assert abs(difference) <= errors * standard_error + 1e-12, (
        f"{float(values.mean()):.6g} is {difference:.3g} off {float(exact):.6g} +- {standard_error:.3g}"
    )


def assert_variance(values: Tensor, exact: float | Tensor | np.ndarray, errors: float = 5.0) -> None:
    """The variance of the draws is `exact`; its standard error is from the fourth moment, (m4 - sigma^4) / R."""
    assert_mean((values - values.mean()).square(), exact, errors)
