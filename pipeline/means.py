"""Means over the replicates of a trial, with their standard errors. Imports no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def over_replicates(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean of one value per replicate, and its standard error; None where one value tells nothing about the spread."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error


def report_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What is reported after an epoch: each metric's mean, `.standard_error` and single `.replicate_N` values.

    Args:
        rows: of the `history` table, one per replicate, all of one epoch. A metric that is None in one of them (there
            is no training before epoch 0) is left out.
    """
    metrics: dict[str, float] = {}
    for name in rows[0].keys() - {"replicate", "epoch"}:
        values = {row["replicate"]: row[name] for row in rows}
        if None in values.values():
            continue
        metrics[name], error = over_replicates(list(values.values()))
        metrics |= {f"{name}.replicate_{number}": value for number, value in values.items()}
        if error is not None:
            metrics[f"{name}.standard_error"] = error
    return dict(sorted(metrics.items()))
