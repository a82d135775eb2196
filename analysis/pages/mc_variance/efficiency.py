"""Variance times time: which estimator, scheme and L give most precision for what they cost."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Table
from analysis.pages.mc_variance.study import (
    MONTE_CARLO_ELBO,
    is_elbo,
    is_iid,
    is_kl,
    labelled,
    looks,
    named,
    sizes,
)
from analysis.tables.columns import DIMENSION
from analysis.tables.kinds import QUANTITY, SAMPLING
from analysis.wording import axis, figure, label


def blocks(variance: pd.DataFrame, dimension: int) -> list[Block]:
    """Variance times seconds against L at one D, and the cheapest estimates of the ELBO."""
    rows = variance[(variance[DIMENSION] == dimension) & variance["seconds"].notna()]
    if rows.empty:
        return []
    table = statistics.efficiency(rows)
    panels = _panels(table, dimension)
    if not panels:
        return []
    caption = (
        "Variance times seconds per image: what equal precision costs; lower is better. Flat lines: more draws "
        f"buy exactly what they cost. n = {sizes(rows)}."
    )
    return [
        Heading("Variance times time", folded=True),
        Figure(panels, caption, _sentence(table, dimension)),
        _table(table),
    ]


def _panels(table: pd.DataFrame, dimension: int) -> tuple[Panel, ...]:
    """Estimators with independent draws, and the schemes of one of them."""
    quantity = table["quantity"]
    groups = [
        (
            "variance_time_iid",
            "Estimators, i.i.d.",
            "quantity",
            is_iid(table) & (is_kl(quantity) | is_elbo(quantity)),
        ),
        ("variance_time_schemes", "ELBO, Monte Carlo KL, by scheme", "sampling", quantity == MONTE_CARLO_ELBO),
    ]
    return tuple(
        Panel(
            name,
            partial(_draw, table=table[wanted], column=column, title=f"{title} (D = {dimension})"),
            f"Variance times seconds: {title}",
            (4.5, 4.2),
        )
        for name, title, column, wanted in groups
        if wanted.any()
    )


def _draw(axes: Axes, *, table: pd.DataFrame, column: str, title: str) -> None:
    """One line for each estimator or scheme."""
    lines = named(table, column)
    figures.lines(
        axes,
        lines,
        x=figures.Axis("num_samples", axis("num_samples"), log=True),
        y=figures.Axis("mean", "variance × seconds per image (nats² s)", log=True),
        series=figures.Series("series", looks(lines, column)),
        title=title,
    )


def _sentence(table: pd.DataFrame, dimension: int) -> str:
    """The cheapest estimate of the ELBO for its precision."""
    elbo = table[is_elbo(table["quantity"]) & table["mean"].notna()]
    if elbo.empty:
        return "The study timed no estimator of the ELBO."
    best = elbo.iloc[int(elbo["mean"].argmin())]
    return (
        f"For the ELBO at D = {dimension}, the {label(best['quantity'], QUANTITY).removeprefix('ELBO, ')} with "
        f"{label(best['sampling'], SAMPLING)} draws and L = {best['num_samples']:g} gives most precision for "
        f"its time: {figure(best['mean'], 3)} nats² s."
    )


def _table(table: pd.DataFrame) -> Table:
    """Every estimator by its cost; the ten cheapest of the ELBO are shown."""
    ordered = table.sort_values("mean", ignore_index=True)
    best = ordered[is_elbo(ordered["quantity"])].head(10)
    shown = pd.DataFrame(
        {
            "estimator": labelled(best, "quantity"),
            "sampling": labelled(best, "sampling"),
            "L": best["num_samples"],
            "variance (nats²)": best["variance"],
            "seconds per image": best["seconds"],
            "variance × seconds": best["mean"],
        }
    )
    return Table(
        "efficiency",
        ordered,
        "The ten cheapest estimates of the ELBO for their precision; the file holds every estimator.",
        shown=shown,
        folded=True,
    )
