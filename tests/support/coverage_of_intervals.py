"""Whether intervals hold the truth as often as they promise."""

from __future__ import annotations

import numpy as np
import pytest


def assert_covers(covered: np.ndarray, promised: float) -> None:
    """The share of intervals that cover is within 4 binomial standard errors of what they promise."""
    error = np.sqrt(promised * (1 - promised) / covered.size)
    assert covered.mean() == pytest.approx(promised, abs=4 * error)
