"""Where the time went."""

from __future__ import annotations

import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.tables import Sweep
from analysis.wording import count

OVERHEAD = ["suggestion", "orchestration", "tracking"]
"""Components that are no work of a trial."""


def blocks(sweep: Sweep) -> list[Block]:
    """Seconds by component, summed over the trials."""
    table = statistics.time_shares(sweep.trials)
    table = table[table["seconds"] > 0].reset_index(drop=True)
    heading = Heading("Where the time went", folded=True)
    if table.empty:
        return [heading, Note("No trial has reported its times.")]
    overhead = table[table["component"].isin(OVERHEAD)]["share"].sum()
    first = table.iloc[0]
    sentence = (
        f"{first['component'].capitalize()} took {first['share']:.0%} of the "
        f"{duration(table['seconds'].sum())} of work; suggestion, orchestration and tracking together took "
        f"{overhead:.1%}."
    )
    return [
        heading,
        Figure((_panel(table),), f"Summed over n = {count(int(table['n'].max()), 'trial')}.", sentence),
        Table("time", table, "Seconds by component.", folded=True),
    ]


def _panel(table: pd.DataFrame) -> Panel:
    """A bar for each component, with its share and its duration."""
    texts = [
        f"{share:.1%}  ({duration(seconds)})" for share, seconds in table[["share", "seconds"]].itertuples(index=False)
    ]
    x = figures.Axis("seconds", "seconds, summed over trials")
    return Panel(
        "time",
        lambda axes: figures.bars(axes, table, name="component", x=x, texts=texts, title="Seconds by component"),
        "Seconds spent in each part of the work",
        (4.8, 0.9 + 0.3 * max(3, len(table))),
    )


def duration(seconds: float) -> str:
    """`8.2 s`, `95 s`, `2 min 44 s`, `12 min`, `3.4 h`: never rounded by more than a twentieth."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    if whole < 600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
