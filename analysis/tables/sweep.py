"""A sweep in memory: its tables as frames, and their rows joined with the configuration of their trial."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.tables.columns import FINISHED, configuration_columns


@dataclass(frozen=True, eq=False)
class Sweep:
    """The tables of one sweep. Tables that the sweep did not write are empty frames with the schema's columns.

    `trials.suspect` and `trials.reason` are plain text, "" where there is nothing to say.
    """

    name: str
    folder: Path
    info: dict[str, Any]
    """sweep.json: name, state, spec, command line, git revision, versions, hardware, data, times, seconds."""
    trials: pd.DataFrame
    replicates: pd.DataFrame
    history: pd.DataFrame
    variance: pd.DataFrame
    gradients: pd.DataFrame
    evidence: pd.DataFrame
    calibration: pd.DataFrame
    calibration_seeds: pd.DataFrame
    importance: pd.DataFrame
    references: pd.DataFrame


def joined(
    sweep: Sweep,
    table: str = "replicates",
    *,
    statuses: Iterable[str] | None = (FINISHED,),
    columns: Iterable[str] | None = None,
) -> pd.DataFrame:
    """Rows of a table with their trial's configuration, `phase`, `config_hash`, `suspect` and `trial_status`.

    Args:
        sweep: The sweep.
        table: Name of one of its tables that has a column `trial`.
        statuses: Only trials that ended with one of these are kept (None: all): a stopped or failed trial is not an
            end-of-training result.
        columns: Only these columns of the configuration (None: all); for the long tables of a large sweep.

    Returns:
        The rows of the table. Where table and trial share a name (`seed`, `status`), the table's own column wins.
    """
    frame: pd.DataFrame = getattr(sweep, table)
    trials = sweep.trials.rename(columns={"status": "trial_status"})
    if statuses is not None:
        trials = trials[trials["trial_status"].isin(list(statuses))]
    configuration = configuration_columns(trials) if columns is None else list(columns)
    context = ["trial", "phase", "trial_status", "suspect", "config_hash", *configuration]
    kept = [name for name in context if name == "trial" or name not in frame.columns]
    return frame.merge(trials[kept], on="trial", how="inner", validate="many_to_one").copy()
