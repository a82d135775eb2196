"""Names that the tables and the code share: columns, endings of a trial, phases; which columns are configuration."""

from __future__ import annotations

import pandas as pd

from analysis.tables.schema import schema

DIMENSION = "model.latent_dim"
BOUND, RANK = "test.elbo", "validation.elbo"
"""The column that is reported, and the column that configurations are chosen by."""

FINISHED, FAILED, STOPPED, RUNNING = "finished", "failed", "stopped", "running"
"""`trials.status`: how a trial ended; stopped: early, by the search."""
FACTORIAL, SEARCH, REFINE, CONFIRM = "factorial", "search", "refine", "confirm"
"""`trials.phase`: the part of the sweep that asked for a trial."""

COUNTING = ("seed", "replicates", "first_replicate")
"""Leaves of the configuration that say how often a trial is repeated, not what it is."""
UNITS = {
    "active_units": "units",
    "effective_sample_size": "draws",
    "pareto_k": "",
    "pareto_k_unreliable": "",
    "pareto_k_images": "images",
    "importance": "",
}
"""Units of metrics that are not nats, by the last part of their name."""


def configuration_columns(trials: pd.DataFrame) -> list[str]:
    """Columns of `trials` that hold the configuration (not metrics, not bookkeeping)."""
    sections, leaves = schema()["configuration"]["sections"], schema()["configuration"]["leaves"]
    return [name for name in trials.columns if name.partition(".")[0] in sections or name in leaves]


def varying(frame: pd.DataFrame) -> list[str]:
    """Configuration columns that take more than one value: what the sweep swept. Seeds and replicates are left out."""
    names = [name for name in configuration_columns(frame) if name not in COUNTING]
    return [name for name in names if frame[name].nunique(dropna=False) > 1]


def unit_of(name: str) -> str:
    """Unit of a metric or table column by its name: nats unless the name says otherwise, "" for pure numbers."""
    leaf = name.removesuffix(".standard_error").rpartition(".")[2]
    if name.startswith("seconds") or leaf == "seconds":
        return "seconds"
    if name.startswith("variance.") or leaf in ("variance", "between_images", "predicted"):
        return "" if "_ratio" in leaf or "_slope" in leaf else "nats²"
    if leaf.endswith("bits_per_dim"):
        return "bits per dimension"
    return UNITS.get(leaf, "nats")
