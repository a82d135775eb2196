"""A table of every trial, failed and stopped ones too, whose numbers lead to its folder, pictures and curves."""

from __future__ import annotations

import pandas as pd

from analysis.document.blocks import Block, Heading, Link, Links, Table
from analysis.pages.pictures import files
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, DIMENSION, RANK, varying
from analysis.wording import count

CURVES = "training_curves.png"
"""The picture of a trial's training curves, beside its other pictures."""


def blocks(sweep: Sweep) -> list[Block]:
    """One row a trial, in the order of their numbers."""
    if sweep.trials.empty:
        return []
    settings = [name for name in (DIMENSION, *varying(sweep.trials)) if name in sweep.trials]
    measured = [name for name in (RANK, BOUND) if name in sweep.trials]
    columns = list(dict.fromkeys(["trial", "status", "phase", *settings, *measured, "suspect", "reason"]))
    frame = sweep.trials[columns].copy()
    seeds = sweep.replicates.groupby("trial").size() if "trial" in sweep.replicates else pd.Series(dtype=int)
    frame.insert(3, "replicates", frame["trial"].map(seeds).fillna(0).astype(int))
    said = [mark or reason for mark, reason in zip(frame["suspect"], frame["reason"])]
    shown = frame.drop(columns=["trial", "suspect", "reason"])
    shown.insert(0, "trial", [Links((_folder(sweep, int(number)),)) for number in frame["trial"]])
    shown.insert(1, "see", [_see(sweep, int(number)) for number in frame["trial"]])
    if any(said):
        shown["in doubt, or why it ended"] = said
    caption = (
        "A number leads to the trial's folder, which holds its configuration, weights and results. "
        f"n = {count(len(frame), 'trial')}."
    )
    return [Heading("Every trial"), Table("trials", frame, caption, rows=len(frame), shown=shown, tall=True)]


def _folder(sweep: Sweep, trial: int) -> Link:
    """The trial's number, leading to its folder."""
    return Link(str(trial), files.folder(sweep.folder, trial))


def _see(sweep: Sweep, trial: int) -> Links:
    """Its pictures and its curves, where it has drawn any."""
    pictures = files.folder(sweep.folder, trial) / "pictures"
    curves = Link("curves", pictures / CURVES) if (pictures / CURVES).is_file() else None
    drawn = Link("pictures", pictures) if files.of_trial(sweep.folder, trial) else None
    return Links(tuple(link for link in (drawn, curves) if link))
