"""Why integrating over the prior fails: the bias of prior Monte Carlo, and the draws that it would need."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table, Text
from analysis.pages.common import left_out, with_dimension
from analysis.statistics.prior_monte_carlo import PRIOR_MONTE_CARLO
from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION
from analysis.wording import count, figure, interval

MOST_LINES = 8
"""Latent dimensions in one figure, evenly spread: as many as there are colours."""


def blocks(sweep: Sweep) -> list[Block]:
    """Bias of naive integration against its draws and against the KL that predicts how many it needs."""
    heading = Heading("Why draws from the prior fail", folded=True)
    rows = with_dimension(sweep, "evidence")
    rows = rows[(rows["estimator"] == PRIOR_MONTE_CARLO) & rows["bias"].notna()]
    if rows.empty:
        return [
            heading,
            Note("This sweep did not try prior Monte Carlo (evaluation.prior_draws is 0, or no trial has finished)."),
        ]
    curve = statistics.prior_monte_carlo_curve(rows, DIMENSION)
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
        f"line joins medians, bars hold the middle half; dashed: exp(KL) draws. "
        f"{left_out(curve[DIMENSION], MOST_LINES)}"
        f"n = {count(rows['trial'].nunique(), 'trial')}, "
        f"{count(len(images), 'image and replicate', 'images and replicates')}."
    )
    sentence = _sentence(statistics.draws_needed(rows, DIMENSION))
    return [heading, Text(text), Figure(_panels(rows, curve), caption, sentence), _table(curve)]


def _panels(rows: pd.DataFrame, curve: pd.DataFrame) -> tuple[Panel, ...]:
    """The bias against the draws by D (at most MOST_LINES of them, evenly spread), and against draws over exp(KL)."""
    dimensions = sorted(curve[DIMENSION].unique())
    if len(dimensions) > MOST_LINES:
        dimensions = [dimensions[round(i * (len(dimensions) - 1) / (MOST_LINES - 1))] for i in range(MOST_LINES)]
    return (
        Panel(
            "prior_bias",
            partial(_draw_bias, curve=curve[curve[DIMENSION].isin(dimensions)]),
            "Bias of prior Monte Carlo against the number of draws",
            (4.5, 4.0),
        ),
        Panel(
            "prior_draws_over_exp_kl",
            partial(_draw_collapse, rows=rows, collapse=statistics.prior_monte_carlo_collapse(rows)),
            "Bias of prior Monte Carlo against the number of draws over exp(KL)",
            (4.5, 4.0),
        ),
    )


def _draw_bias(axes: Axes, *, curve: pd.DataFrame) -> None:
    """One line for each D."""
    names = [f"D = {d:g}" for d in curve[DIMENSION]]
    figures.lines(
        axes,
        curve.assign(series=names),
        x=figures.Axis("num_draws", "prior draws (num_draws)", log=True),
        y=figures.Axis("mean", "bias of log p(x) (nats)"),
        series=figures.Series("series", figures.marked(list(dict.fromkeys(names)))),
        title="Bias of prior Monte Carlo",
        enough="expected_draws",
    )


def _draw_collapse(axes: Axes, *, rows: pd.DataFrame, collapse: pd.DataFrame) -> None:
    """Every image at every number of draws, and the medians of bins."""
    figures.cloud(
        axes,
        rows.assign(share=rows["num_draws"] / np.exp(rows["kl"])),
        collapse,
        x=figures.Axis("share", "draws / exp(KL) (ratio)", log=True),
        y=figures.Axis("bias", "bias of log p(x) (nats)"),
        title="Bias against draws / exp(KL)",
    )


def _table(curve: pd.DataFrame) -> Table:
    """The bias at each D and number of draws."""
    shown = pd.DataFrame(
        {
            "D": curve[DIMENSION],
            "draws": curve["num_draws"],
            "bias (nats) [95 %]": [interval(*row) for row in curve[["mean", "low", "high"]].itertuples(index=False)],
            "n": curve["n"],
            "KL (nats)": curve["kl"],
            "exp(KL)": [figure(value, 3) for value in curve["expected_draws"]],
        }
    )
    return Table("prior_monte_carlo", curve, "Bias of prior Monte Carlo, nats.", rows=60, shown=shown, folded=True)


def _sentence(needed: pd.DataFrame) -> str:
    """For how many images the largest number of draws was enough, and what the others would need."""
    enough, largest = int(needed["enough"].sum()), int(needed["largest_tried"].max())
    text = f"{largest:,} prior draws come within 1 nat of log p(x) for {enough} of {len(needed)} images and replicates"
    missed = needed[~needed["enough"]]
    if missed.empty:
        return f"{text}; with a KL of {needed['kl'].median():.1f} nats (median), exp(KL) asks for fewer."
    kl = float(missed["kl"].median())
    text += f"; for the others exp(KL) is about {_exp(kl)} (median KL {kl:.1f} nats)"
    within = missed["expected"].median() < largest
    return f"{text}: exp(KL) draws are needed, but do not guarantee it." if within else f"{text}, more than were tried."


def _exp(kl: float) -> str:
    """exp(kl) in words that do not overflow."""
    exponent = kl / np.log(10.0)
    return f"{np.exp(kl):,.0f}" if exponent < 6 else f"10^{exponent:.0f}"
