"""How far the importance-weighted bounds can be trusted: their diagnostics, and what these cannot see."""

from __future__ import annotations

import pandas as pd

from analysis.document.blocks import Block, Heading, Table, Text
from analysis.pages.common import counted
from analysis.pages.elbo_vs_dimension.parts import largest_iwae
from analysis.statistics.headline import Headline
from analysis.tables.columns import DIMENSION
from analysis.wording import figure

DIAGNOSTICS = {
    "test.effective_sample_size": "effective sample size",
    "test.pareto_k": "Pareto k",
    "test.pareto_k_unreliable": "share of images with k > 0.7",
}
"""Metric -> heading of its column."""
BLIND = (
    "What they cannot see: effective sample size, Pareto k, IWAE and AIS started from q know only the places that q "
    "proposes. A mode of the posterior that q has missed lowers every bound and alarms no diagnostic: with q on one of "
    "two equal modes all are log 2 = 0.69 nats too low, and the weights look perfect."
)


def blocks(chosen: Headline) -> list[Block]:
    """The diagnostics at each D and series, and their blind spot; nothing where none was measured."""
    means = {name: rows for name in DIAGNOSTICS if not (rows := chosen.means(name)).empty}
    if not means:
        return []
    keys = ["series", DIMENSION]
    table = pd.concat([rows[keys] for rows in means.values()]).drop_duplicates().sort_values(keys, ignore_index=True)
    for name, rows in means.items():
        table = table.merge(rows[[*keys, "mean"]].rename(columns={"mean": name}), on=keys, how="left")
    draws = largest_iwae(chosen.replicates)
    caption = f"Means over replicates{f', of the weights of {draws}' if draws else ''}. {counted(chosen.replicates)}."
    shown = table.rename(columns=DIAGNOSTICS)
    return [
        Heading("How far the importance-weighted bound can be trusted"),
        Text(f"{_sentence(table, draws)} {BLIND}"),
        Table("weights", table, caption, rows=40, shown=shown, folded=True),
    ]


def _sentence(table: pd.DataFrame, draws: str | None) -> str:
    """The worst value of each diagnostic."""
    said = []
    least, shape, share = (table[name].dropna() if name in table else pd.Series(dtype=float) for name in DIAGNOSTICS)
    if len(least):
        of = f" of {draws.rpartition('_')[2]}" if draws else ""
        said.append(f"the effective sample size is at least {figure(float(least.min()), 3)}{of}")
    if len(shape):
        said.append(f"Pareto k is at most {figure(float(shape.max()), 2)}")
    if len(share):
        said.append(f"at most {100 * float(share.max()):.0f} % of the images have k > 0.7")
    text = ", ".join(said)
    return f"Over the points of the curve, {text}; above k = 0.7 the bound of an image is not to be trusted."
