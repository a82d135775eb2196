"""What the variation between the designed trials goes with: a share for each factor, beside what seeds alone do."""

from __future__ import annotations

import pandas as pd

from analysis import figures
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.statistics import answers
from analysis.statistics.bounds import judged_by
from analysis.statistics.few_seeds.factor_shares import INTERACTIONS, SEEDS
from analysis.tables import Sweep
from analysis.tables.columns import FACTORIAL
from analysis.wording import count, label, listed

CERTAIN = 0.05
"""A factor is named where its F-test has a p-value below."""


def blocks(sweep: Sweep) -> list[Block]:
    """Analysis of variance of the design; a note where it has one seed a cell; nothing without a design."""
    table, value = answers.shares(sweep), judged_by(sweep).value
    heading = Heading("What the variation goes with", folded=True)
    if table.empty:
        if not (sweep.trials["phase"] == FACTORIAL).any():
            return []
        return [heading, Note("The design has no two seeds in a cell or nothing varied: its factors have no shares.")]
    shown = pd.DataFrame(
        {
            "source": [_words(name) for name in table["source"]],
            "share [95 %]": [_share(*row) for row in table[["share", "low", "high"]].itertuples(index=False)],
            "degrees of freedom": table["degrees"],
            "F": table["f"],
            "p": table["p_value"],
        }
    )
    panel = Panel(
        "factor_shares",
        lambda axes: figures.bars(
            axes,
            table.assign(source=shown["source"]),
            name="source",
            x=figures.Axis("share", f"share of the variation in {value}"),
            texts=[_percent(share) for share in table["share"]],
            title="What the variation goes with",
        ),
        "Share of the variation between the replicates of the design by factor",
        (4.8, 1.1 + 0.3 * max(3, len(table))),
    )
    caption = (
        "Analysis of variance of the designed trials (type II), with the seeds within a cell as the error; eta "
        f"squared. Trials of a search take no part. n = {count(int(table['degrees'].sum()) + 1, 'replicate')}."
    )
    return [
        heading,
        Figure((panel,), caption, sentence(table, value)),
        Table("factor_shares", table, "Shares with intervals from the noncentral F.", shown=shown, folded=True),
    ]


def sentence(table: pd.DataFrame, value: str) -> str:
    """The factors that are certain to matter, by their shares, and what is left to the seeds."""
    factors = table[~table["source"].isin([INTERACTIONS, SEEDS])]
    certain = factors[factors["p_value"] < CERTAIN]
    left = float(table.loc[table["source"] == SEEDS, "share"].iloc[0])
    seeds = f"{_percent(left)} is what another seed changes"
    if certain.empty:
        return f"No factor of the design shows more variation in {label(value)} than seeds do: {seeds}."
    said = [
        f"{_share(*row[1:])} goes with {_words(row[0])}"
        for row in certain[["source", "share", "low", "high"]].to_numpy()
    ]
    return f"Of the variation in {label(value)} between the designed trials, {listed(said)}; {seeds}."


def _words(source: str) -> str:
    """The factor's key; the other rows in words."""
    return {INTERACTIONS: "interactions of factors", SEEDS: "seeds"}.get(source, source)


def _share(share: float, low: float, high: float) -> str:
    """`64 % [38, 75]`."""
    return _percent(share) if low != low else f"{_percent(share)} [{100 * low:.0f}, {100 * high:.0f}]"


def _percent(share: float) -> str:
    """`64 %`."""
    return f"{100 * share:.0f} %"
