"""Variance against the number of draws L: how fast it falls, for each estimator and each scheme of drawing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Table
from analysis.pages.common import gains_by_dimension, law_by_dimension, slope_text
from analysis.pages.mc_variance.study import (
    IWAE,
    K1,
    K3,
    MONTE_CARLO_ELBO,
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
from analysis.statistics.draws.gains import BEND
from analysis.statistics.draws.streams import sharing
from analysis.tables.columns import DIMENSION
from analysis.tables.kinds import QUANTITY
from analysis.wording import axis, count, figure, interval, label, listed


def blocks(variance: pd.DataFrame, dimension: int) -> list[Block]:
    """Variance against L on log-log axes: estimators, schemes, and the slope of each beside -1."""
    rows = variance[variance[DIMENSION] == dimension]
    # A pair is two draws: what is called antithetic at L = 1 is one independent draw.
    rows = rows[(rows["sampling"] != "antithetic") | (rows["num_samples"] > 1)]
    keys = ["quantity", "sampling", "num_importance_samples"]
    measured = statistics.geometric_means(rows, "variance", [*keys, "num_samples"])
    caption = (
        "Log-log. Marks: geometric means over replicates with 95 % t-intervals of the logarithm; "
        "lines: fitted power laws (scrambled Sobol draws follow none: an average over L), "
        "their slope with its 95 % interval in the "
        f"legend; grey: slope −1, what independent draws must show. The reconstruction term varies exactly as the ELBO "
        f"with closed-form KL. D = {dimension}; n = {sizes(rows)}."
    )
    everywhere = statistics.variance_slopes(variance)
    gains = statistics.scheme_gains(statistics.distinct(variance))
    return [
        Heading("How fast the variance falls with L"),
        Figure(_panels(measured, statistics.variance_slopes(rows), dimension), caption, _sentence(everywhere, gains)),
        _table(everywhere, sharing(variance)),
        *([_table_of_gains(gains)] if len(gains) else []),
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


def _table(slopes: pd.DataFrame, sharing: tuple[int, int, bool]) -> Table:
    """Every slope beside the theory's."""
    trials, streams, shared = sharing
    expected = slopes["expected"].where(slopes["quantity"] != K3)  # which has a variance only where q is wide
    shown = pd.DataFrame(
        {
            "quantity": labelled(slopes, "quantity"),
            "draws": labelled(slopes, "sampling"),
            "K": slopes["num_importance_samples"],
            "n": slopes["n"],
            "slope [95 %]": [slope_text(row) for _, row in slopes.iterrows()],
            "theory": expected,
            "interval holds it": yes_no(slopes["contains_expected"], expected),
        }
    )
    unit = f"the {count(streams, 'seed')}, whose draws the {count(trials, 'trial')} share" if shared else "replicates"
    judged = statistics.distinct(slopes)
    judged = judged[judged["expected"].notna() & judged["low"].notna() & (judged["quantity"] != K3)]
    caption = (
        f"Slopes of log variance against log L over all trials; n counts {unit}, and trials for scrambled Sobol draws, "
        f"where each model has a slope of its own. Of the {count(len(judged), '95 % interval')} that are of different "
        f"numbers and have a theory, chance alone would put {statistics.expected_misses(judged):.1f} beside it; "
        f"{int((~judged['contains_expected'].astype(bool)).sum())} are."
    )
    return Table("variance_slopes", slopes, caption, rows=60, shown=shown, folded=True)


def _table_of_gains(gains: pd.DataFrame) -> Table:
    """What the schemes gain at each D, with the shape of their variance against L."""
    shown = pd.DataFrame(
        {
            "quantity": labelled(gains, "quantity"),
            "draws": labelled(gains, "sampling"),
            "K": gains["num_importance_samples"],
            "D": gains[DIMENSION],
            "L": gains["num_samples"],
            "n": gains["n"],
            "times less variance [95 %]": [
                interval(row["gain"], row["low"], row["high"], most=3) for _, row in gains.iterrows()
            ],
            "power of L": [figure(row["slope"], 3) if row["power_law"] else "–" for _, row in gains.iterrows()],
            "local slopes, first to last": [
                f"{figure(first, 3)} to {figure(last, 3)}"
                for first, last in gains[["first_slope", "last_slope"]].to_numpy(float)
            ],
        }
    )
    caption = (
        "Variance of independent draws over that of the scheme, at the largest L and each D. A power of L is given "
        f"only where the slope changes by less than {BEND:g} over the measured L, with 95 % confidence; else there is "
        "none. n counts replicates with draws of their own."
    )
    return Table("scheme_gains", gains, caption, rows=80, shown=shown, folded=True)


def _sentence(slopes: pd.DataFrame, gains: pd.DataFrame) -> str:
    """For how many estimators the slope is -1 where it must be, and what scrambled Sobol draws do to k1's."""
    judged = slopes["expected"].notna() & slopes["low"].notna() & is_iid(slopes)
    iid = statistics.distinct(slopes[judged & (slopes["quantity"] != K3)])
    if iid.empty:
        return "Too few points for a slope with an interval."
    holds = int(iid["contains_expected"].sum())
    text = f"Over all trials, the i.i.d. slope's 95 % interval contains −1 for {holds} of {len(iid)} estimators"
    missed = iid[~iid["contains_expected"].astype(bool)]
    if not missed.empty:
        text += f" (not for {listed([_estimator(row) for _, row in missed.iterrows()])})"
    text += f", where chance alone would leave out {statistics.expected_misses(iid):.1f}"
    k1 = gains[(gains["quantity"] == K1) & (gains["sampling"] == "sobol")] if len(gains) else gains
    if len(k1):
        text += f"; with scrambled Sobol draws the variance of k1 is, at L = {k1['num_samples'].max():g}, "
        text += f"{gains_by_dimension(k1)}, and falls {law_by_dimension(k1)}"
    return text + "."


def _estimator(row: pd.Series) -> str:
    """An estimator with its slope, in words."""
    k = row["num_importance_samples"]
    return f"{label(row['quantity'], QUANTITY)}{f' with K = {k:g}' if np.isfinite(k) else ''}, {slope_text(row)}"
