"""Whether the KL estimator matters: differences between trials that share their seeds and everything else."""

from __future__ import annotations

import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.statistics.headline import Headline, estimators_apart
from analysis.tables.columns import BOUND, DIMENSION
from analysis.tables.kinds import KL_ESTIMATOR
from analysis.wording import count, interval, label, listed


def blocks(chosen: Headline) -> list[Block]:
    """Closed-form minus Monte Carlo KL: same seeds, same D, all else equal."""
    heading = Heading("Does the KL estimator matter?")
    table, reason = estimators_apart(chosen)
    if reason is not None:
        return [heading, Note(reason)]
    first = label(table["first"].iloc[0], KL_ESTIMATOR)
    caption = (
        "Same seed, same D, all other settings equal; to the right of zero, "
        f"{first} is better. Bars are 95 % "
        "t-intervals for each difference alone; "
        f"{count(int(table['comparisons'].iloc[0]), 'comparison')} shown, judged with Holm's "
        "correction. "
        f"n = {listed(sorted(set(table['n'])))} seeds each."
    )
    shown = pd.DataFrame(
        {
            "D": table[DIMENSION],
            "difference (nats)": [
                interval(*row) for row in table[["difference", "low", "high"]].itertuples(index=False)
            ],
            "seeds": table["n"],
            "p (Holm)": table["p_holm"],
            "verdict": table["verdict"],
        }
    )
    figure = Figure((_panel(table, first),), caption, statistics.overall_verdict(table, BOUND))
    return [heading, figure, Table("paired_differences", table, "Every comparison in words.", rows=40, shown=shown)]


def _panel(table: pd.DataFrame, first: str) -> Panel:
    """The differences beside zero, a row for each D (and estimator, where several are compared)."""
    several = table["second"].nunique() > 1
    names = [
        f"D = {d:g}, {label(second, KL_ESTIMATOR)}" if several else f"D = {d:g}"
        for d, second in table[[DIMENSION, "second"]].itertuples(index=False)
    ]
    rows = table.assign(mean=table["difference"], row=names)
    other = "other estimator" if several else label(table["second"].iloc[0], KL_ESTIMATOR)
    title = f"{first.capitalize()} minus {other}, same seeds"
    return Panel(
        "paired_differences",
        lambda axes: figures.forest(
            axes, rows, name="row", title=title, x_label="difference in test.elbo (nats per image)"
        ),
        "Paired differences in test ELBO between KL estimators, by latent dimension",
        (4.8, 1.1 + 0.3 * max(3, len(rows))),
    )
