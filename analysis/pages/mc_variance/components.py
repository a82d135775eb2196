"""Where the variance of one estimate comes from: other images, other draws, another seed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Table
from analysis.pages.mc_variance.study import (
    K1,
    MONTE_CARLO_ELBO,
    RECONSTRUCTION,
    is_elbo,
    is_kl,
    labelled,
    sizes,
)
from analysis.statistics import planning
from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION
from analysis.tables.kinds import QUANTITY
from analysis.wording import figure, interval, label, listed

PARTS = {
    "between_images": "between images",
    "monte_carlo": "Monte Carlo (one draw)",
    "between_replicates": "between replicates",
}
"""Component -> what the legend says of it."""


def blocks(sweep: Sweep, variance: pd.DataFrame, dimension: int) -> list[Block]:
    """Shares of the components at one D, and the components themselves at every D."""
    measured = planning.measured(sweep)
    one = (measured["sampling"] == "iid") & (measured["num_samples"] == 1)
    table = statistics.variance_components(measured[one])
    rows = table[(table[DIMENSION] == dimension) & _shown_here(table["quantity"])]
    if rows["share"].notna().sum() == 0:
        return []
    wide = rows.pivot(index="quantity", columns="component", values="share").reset_index()
    wide = wide.assign(name=labelled(wide, "quantity"))
    parts = {name: text for name, text in PARTS.items() if name in wide}
    title = f"One estimate (D = {dimension})"
    panel = Panel(
        "variance_components",
        lambda axes: figures.shares(axes, wide, name="name", parts=parts, title=title, x_label="share of the variance"),
        "Share of each variance component per estimator",
        (4.9, 3.4),
    )
    caption = (
        "One image, one draw, one replicate: which of the three a longer study should have more of. Shares of the "
        "known components, with 95 % intervals of what seeds and images tell of their own: seeds are pooled as in the "
        "report's intervals, images are all that were evaluated, as in the planner; L = 1, i.i.d. "
        f"n = {sizes(variance[variance[DIMENSION] == dimension])}."
    )
    sentence = f"At D = {dimension}: {'; '.join(_shares(rows))}."
    return [Heading("Where the variance comes from", folded=True), Figure((panel,), caption, sentence), _table(table)]


def _shown_here(quantity: pd.Series) -> pd.Series:
    """Estimators of the KL, of the ELBO and of the reconstruction term."""
    return is_kl(quantity) | is_elbo(quantity) | (quantity == RECONSTRUCTION)


def _shares(rows: pd.DataFrame) -> list[str]:
    """The two estimators that a reader asks about: where one estimate of the ELBO and of the KL gets its variance."""
    said = []
    for quantity in (MONTE_CARLO_ELBO, K1):
        own = rows[(rows["quantity"] == quantity) & rows["share"].notna()].sort_values("share", ascending=False)
        if not own.empty:
            said.append(f"{label(quantity, QUANTITY)}: {listed([_share(row) for _, row in own.iterrows()])}")
    return said


def _share(row: pd.Series) -> str:
    """`0.9% [0.4%, 2.1%] between replicates`."""
    span = f" [{row['share_low']:.1%}, {row['share_high']:.1%}]" if np.isfinite(row["share_low"]) else ""
    return f"{row['share']:.1%}{span} {PARTS[row['component']]}"


def _table(table: pd.DataFrame) -> Table:
    """The components in nats², by D and estimator."""
    rows = table[_shown_here(table["quantity"])]
    rows = rows.assign(text=[_component(*row) for row in rows[["variance", "low", "high"]].to_numpy(float)])
    wide = rows.pivot(index=["quantity", DIMENSION], columns="component", values="text").reset_index()
    return Table(
        "variance_components",
        table,
        "Components in nats² at L = 1, i.i.d., by D and estimator.",
        rows=24,
        shown=wide.assign(quantity=labelled(wide, "quantity")).rename_axis(columns=None),
        folded=True,
    )


def _component(variance: float, low: float, high: float) -> str:
    """A variance with its interval, where it is known from few."""
    return interval(variance, low, high) if np.isfinite(low) else figure(variance)
