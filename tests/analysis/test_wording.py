"""Numbers, intervals and lists as a reader sees them."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import wording


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((-112.611, -112.92, -112.31), "−112.61 [−112.92, −112.31]"),
        ((0.797, 0.04, 1.55), "0.80 [0.04, 1.55]"),
        ((-0.01, -1.3, 1.2), "0.0 [−1.3, 1.2]"),
        ((-113.25, np.nan, np.nan), "−113.2 (no interval)"),
        ((11.0, 11.0, 11.0), "11"),
        ((np.nan, 0.0, 1.0), "–"),
        ((1500.0, 1000.0, 2000.0), "1500 [1000, 2000]"),
    ],
)
def test_interval_is_written_to_the_precision_it_supports(numbers: tuple[float, float, float], text: str) -> None:
    assert wording.interval(*numbers) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (3.0, "3"),
        (0.00123456, "0.001235"),
        (12345.6, "12,346"),
        (-2.5, "−2.500"),
        (1e-7, "1.00 × 10⁻⁷"),
        (np.inf, "∞"),
    ],
)
def test_numbers_are_written_without_exponent_where_they_can(value: float, text: str) -> None:
    assert wording.figure(value) == text


def test_lists_in_words() -> None:
    assert wording.listed([]) == "none"
    assert wording.listed(["a"]) == "a"
    assert wording.listed(["a", "b", "c"]) == "a, b and c"
    assert wording.listed(range(9), most=3) == "0, 1, 2 and 6 more"
