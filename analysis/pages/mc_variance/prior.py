"""Why integrating over the prior fails: the section on prior Monte Carlo."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table, Text
from analysis.figures import theme
from analysis.pages.common import _power, with_configuration
from analysis.statistics.headline import DIMENSION
from analysis.tables import Sweep
from analysis.wording import count, figure, interval

MOST_LINES = 6


# --- prior Monte Carlo ----------------------------------------------------------------------------------------------


def prior(sweep: Sweep) -> list[Block]:
    """Bias of naive integration against its draws and against the KL that predicts how many it needs."""
    heading = Heading("Why draws from the prior fail")
    rows = with_configuration(sweep, "evidence")
    rows = rows[(rows["estimator"] == "prior_monte_carlo") & rows["bias"].notna()]
    if rows.empty:
        return [
            heading,
            Note("This sweep did not try prior Monte Carlo (evaluation.prior_draws is 0, or no trial has finished)."),
        ]
    curve = statistics.prior_monte_carlo_curve(rows, DIMENSION)
    needed = statistics.draws_needed(rows, DIMENSION)
    dimensions = sorted(curve[DIMENSION].unique())
    kept = (
        [dimensions[round(i * (len(dimensions) - 1) / (MOST_LINES - 1))] for i in range(MOST_LINES)]
        if len(dimensions) > MOST_LINES
        else dimensions
    )
    panels = [
        Panel(
            "prior_bias",
            partial(_draw_bias, curve=curve[curve[DIMENSION].isin(kept)]),
            "Bias of prior Monte Carlo against the number of draws",
            (4.5, 4.0),
        ),
        Panel(
            "prior_draws_over_exp_kl",
            partial(_draw_collapse, rows=rows, collapse=statistics.prior_monte_carlo_collapse(rows)),
            "Bias of prior Monte Carlo against the number of draws over exp(KL)",
            (4.5, 4.0),
        ),
    ]
    text = (
        "log p(x) can be estimated by averaging p(x|z) over draws from the prior. Hardly any of them "
        "lands where the posterior is: the number needed is "
        "about exp(KL), exponential in the information that z carries about the image, not in D as such."
    )
    images = rows.drop_duplicates(["trial", "replicate", "image"])
    caption = (
        "First: estimate minus the best estimate of log p(x), means with 95 % t-intervals over "
        "replicates; upright ticks at "
        "zero: exp(KL) draws, where the axis reaches so far. Second: each mark is an image at a number of draws; the "
        "line joins medians, bars hold the middle half; dashed: exp(KL) draws. "
        f"n = {count(rows['trial'].nunique(), 'trial')}, "
        f"{count(len(images), 'image and replicate', 'images and replicates')}."
    )
    return [
        heading,
        Text(text),
        Figure(tuple(panels), caption, _prior_sentence(needed)),
        Table(
            "prior_monte_carlo", curve, "Bias of prior Monte Carlo, nats.", rows=60, shown=_shown(curve), folded=True
        ),
    ]


def _draw_bias(axes: Axes, *, curve: pd.DataFrame) -> None:
    names = [f"D = {d:g}" for d in curve[DIMENSION]]
    ordered = list(dict.fromkeys(names))
    style: dict[str, figures.Style] = {
        name: {"color": theme.COLOURS[place % len(theme.COLOURS)], "marker": theme.MARKERS[place], "linestyle": "-"}
        for place, name in enumerate(ordered)
    }
    figures.lines(
        axes,
        curve.assign(series=names),
        x="num_draws",
        y="mean",
        series="series",
        style=style,
        title="Bias of prior Monte Carlo",
        x_label="prior draws (num_draws)",
        y_label="bias of log p(x) (nats)",
        log_y=False,
        enough="expected_draws",
    )


def _shown(curve: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "D": curve[DIMENSION],
            "draws": curve["num_draws"],
            "bias (nats) [95 %]": [interval(*row) for row in curve[["mean", "low", "high"]].itertuples(index=False)],
            "n": curve["n"],
            "KL (nats)": curve["kl"],
            "exp(KL)": [figure(value, 3) for value in curve["expected_draws"]],
        }
    )


def _draw_collapse(axes: Axes, *, rows: pd.DataFrame, collapse: pd.DataFrame) -> None:
    figures.cloud(
        axes, rows.assign(share=rows["num_draws"] / np.exp(rows["kl"])), collapse, x="share", y="bias",
        title="Bias against draws / exp(KL)", x_label="draws / exp(KL) (ratio)", y_label="bias of log p(x) (nats)",
    )  # fmt: skip


def _prior_sentence(needed: pd.DataFrame) -> str:
    enough, largest = int(needed["enough"].sum()), int(needed["largest_tried"].max())
    text = f"{largest:,} prior draws come within 1 nat of log p(x) for {enough} of {len(needed)} images and replicates"
    missed = needed[~needed["enough"]]
    if missed.empty:
        return f"{text}; with a KL of {needed['kl'].median():.1f} nats (median), exp(KL) asks for fewer."
    kl = float(missed["kl"].median())
    text += f"; for the others exp(KL) is about {_power(kl)} (median KL {kl:.1f} nats)"
    within = missed["expected"].median() < largest
    return f"{text}: exp(KL) draws are needed, but do not guarantee it." if within else f"{text}, more than were tried."
