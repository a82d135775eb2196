"""What a better bound costs: Pareto fronts of the bound against training time and against its Monte Carlo variance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, DIMENSION, FINISHED
from analysis.wording import axis, count, figure, listed

FEWEST = 4
"""Trials of a front: fewer nearly all lie on it."""


@dataclass(frozen=True)
class Cost:
    """Something that a better bound may cost."""

    column: str
    label: str
    """Of the axis, and how the figure is described."""
    title: str
    words: str
    """In the sentence: the front `against ...`."""
    unit: str


TIME = Cost(
    "seconds.training",
    "seconds.training (seconds per trial)",
    "Bound against training time",
    "training time",
    "seconds",
)
NOISE = Cost(
    "variance",
    "variance of one-draw ELBO (nats²)",
    "Bound against its variance",
    "the variance of a one-draw ELBO",
    "nats²",
)


def blocks(sweep: Sweep) -> list[Block]:
    """Bound against seconds of training, and against the Monte Carlo variance of the ELBO."""
    panels, said, written, few = [], [], [], []
    for cost, trials in _costs(sweep):
        marked = statistics.pareto_front(
            trials[["trial", DIMENSION, BOUND, cost.column]], maximise=[BOUND], minimise=[cost.column]
        )
        marked = marked[np.isfinite(marked[BOUND]) & np.isfinite(marked[cost.column]) & (marked[cost.column] > 0)]
        if len(marked) < FEWEST:
            few.append(cost.words)
            continue
        front = marked[marked["front"]].sort_values(cost.column)
        panels.append(_panel(marked, cost))
        said.append(_said(front, len(marked), cost))
        written.append(front.rename(columns={cost.column: "cost"}).assign(against=cost.column).drop(columns="front"))
    heading = Heading("What a better bound costs", folded=True)
    if few and not panels:
        return [heading, Note(f"Fewer than {FEWEST} trials show the bound beside {listed(few)}: no front to draw.")]
    if not panels:
        return []
    caption = (
        "Means over replicates; the front holds the trials that no other beats in both (listed "
        "below). The bound is noisy: neighbours on a front are seldom told apart."
    )
    text = "; ".join(said)
    return [
        heading,
        Figure(tuple(panels), caption, f"{text[:1].upper()}{text[1:]}."),
        Table("pareto_front", pd.concat(written, ignore_index=True), "Trials on the fronts.", rows=24, folded=True),
    ]


def _costs(sweep: Sweep) -> list[tuple[Cost, pd.DataFrame]]:
    """Each cost that the sweep measured, with its finished trials."""
    done = sweep.trials[sweep.trials["status"] == FINISHED]
    if BOUND not in done or len(done) < 2:
        return []
    costs = [(TIME, done)] if TIME.column in done else []
    rows = sweep.variance
    rows = rows[(rows["quantity"] == "elbo_monte_carlo") & (rows["sampling"] == "iid") & (rows["num_samples"] == 1)]
    if not rows.empty:
        costs.append((NOISE, done.merge(rows.groupby("trial", as_index=False)["variance"].mean(), on="trial")))
    return costs


def _panel(marked: pd.DataFrame, cost: Cost) -> Panel:
    """The trials and the front among them."""
    x, y = figures.Axis(cost.column, cost.label, log=True), figures.Axis(BOUND, axis(BOUND))
    return Panel(
        f"pareto_{cost.column.rpartition('.')[2]}",
        lambda axes: figures.front(axes, marked, x=x, y=y, on_front="front", title=cost.title),
        f"Pareto front of {BOUND} against {cost.label}",
    )


def _said(front: pd.DataFrame, trials: int, cost: Cost) -> str:
    """How many trials are on the front, and what its ends cost."""
    ends = [figure(front[cost.column].iloc[place], 3) for place in (0, -1)]
    return (
        f"{count(len(front), 'trial')} of {trials} {'is' if len(front) == 1 else 'are'} on the front against "
        f"{cost.words} ({f'from {ends[0]} to {ends[1]}' if len(front) > 1 else ends[0]} {cost.unit})"
    )
