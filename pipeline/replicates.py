"""What the replicates of a trial say together: means, standard errors and single values. Imports no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any


def mean_and_error(values: list[float]) -> tuple[float, float | None]:
    """Mean over replicates and its standard error; None where one value tells nothing about the spread."""
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else None
    return statistics.fmean(values), error


def epoch_metrics(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Metrics of one epoch: each replicate's own value, and mean and standard error where every replicate has one.

    Args:
        rows: of the `history` table, one per replicate; None stands for a value that does not exist (yet).
    """
    metrics: dict[str, float] = {}
    for name in rows[0].keys() - {"replicate", "epoch"}:
        values = {row["replicate"]: row[name] for row in rows if row.get(name) is not None}
        metrics |= {f"{name}.replicate_{number}": value for number, value in values.items()}
        if any(row.get(name) is None for row in rows):
            continue
        metrics[name], error = mean_and_error(list(values.values()))
        if error is not None:
            metrics[f"{name}.standard_error"] = error
    return dict(sorted(metrics.items()))
