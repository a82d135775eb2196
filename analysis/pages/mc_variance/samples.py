"""Variance against the number of draws L: how fast it falls, for each estimator and each scheme of drawing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Table
from analysis.pages.common import slope_text, slopes_by_dimension
from analysis.pages.mc_variance.study import (
    IWAE,
    K1,
    K3,
    MONTE_CARLO_ELBO,
    RECONSTRUCTION,
    VARIANCE,
    is_elbo,
    is_iid,
    is_kl,
    labelled,
    looks,
    named,
    sizes,
    yes_no,
)
from analysis.tables.columns import DIMENSION
from analysis.tables.kinds import QUANTITY
from analysis.wording import axis, label, listed


def blocks(variance: pd.DataFrame, dimension: int) -> list[Block]:
    """Variance against L on log-log axes: estimators, schemes, and the slope of each beside -1."""
    rows = variance[variance[DIMENSION] == dimension]
    # A pair is two draws: what is called antithetic at L = 1 is one independent draw.
    rows = rows[(rows["sampling"] != "antithetic") | (rows["num_samples"] > 1)]
    keys = ["quantity", "sampling", "num_importance_samples"]
    measured = statistics.geometric_means(rows, "variance", [*keys, "num_samples"])
    caption = (
        "Log-log. Marks: geometric means over replicates with 95 % t-intervals of the logarithm; "
        "lines: fitted power laws, "
        "their slope with its 95 % interval in the "
        f"legend; grey: slope −1, what independent draws must show. The reconstruction term varies exactly as the ELBO "
        f"with closed-form KL. D = {dimension}; n = {sizes(rows)}."
    )
    everywhere = statistics.variance_slopes(variance)
    sobol = statistics.variance_slopes(variance[variance["sampling"] == "sobol"], by=DIMENSION)
    return [
        Heading("How fast the variance falls with L"),
        Figure(_panels(measured, statistics.variance_slopes(rows), dimension), caption, _sentence(everywhere, sobol)),
        _table(everywhere),
        *([_table_of_sobol(sobol)] if variance[DIMENSION].nunique() > 1 and len(sobol) else []),
    ]


@dataclass(frozen=True)
class Group:
    """Lines that are drawn in one panel."""

    name: str
    title: str
    column: str
    """Tells the lines apart."""
    wanted: pd.Series
    """The rows of the means that belong to it."""


def _panels(measured: pd.DataFrame, slopes: pd.DataFrame, dimension: int) -> tuple[Panel, ...]:
    """Estimators of the KL and of the ELBO, schemes of one of each, and the IWAE bound by K."""
    panels = []
    for group, lines in zip(_groups(measured), _groups(slopes)):
        rows = measured[group.wanted]
        if not rows.empty:
            draw = partial(
                _draw,
                measured=named(rows, group.column),
                slopes=named(slopes[lines.wanted], group.column),
                column=group.column,
                title=f"{group.title} (D = {dimension})",
            )
            describes = f"{group.title}: variance against the number of draws, log-log"
            panels.append(Panel(group.name, draw, describes, (4.5, 4.4)))
    return tuple(panels)


def _groups(rows: pd.DataFrame) -> list[Group]:
    """The panels, for rows with `quantity` and `sampling`."""
    quantity, iid = rows["quantity"], is_iid(rows)
    return [
        Group("variance_kl_estimators", "KL estimators, i.i.d.", "quantity", is_kl(quantity) & iid),
        Group("variance_elbo_estimators", "ELBO estimators, i.i.d.", "quantity", is_elbo(quantity) & iid),
        Group("variance_k1_schemes", "KL (k1) by sampling scheme", "sampling", quantity == K1),
        Group("variance_elbo_schemes", "ELBO, Monte Carlo KL, by scheme", "sampling", quantity == MONTE_CARLO_ELBO),
        Group("variance_iwae", "IWAE bound, i.i.d.", "num_importance_samples", (quantity == IWAE) & iid),
    ]


def _draw(axes: Axes, *, measured: pd.DataFrame, slopes: pd.DataFrame, column: str, title: str) -> None:
    """The means of one panel with their fitted lines; the legend holds the slopes."""
    texts = {row["series"]: f"{row['series']}: slope {slope_text(row)}" for _, row in slopes.iterrows()}
    figures.log_log(
        axes,
        measured,
        _fitted(measured, slopes),
        x=figures.Axis("num_samples", axis("num_samples"), log=True),
        y=figures.Axis("mean", VARIANCE, log=True),
        series=figures.Series("series", looks(measured, column), texts),
        title=title,
    )


def _fitted(measured: pd.DataFrame, slopes: pd.DataFrame) -> pd.DataFrame:
    """The ends of each fitted line (intercept and slope are statistics'), and of a -1 line from the highest of them."""
    tried = measured.groupby("series")["num_samples"].agg(["min", "max"])
    lines = [
        (row["series"], row["intercept"], row["slope"], tried.loc[row["series"]].to_numpy(float))
        for _, row in slopes.iterrows()
    ]
    if lines:
        everywhere = np.array([tried["min"].min(), tried["max"].max()], dtype=float)
        lines.append((figures.MINUS_ONE, max(line[1] for line in lines), -1.0, everywhere))
    frames = [
        pd.DataFrame({"series": name, "num_samples": ends, "fitted": np.exp(start + slope * np.log(ends))})
        for name, start, slope, ends in lines
    ]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["series", "num_samples", "fitted"])


