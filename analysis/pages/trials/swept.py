"""What was swept, and how the trials ended."""

from __future__ import annotations

import pandas as pd

from analysis import statistics
from analysis.document.blocks import Block, Heading, Note, Table, Text
from analysis.tables import Sweep
from analysis.tables.columns import FINISHED, varying
from analysis.wording import count, figure, listed

MOST_VALUES, RANGE = 8, 2
"""Values of a setting that are written out; of more, the range: in a table, and in a line."""


def blocks(sweep: Sweep) -> list[Block]:
    """The settings that varied, and every way a trial ended with its reason."""
    return [*_settings(sweep), *_outcomes(sweep)]


def _settings(sweep: Sweep) -> list[Block]:
    """State, data, and the settings that take more than one value."""
    data = sweep.info.get("data")
    data = data if isinstance(data, dict) else {}
    names = sweep.trials["data.name"].unique() if "data.name" in sweep.trials else [data.get("name", "unnamed data")]
    text = f"State: {sweep.info.get('state', 'unknown')}. Data: {listed(list(names))}"
    splits = [
        f"{data[split]:,} {split}" for split in ("train", "validation", "test") if isinstance(data.get(split), int)
    ]
    text += f" ({listed(splits)} images). " if splits else ". "
    varied = varying(sweep.trials)
    if not varied:
        return [Text(text + "No setting was varied.")]
    rows = [(name, values_of(sweep.trials[name]), sweep.trials[name].nunique()) for name in varied]
    frame = pd.DataFrame(rows, columns=["key", "values", "distinct"])
    settings = count(len(varied), "setting was", "settings were")
    return [
        Heading("What was swept"),
        Text(f"{text}{settings} varied."),
        Table("swept", frame, "Settings that take more than one value, over all trials.", rows=40),
    ]


def values_of(values: pd.Series, most: int = MOST_VALUES) -> str:
    """The values of a setting in words: all of a few, the range of many numbers."""
    distinct = values.dropna().unique()
    if len(distinct) <= most:
        try:
            ordered = sorted(distinct)
        except TypeError:
            ordered = list(distinct)
        return ", ".join(figure(v) if isinstance(v, float) else str(v) for v in ordered)
    if pd.api.types.is_numeric_dtype(values):
        return f"{figure(float(values.min()))} to {figure(float(values.max()))}"
    return ", ".join(map(str, distinct[:most])) + ", …"


def _outcomes(sweep: Sweep) -> list[Block]:
    """How many trials ended in which way, and why."""
    if sweep.trials.empty:
        return [Note("The sweep has no trial yet.")]
    table = statistics.outcomes(sweep.trials)
    shown = table.assign(
        share=[f"{share:.0%}" for share in table["share"]], trials=[numbers(text) for text in table["trials"]]
    )
    blocks: list[Block] = [Heading("How the trials ended")]
    if not (sweep.trials["status"] == FINISHED).any():
        blocks.append(Note("No trial has finished: this report has outcomes and reasons, but no measurements."))
    if sweep.info.get("state") not in (None, "finished", "done", "completed"):
        blocks.append(Note(f"This sweep is {sweep.info['state']}: the report shows the trials that are there so far."))
    caption = (
        "Every trial counts once; suspect trials have finished but their numbers are in doubt. n = "
        f"{count(len(sweep.trials), 'trial')}."
    )
    return [*blocks, Table("outcomes", table, caption, rows=200, shown=shown)]


def numbers(text: str, most: int = 20) -> str:
    """A list of trial numbers, cut where it is long."""
    listed_numbers = text.split(", ")
    if len(listed_numbers) <= most:
        return text
    return f"{', '.join(listed_numbers[:most])} and {len(listed_numbers) - most} more"
