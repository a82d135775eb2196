"""The middle of page 3: variance times time, the sources of the variance, and what becomes of k3."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Table, Text
from analysis.figures import theme
from analysis.pages.common import ELBO, KL, among, named, sizes, with_configuration
from analysis.statistics.headline import DIMENSION
from analysis.tables import Sweep
from analysis.wording import axis, count, figure, label, listed

CARRYING = 30.0
"""Effective draws below which a measured variance says nothing."""


def efficiency(variance: pd.DataFrame, dimension: int) -> list[Block]:
    rows = variance[(variance[DIMENSION] == dimension) & variance["seconds"].notna()]
    if rows.empty:
        return []
    table = statistics.efficiency(rows)
    panels = []
    groups: list[tuple[str, str, dict[str, tuple[str, ...]]]] = [
        ("variance_time_iid", "Estimators, i.i.d.", {"sampling": ("iid",), "quantity": (*KL, *ELBO[1:])}),
        ("variance_time_schemes", "ELBO, Monte Carlo KL, by scheme", {"quantity": ("elbo_monte_carlo",)}),
    ]
    for name, title, wanted in groups:
        mine = among(table, wanted)
        if not mine.empty:
            mine = named(mine, "quantity" if len(wanted["quantity"]) > 1 else "sampling")
            panels.append(
                Panel(
                    name,
                    partial(_draw_efficiency, table=mine, title=f"{title} (D = {dimension})"),
                    f"Variance times seconds: {title}",
                    (4.5, 4.2),
                )
            )
    if not panels:
        return []
    elbo = table[table["quantity"].isin(ELBO[1:]) & table["mean"].notna()]
    sentence = "The study timed no estimator of the ELBO."
    if not elbo.empty:
        best = elbo.iloc[int(elbo["mean"].argmin())]
        sentence = (
            f"For the ELBO at D = {dimension}, the {label(best['quantity']).removeprefix('ELBO, ')} with "
            f"{label(best['sampling'])} draws and L = {best['num_samples']:g} gives most precision for "
            f"its time: {figure(best['mean'], 3)} nats² s."
        )
    caption = (
        "Variance times seconds per image: what equal precision costs; lower is better. Flat lines: more draws "
        f"buy exactly what they cost. n = {sizes(rows)}."
    )
    return [Heading("Variance times time"), Figure(tuple(panels), caption, sentence), _efficiency_table(table)]


def _efficiency_table(table: pd.DataFrame) -> Table:
    ordered = table.sort_values("mean", ignore_index=True)
    best = ordered[ordered["quantity"].isin(ELBO[1:])].head(10)
    shown = pd.DataFrame(
        {
            "estimator": [label(name) for name in best["quantity"]],
            "sampling": [label(name) for name in best["sampling"]],
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


def _draw_efficiency(axes: Axes, *, table: pd.DataFrame, title: str) -> None:
    keys = list(dict.fromkeys(table["key"]))
    style: dict[str, figures.Style] = {
        label(key): {"color": theme.colour(key, i), "marker": theme.MARKERS[i], "linestyle": "-"}
        for i, key in enumerate(keys)
    }
    figures.lines(
        axes,
        table,
        x="num_samples",
        y="mean",
        series="series",
        style=style,
        title=title,
        x_label=axis("num_samples"),
        y_label="variance × seconds per image (nats² s)",
    )


def components(sweep: Sweep, variance: pd.DataFrame, dimension: int) -> list[Block]:
    replicates = with_configuration(sweep, "replicates")
    table = statistics.variance_components(replicates, variance, num_samples=1)
    rows = table[(table[DIMENSION] == dimension) & table["quantity"].isin([*KL, *ELBO])]
    if rows["share"].notna().sum() == 0:
        return []
    parts = {
        "between_images": "between images",
        "monte_carlo": "Monte Carlo (one draw)",
        "between_replicates": "between replicates",
    }
    wide = rows.pivot(index="quantity", columns="component", values="share").reset_index()
    wide = wide.assign(name=[label(name) for name in wide["quantity"]])

    def draw(axes: Axes) -> None:
        figures.shares(
            axes,
            wide,
            name="name",
            parts=[p for p in parts if p in wide],
            labels=parts,
            title=f"One estimate (D = {dimension})",
            x_label="share of the variance",
        )

    panel = Panel("variance_components", draw, "Share of each variance component per estimator", (4.9, 3.4))
    caption = (
        "One image, one draw, one replicate: which of the three a longer study should have more of. Shares of the "
        f"known components; L = 1, i.i.d. n = {sizes(variance[variance[DIMENSION] == dimension])}."
    )
    sentence = f"At D = {dimension}: {'; '.join(_shares(wide, parts))}."
    return [
        Heading("Where the variance comes from"),
        Figure((panel,), caption, sentence),
        Table(
            "variance_components",
            table,
            "Components in nats² at L = 1, i.i.d., by D and estimator.",
            rows=24,
            shown=_components_shown(table),
            folded=True,
        ),
    ]


def _shares(wide: pd.DataFrame, parts: dict[str, str]) -> list[str]:
    """The two estimators that a reader asks about: where one estimate of the ELBO and of the KL gets its variance."""
    said = []
    for quantity in ("elbo_monte_carlo", "k1"):
        row = wide[wide["quantity"] == quantity]
        if not row.empty:
            known = [(float(row[name].iloc[0]), text) for name, text in parts.items() if name in wide]
            shares = sorted((pair for pair in known if np.isfinite(pair[0])), reverse=True)
            said.append(f"{label(quantity)}: {listed([f'{share:.1%} {text}' for share, text in shares])}")
    return said


def _components_shown(table: pd.DataFrame) -> pd.DataFrame:
    rows = table[table["quantity"].isin([*KL, *ELBO])]
    wide = rows.pivot(index=["quantity", DIMENSION], columns="component", values="variance").reset_index()
    return wide.assign(quantity=[label(name) for name in wide["quantity"]]).rename_axis(columns=None)


def k3(variance: pd.DataFrame) -> list[Block]:
    table = statistics.k3_divergence(variance, carrying=CARRYING)
    if table.empty:
        return []
    text = (
        "k3 = (r − 1) − log r with r = p(z)/q(z) is never negative and, where it has a variance, "
        "often a smaller one than k1. But that variance is "
        "finite only while every posterior variance exceeds 1/2, and a latent unit that carries "
        "information has a far smaller one. The measured "
        "variance of k3 is then carried by a few draws and says nothing; it grows without limit with "
        "the number of draws."
    )
    worst = table.iloc[int(table["ratio"].argmax())]
    doubtful = int(table["unreliable"].sum())
    sentence = (
        f"At D = {worst[DIMENSION]:g} the measured variance of k3 is {figure(worst['ratio'], 3)} times that of k1, and "
        f"rests on about {worst['carrying_draws']:.0f} of {worst['draws']:g} draws; it means nothing at {doubtful} of "
        f"{count(len(table), 'latent dimension')}."
    )
    caption = (
        "Medians over replicates, L = 1, i.i.d. Second: the effective number of draws that the measured variance of k3 "
        f"rests on; below the dotted line ({CARRYING:g}) it says nothing. "
        f"n = {count(int(table['n'].sum()), 'replicate')}, "
        f"{int(table['draws'].min())} draws each."
    )
    panels = (
        Panel("k3_variance", partial(_draw_k3_variance, table=table), "Variance of k3 and of k1 against D"),
        Panel("k3_carrying_draws", partial(_draw_carrying, table=table), "Draws that carry the variance of k3, by D"),
    )
    shown = table[[DIMENSION, "k1_variance", "k3_variance", "ratio", "carrying_draws", "draws", "unreliable"]]
    return [
        Heading("Why k3 fails here" if doubtful else "k3 beside k1"),
        Text(text),
        Figure(panels, caption, sentence),
        Table("k3_divergence", table, "Variances in nats².", shown=shown, folded=True),
    ]


def _draw_k3_variance(axes: Axes, *, table: pd.DataFrame) -> None:
    long = table.melt([DIMENSION], ["k1_variance", "k3_variance"], var_name="quantity", value_name="variance")
    long = long.assign(series=[label(name.removesuffix("_variance")) for name in long["quantity"]])
    style: dict[str, figures.Style] = {
        label(name): {"color": theme.colour(name), "marker": theme.MARKERS[place], "linestyle": "-"}
        for place, name in enumerate(("k1", "k3"))
    }
    figures.lines(
        axes, long, x=DIMENSION, y="variance", series="series", style=style, title="Variance of one draw",
        x_label=axis(DIMENSION), y_label="variance (nats²)",
    )  # fmt: skip


def _draw_carrying(axes: Axes, *, table: pd.DataFrame) -> None:
    style: dict[str, figures.Style] = {"k3": {"color": theme.colour("k3"), "marker": "s", "linestyle": "-"}}
    figures.reference_line(axes, CARRYING, f"{CARRYING:g} draws", right=True)
    figures.lines(
        axes, table.assign(series="k3"), x=DIMENSION, y="carrying_draws", series="series", style=style,
        title="What the variance of k3 rests on", x_label=axis(DIMENSION), y_label="effective draws (carrying_draws)",
        reach=CARRYING,
    )  # fmt: skip