def _table(slopes: pd.DataFrame) -> Table:
    """Every slope beside the theory's."""
    shown = pd.DataFrame(
        {
            "quantity": labelled(slopes, "quantity"),
            "draws": labelled(slopes, "sampling"),
            "K": slopes["num_importance_samples"],
            "n": slopes["n"],
            "slope [95 %]": [slope_text(row) for _, row in slopes.iterrows()],
            "theory": slopes["expected"],
            "interval holds it": yes_no(slopes["contains_expected"], slopes["expected"]),
        }
    )
    caption = (
        "Slopes of log variance against log L over all trials; the interval is Student t over replicates, which share "
        f"their draws where they share a seed. Of {int(_distinct(slopes)['expected'].notna().sum())} intervals at 95 % "
        "that are of different numbers, one in twenty misses by chance alone. Sobol's slope depends on D: see by D."
    )
    return Table("variance_slopes", slopes, caption, rows=60, shown=shown, folded=True)


def _distinct(slopes: pd.DataFrame) -> pd.DataFrame:
    """Each number once: IWAE with K = 1 is the Monte Carlo ELBO, the reconstruction varies as the closed-form ELBO."""
    same = (slopes["quantity"] == IWAE) & (slopes["num_importance_samples"] == 1)
    return slopes[~same & (slopes["quantity"] != RECONSTRUCTION)]


def _table_of_sobol(slopes: pd.DataFrame) -> Table:
    """The slope with scrambled Sobol draws at each D."""
    known = slopes[slopes["slope"].notna()]
    shown = pd.DataFrame(
        {
            "quantity": labelled(known, "quantity"),
            "K": known["num_importance_samples"],
            "D": known[DIMENSION],
            "n": known["n"],
            "slope [95 %]": [slope_text(row) for _, row in known.iterrows()],
        }
    )
    caption = (
        "Slopes of log variance against log L with scrambled Sobol draws, at each D: an average over the measured L."
    )
    return Table("sobol_slopes", known, caption, rows=80, shown=shown, folded=True)


def _sentence(slopes: pd.DataFrame, sobol: pd.DataFrame) -> str:
    """For how many estimators the slope is -1 where it must be, and what scrambled Sobol draws do to k1's."""
    judged = slopes["expected"].notna() & slopes["low"].notna() & is_iid(slopes)
    iid = _distinct(slopes[judged & (slopes["quantity"] != K3)])
    if iid.empty:
        return "Too few points for a slope with an interval."
    holds = int(iid["contains_expected"].sum())
    text = f"Over all trials, the i.i.d. slope's 95 % interval contains −1 for {holds} of {len(iid)} estimators"
    missed = iid[~iid["contains_expected"].astype(bool)]
    if not missed.empty:
        text += f" (not for {listed([_estimator(row) for _, row in missed.iterrows()])})"
    k1 = sobol[(sobol["quantity"] == K1) & sobol["slope"].notna()]
    if not k1.empty:
        text += "; scrambled Sobol draws make the variance of k1 fall, on average over L, as L to the power "
        text += slopes_by_dimension(k1)
    return text + "."


def _estimator(row: pd.Series) -> str:
    """An estimator with its slope, in words."""
    k = row["num_importance_samples"]
    return f"{label(row['quantity'], QUANTITY)}{f' with K = {k:g}' if np.isfinite(k) else ''}, {slope_text(row)}"
