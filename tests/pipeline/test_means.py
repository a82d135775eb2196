"""Means over replicates."""

from __future__ import annotations

import math

import pytest

from pipeline.means import over_replicates, report_metrics


def test_mean_and_standard_error_of_the_mean() -> None:
    mean, error = over_replicates([1.0, 2.0, 6.0])
    assert mean == 3.0
    assert error == pytest.approx(math.sqrt(7.0 / 3))
    assert over_replicates([4.0]) == (4.0, None)


def test_what_is_reported_after_an_epoch() -> None:
    rows = [{"replicate": n, "epoch": 0, "train.elbo": None, "validation.elbo": -1.0 - n} for n in (3, 4)]
    assert report_metrics(rows) == {
        "validation.elbo": -4.5,
        "validation.elbo.replicate_3": -4.0,
        "validation.elbo.replicate_4": -5.0,
        "validation.elbo.standard_error": pytest.approx(0.5),
    }
    assert report_metrics(rows[:1]) == {"validation.elbo": -4.0, "validation.elbo.replicate_3": -4.0}
