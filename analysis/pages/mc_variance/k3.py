"""What becomes of the KL estimator k3: how few draws its variance rests on, and where that variance is infinite."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Table, Text
from analysis.figures import theme
from analysis.pages.mc_variance.study import K1, K3, VARIANCE
from analysis.tables.columns import DIMENSION
from analysis.tables.kinds import QUANTITY
from analysis.wording import axis, count, figure, label

GAUSSIAN = (
    "But that variance is finite only while every posterior variance exceeds 1/2, and a latent unit that carries "
    "information has a far smaller one. The measured variance of k3 is then carried by a few draws and says nothing; "
    "it grows without limit with the number of draws."
)
"""What holds of a Gaussian posterior under a standard normal prior."""
ANY = (
    "But that variance is finite only where p(z)²/q(z) has a finite integral, which depends on the posterior and the "
    "prior: where q has the lighter tails, the measured variance is carried by a few draws and says nothing."
)


def blocks(variance: pd.DataFrame, *, normal: bool) -> list[Block]:
    """The variance of k3 beside that of k1, and how few draws it rests on; nothing where the study has no k3.

    Args:
        variance: Variance study with the dimension of its trials.
        normal: Whether all pairs are a Gaussian posterior under a standard normal prior.
    """
    table = statistics.k3_divergence(variance)
    if table.empty:
        return []
    text = (
        "k3 = (r − 1) − log r with r = p(z)/q(z) is never negative and, where it has a variance, "
        f"often a smaller one than k1. {GAUSSIAN if normal else ANY}"
    )
    caption = (
        "Medians over replicates, L = 1, i.i.d. Second: the effective number of draws that the measured variance of k3 "
        f"rests on; below the dotted line ({figure(float(table['limit'].min()), 2)}) it says nothing. "
        f"n = {count(int(table['n'].sum()), 'replicate')}, "
        f"{int(table['draws'].min())} draws each."
    )
    heading = Heading("Why k3 fails here" if table["unreliable"].any() else "k3 beside k1", folded=len(table) > 1)
    shown = table[[DIMENSION, "k1_variance", "k3_variance", "ratio", "carrying_draws", "draws", "unreliable"]]
    written = Table("k3_divergence", table, "Variances in nats².", shown=shown, folded=True)
    if len(table) == 1:  # one point is no curve
        return [heading, Text(f"{text} {_sentence(table)}"), written]
    panels = (
        Panel("k3_variance", partial(_draw_variance, table=table), "Variance of k3 and of k1 against D"),
        Panel("k3_carrying_draws", partial(_draw_carrying, table=table), "Draws that carry the variance of k3, by D"),
    )
    return [heading, Text(text), Figure(panels, caption, _sentence(table)), written]


def _sentence(table: pd.DataFrame) -> str:
    """Where k3 is worst beside k1, and at how many D its measured variance means nothing."""
    worst = table.iloc[int(table["ratio"].argmax())]
    return (
        f"At D = {worst[DIMENSION]:g} the measured variance of k3 is {figure(worst['ratio'], 3)} times that of k1, and "
        f"rests on {_carrying(worst['carrying_draws'])} of {worst['draws']:g} draws; it means nothing at "
        f"{int(table['unreliable'].sum())} of {count(len(table), 'latent dimension')}."
    )


def _carrying(draws: float) -> str:
    """The effective number of draws; the sample's kurtosis cannot show fewer than one."""
    return f"about {draws:.0f}" if draws >= 1.5 else "hardly more than one"


def _draw_variance(axes: Axes, *, table: pd.DataFrame) -> None:
    """Both variances against D."""
    long = table.melt([DIMENSION], ["k1_variance", "k3_variance"], var_name="quantity", value_name="variance")
    long = long.assign(series=[label(name.removesuffix("_variance"), QUANTITY) for name in long["quantity"]])
    figures.lines(
        axes,
        long,
        x=figures.Axis(DIMENSION, axis(DIMENSION), log=True),
        y=figures.Axis("variance", VARIANCE, log=True),
        series=figures.Series("series", figures.marked([label(K1, QUANTITY), label(K3, QUANTITY)], QUANTITY, [K1, K3])),
        title="Variance of one draw",
    )


def _draw_carrying(axes: Axes, *, table: pd.DataFrame) -> None:
    """The draws that k3's measured variance rests on, beside the number below which it says nothing."""
    look: figures.Style = {"color": theme.colours([K3], QUANTITY)[0], "marker": "s", "linestyle": "-"}
    limit = float(table["limit"].min())
    figures.reference_line(axes, limit, f"{figure(limit, 2)} draws", right=True)
    figures.lines(
        axes,
        table.assign(series=K3),
        x=figures.Axis(DIMENSION, axis(DIMENSION), log=True),
        y=figures.Axis("carrying_draws", "effective draws (carrying_draws)", log=True, reach=limit),
        series=figures.Series("series", {K3: look}),
        title="What the variance of k3 rests on",
    )
