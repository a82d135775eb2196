"""Variance of one draw against the latent dimension and against active units."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Text
from analysis.figures import theme
from analysis.pages.common import spread
from analysis.pages.mc_variance.study import (
    CLOSED_FORM_ELBO,
    K1,
    MONTE_CARLO_ELBO,
    VARIANCE,
    is_iid,
    is_kl,
    looks,
    named,
    sizes,
)
from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION
from analysis.tables.kinds import QUANTITY
from analysis.wording import axis, label

UNITS = "test.active_units"


def blocks(sweep: Sweep, variance: pd.DataFrame) -> list[Block]:
    """One draw's variance against D and against active units, with the closed form from (loc, scale)."""
    rows = variance[(variance["num_samples"] == 1) & is_iid(variance)]
    rows = rows[is_kl(rows["quantity"]) | rows["quantity"].isin([CLOSED_FORM_ELBO, MONTE_CARLO_ELBO])]
    if rows.empty:
        return []
    points = named(rows, "quantity")
    means = statistics.geometric_means(points, "variance", [DIMENSION, "series"], unit="trial")
    heading = Heading("How it grows with the latent dimension", folded=True)
    if rows[DIMENSION].nunique() == 1:
        return [heading, Text(_sentence(means))]
    exact = points[(points["quantity"] == K1) & np.isfinite(points["predicted"])]
    predicted = statistics.geometric_means(exact, "predicted", [DIMENSION])
    draw = partial(_draw, points=points, means=means, predicted=predicted)
    panels = [Panel("variance_vs_dimension", draw, "Variance of one draw against the latent dimension", (4.5, 4.2))]
    units = _with_units(sweep, rows[rows["quantity"] == K1])
    if not units.empty:
        panels.append(
            Panel(
                "variance_vs_active_units",
                partial(_draw_units, rows=units),
                "Variance of one draw of k1 against active units",
                (4.5, 4.2),
            )
        )
    caption = (
        "L = 1, i.i.d. draws. Small marks: replicates; large marks: geometric means over trials with 95 % "
        f"t-intervals of the logarithm. n = {sizes(rows)}."
    )
    return [heading, Figure(tuple(panels), caption, _sentence(means))]


def _draw(axes: Axes, *, points: pd.DataFrame, means: pd.DataFrame, predicted: pd.DataFrame) -> None:
    """The measured variances, and the line that the closed form predicts for k1."""
    if not predicted.empty:
        figures.reference_curve(axes, predicted, x=DIMENSION, y="mean", text="k1, predicted from (loc, scale)")
    figures.against(
        axes,
        points,
        means,
        x=figures.Axis(DIMENSION, axis(DIMENSION), log=spread(points[DIMENSION].unique())),
        y=figures.Axis("variance", VARIANCE, log=True),
        series=figures.Series("series", looks(points.sort_values("quantity"), "quantity")),
        title="One draw, against D",
    )


def _with_units(sweep: Sweep, rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the study with the active units of their replicate; none where the sweep did not count them."""
    if UNITS not in sweep.replicates:
        return rows.head(0)
    units = rows.merge(sweep.replicates[["trial", "replicate", UNITS]], on=["trial", "replicate"])
    return units[units[UNITS].notna()]


def _draw_units(axes: Axes, *, rows: pd.DataFrame) -> None:
    """Measured and predicted variance of k1, a point each for every replicate."""
    both = pd.concat(
        [
            rows.assign(series="measured"),
            rows[rows["predicted"].notna()].assign(series="predicted from (loc, scale)", variance=rows["predicted"]),
        ]
    )
    styles: dict[str, figures.Style] = {
        "measured": {"color": theme.colours([K1], QUANTITY)[0], "marker": "o", "linestyle": ""},
        "predicted from (loc, scale)": {"color": theme.INK, "marker": "x", "linestyle": ""},
    }
    drawn = {name: look for name, look in styles.items() if (both["series"] == name).any()}
    figures.scatter(
        axes,
        both,
        x=figures.Axis(UNITS, axis(UNITS)),
        y=figures.Axis("variance", VARIANCE),
        series=figures.Series("series", drawn),
        title="k1, one draw, against active units",
    )


def _sentence(means: pd.DataFrame) -> str:
    """The variance of one draw of k1 at the smallest and at the largest D."""
    rows = means[means["series"] == label(K1, QUANTITY)].sort_values(DIMENSION)
    if rows.empty:
        return "The study has no k1, so its growth with D is not known."
    first, last = rows.iloc[0], rows.iloc[-1]
    text = f"One draw of k1 has a variance of {first['mean']:.3g} nats² at D = {first[DIMENSION]:g}"
    if first[DIMENSION] == last[DIMENSION]:
        return f"{text}, the only D."
    return f"{text} and {last['mean']:.3g} nats² at D = {last[DIMENSION]:g}."
