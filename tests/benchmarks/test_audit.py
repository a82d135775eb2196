"""A small slice of `make audit`: simulated sweeps with a known truth, and what the statistics promise on them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.benchmarks import audit

SWEEPS = 120


def margin(rate: float, count: int = SWEEPS, errors: float = 3.5) -> float:
    """So many binomial standard errors."""
    return errors * float(np.sqrt(rate * (1 - rate) / count))


@pytest.mark.parametrize(
    ("noise", "curve", "seeds"), [("normal", "flat", 3), ("unequal", "peaked", 3), ("skewed", "flat", 5)]
)
def test_intervals_hold_the_truth_also_for_the_chosen_cell(noise: str, curve: str, seeds: int) -> None:
    rates = audit.intervals(audit.simulate(noise, curve, seeds, SWEEPS))
    assert rates["all_after"] == pytest.approx(0.95, abs=0.02 + margin(0.95, 10 * SWEEPS))
    assert rates["chosen_after"] > 0.93 - margin(0.95)
    off = audit.biases(audit.simulate(noise, curve, seeds, 40 * SWEEPS, start=3))
    assert abs(off["after"]) < 0.02 + 3.5 * off["error"]
    assert off["before"] > 0.2


def test_estimators_are_told_apart_where_they_differ_and_not_where_they_are_equal() -> None:
    rates = audit.verdicts("normal", 3, SWEEPS)
    for name in ("false_after", "false_any_after", "edge_equivalent"):
        assert rates[name] < 0.05 + margin(0.05), name
    assert rates["power_after"] > rates["power_before"] + 0.2
    assert rates["power_each_after"] > rates["power_each_before"] + 0.1


def test_the_interval_of_the_smallest_sufficient_dimension_holds_it() -> None:
    rates = audit.dimension(audit.simulate("normal", "peaked", 3, SWEEPS), SWEEPS)
    assert rates["held_after"] > 0.95 - margin(0.95)
    assert rates["said_after"] == pytest.approx(rates["right_after"], abs=0.05 + margin(0.65))
    assert rates["false_best"] < 0.05 + margin(0.05)
