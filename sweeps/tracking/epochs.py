"""The metrics of a trial's epochs as W&B gets them: which, under what names, and what its summary keeps of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.means import report_metrics
from sweeps.specification.metrics import BY_EPOCH

SUMMARIES = {
    "train.loss": "min",
    "train.elbo": "max",
    "train.bits_per_dim": "min",
    "validation.elbo": "max",
    "validation.bits_per_dim": "min",
}
"""Metrics of which W&B's summary keeps the best epoch while the trial runs."""
PATTERNS = (*(f"{beginning}*" for beginning in BY_EPOCH), "training.*", "seconds*")
"""Names, in W&B's notation, of everything that is drawn over epochs."""


def metrics_of(report: Mapping[str, Any]) -> dict[str, float]:
    """The trial's own metrics in a report, which may hold what Tune adds: names without a dot."""
    return {
        name: float(value)
        for name, value in report.items()
        if (name == "seconds" or ("." in name and not name.startswith("step.")))
        and isinstance(value, (int, float))
        and not isinstance(value, bool)
    }


def metrics_by_epoch(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """Rows of `history.jsonl` -> epoch -> what the trial reported after it."""
    epochs: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        epochs[row["epoch"]].append(row)
    return {epoch: metrics_of(report_metrics(epochs[epoch])) for epoch in sorted(epochs)}


def metrics_in_runs(rows: Iterable[Mapping[str, Any]]) -> dict[int, dict[str, float]]:
    """History rows of a W&B run -> epoch -> metrics; W&B's own columns are left out."""
    return {
        int(row["epoch"]): {
            name: value
            for name, value in row.items()
            if name != "epoch" and not name.startswith("_") and isinstance(value, (int, float))
        }
        for row in rows
        if "epoch" in row
    }
