"""The best configurations, each with the number that fresh seeds confirm, or with a warning that none do."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import statistics, tables
from analysis.document.blocks import Block, Heading, Note, Table, Text
from analysis.pages.common import counted
from analysis.pages.overview.swept import numbers
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, RANK, varying
from analysis.wording import count, interval, label


def blocks(sweep: Sweep) -> list[Block]:
    """The ten best by the validation bound, and a sentence on the first."""
    heading = Heading("Best configurations")
    joined = tables.joined(sweep)
    if (
        not {BOUND, RANK} <= set(joined.columns)
        or joined.empty
        or not np.isfinite(joined[[BOUND, RANK]]).all(axis=1).any()
    ):
        return [heading, Note(f"No finished trial has both {RANK} and {BOUND}, so nothing can be ranked.")]
    table = statistics.best_configurations(joined, BOUND, rank_by=RANK)
    caption = (
        f"Ranked by mean {label(RANK)} of the trials that chose them; the number is {label(BOUND)} with a 95 % "
        "t-interval over n replicates, on the fresh seeds of a confirmation where there was one. A number from the "
        f"seeds that chose it is biased upwards. {counted(joined)}."
    )
    shown = _shown(table, [name for name in varying(joined) if name in table])
    return [heading, Text(_sentence(table)), Table("best_configurations", table, caption, rows=10, shown=shown)]


def _shown(table: pd.DataFrame, varied: list[str]) -> pd.DataFrame:
    """The ranking with the settings that varied."""
    shown = pd.DataFrame(
        {
            "rank": table["rank"],
            "trials": [numbers(text, 6) for text in table["trials"]],
            f"{label(BOUND)} (nats) [95 %]": [
                interval(*row) for row in table[["mean", "low", "high"]].itertuples(index=False)
            ],
            "n": table["n"],
            **{name: table[name] for name in varied},
        }
    )
    if table["confirmed"].any():
        shown["measured on"] = ["fresh seeds" if done else "the seeds that chose it" for done in table["confirmed"]]
    return shown


def _sentence(table: pd.DataFrame) -> str:
    """What the first reaches, on which seeds, and how many of the next may be as good."""
    first = table.iloc[0]
    text = (
        f"The configuration with the best {label(RANK)} (trial {numbers(first['trials'], 6)}) reaches a "
        f"{label(BOUND)} of {interval(first['mean'], first['low'], first['high'])} nats per image"
    )
    text += (
        f" over {count(int(first['n']), 'fresh seed')}."
        if first["confirmed"]
        else " on the seeds that chose it: expect less on fresh ones."
    )
    close = int(((table["high"] >= first["low"]) & (table["low"] <= first["high"])).sum()) - 1
    if close > 0:
        text += f" The intervals of {close} of the next {len(table) - 1} overlap with it: their order is not settled."
    return text
