"""The folder of a sweep, `runs/NAME/`: the names of its files and folders, said once. Imports nothing heavy.

spec.yaml           the resolved specification
sweep.json          state, counts and provenance
study.journal       Optuna's study, unless it lies in a database
trials/0007/        one folder per trial: trial.json by the driver, the rest by the pipeline (`pipeline.layout`)
NAME.parquet        one file per table, collected from the trials' folders
wandb/              W&B's files: one folder per run, and what we note about them
.lock               held by the one process that runs the sweep
"""

from __future__ import annotations

from pathlib import Path

from pipeline.layout import LONG_TABLES

SPEC = "spec.yaml"
STATE = "sweep.json"
JOURNAL = "study.journal"
LOCK = ".lock"

TRIALS = "trials"
"""The folder of all trials, and the table with a row per trial."""
RECORD = "trial.json"
"""A trial's record in its folder: what was planned and how it ended. Written by the driver alone."""

REFERENCES, IMPORTANCE, CALIBRATION = "references", "importance", "calibration"
"""Tables that belong to the whole sweep and to no trial."""
CALIBRATION_SEEDS = "calibration_seeds"
"""The calibration over many seeds as it was shipped with the version that ran the sweep."""
TABLES = (TRIALS, *LONG_TABLES, REFERENCES, IMPORTANCE, CALIBRATION, CALIBRATION_SEEDS)
"""All tables of a sweep; `table_file` names the file of each."""

WANDB = "wandb"
SWEEP_ID, RECEIPT = "sweep-id", "receipt.json"
"""In WANDB: the group of the sweep's runs, and which of them are on a server."""


def trial_name(number: int) -> str:
    """`7` -> `0007`: a trial's folder, and the end of the name and id of its W&B run."""
    return f"{number:04d}"


def trial_folder(folder: Path, number: int) -> Path:
    """The folder of a trial inside the folder of its sweep."""
    return folder / TRIALS / trial_name(number)


def table_file(table: str) -> str:
    """`history` -> `history.parquet`: the file of one of TABLES."""
    return f"{table}.parquet"
