"""The rest of page 3: gradient signal-to-noise, and why drawing from the prior fails."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics, theme
from analysis.document import Block, Figure, Heading, Note, Panel, Table, Text
from analysis.headline import DIMENSION
from analysis.pages.common import slope_text, with_configuration, yes_no
from analysis.tables import Sweep
from analysis.wording import count, label

MOST_LINES = 6


def blocks(sweep: Sweep) -> list[Block]:
    """Gradients, then prior Monte Carlo; a note for each that was not measured."""
    return [*gradients(sweep), *prior(sweep)]


# --- gradients ------------------------------------------------------------------------------------------------------


def gradients(sweep: Sweep) -> list[Block]:
    """Signal-to-noise of the encoder's and the decoder's gradients, against L and against K."""
    heading = Heading("Signal-to-noise of the gradients")
    rows = with_configuration(sweep, "gradients")
    rows = rows[rows["signal_to_noise"].notna()]
    if rows.empty:
        return [
            heading,
            Note("This sweep has no gradient study (variance.gradient_repeats is 0, or no trial has finished)."),
        ]
    panels = []
    for parameters in ("encoder", "decoder"):
        for objective, x, symbol in (("elbo", "num_samples", "L"), ("iwae", "num_importance_samples", "K")):
            mine = rows[(rows["parameters"] == parameters) & (rows["objective"] == objective) & rows[x].notna()]
            mine = mine[mine["num_samples"] == mine["num_samples"].min()] if objective == "iwae" else mine
            if not mine.empty:
                title = f"{parameters.capitalize()}, {objective.upper()}, against {symbol}"
                draw = partial(_draw_gradients, rows=mine, x=x, title=title)
                panels.append(
                    Panel(f"gradients_{parameters}_{objective}", draw, f"Gradient signal-to-noise: {title}", (4.5, 3.8))
                )
    slopes = statistics.gradient_slopes(rows)
    caption = (
        "Norm of the expected gradient over its standard deviation, debiased; higher is better. "
        "Marks: means over replicates with 95 % "
        f"t-intervals. n = {count(rows['trial'].nunique(), 'trial')}, "
        f"{count(int(rows['repeats'].max()), 'repeat')} of each gradient."
    )
    shown = slopes.assign(
        **{"slope [95 %]": [slope_text(row) for _, row in slopes.iterrows()]},
        contains_expected=yes_no(slopes["contains_expected"], slopes["expected"]),
    )
    shown = shown[
        ["parameters", "estimator", "objective", "against", "n", "slope [95 %]", "expected", "contains_expected"]
    ]
    table = Table(
        "gradient_slopes",
        slopes,
        "Slopes of log signal-to-noise against log L or log K, beside the theory's.",
        rows=40,
        shown=shown,
    )
    return [heading, Figure(tuple(panels), caption, _gradient_sentence(slopes)), table]


def _draw_gradients(axes: Axes, *, rows: pd.DataFrame, x: str, title: str) -> None:
    means = statistics.summarise(rows, "signal_to_noise", ["estimator", x])
    names = list(dict.fromkeys(rows["estimator"]))
    style: dict[str, figures.Style] = {
        label(name): {
            "color": theme.COLOURS[place % len(theme.COLOURS)],
            "marker": theme.MARKERS[place],
            "linestyle": "-",
        }
        for place, name in enumerate(names)
    }
    symbol = (
        "draws per image L (num_samples)"
        if x == "num_samples"
        else "draws inside the logarithm K (num_importance_samples)"
    )
    figures.lines(
        axes,
        means.assign(series=[label(name) for name in means["estimator"]]),
        x=x,
        y="mean",
        series="series",
        style=style,
        title=title,
        x_label=symbol,
        y_label="signal_to_noise (ratio)",
        log_y=bool((means["mean"] > 0).all()),
    )


def _gradient_sentence(slopes: pd.DataFrame) -> str:
    known = slopes[slopes["low"].notna()]
    said = []
    for estimator in ("pathwise", "dreg"):
        row = known[
            (known["parameters"] == "encoder") & (known["objective"] == "iwae") & (known["estimator"] == estimator)
        ]
        if not row.empty:
            said.append(
                f"the {label(estimator)} encoder gradient's signal-to-noise goes as K to the power "
                f"{slope_text(row.iloc[0])}"
            )
    if not said:
        row = known[known["against"] == "num_samples"]
        said = [
            f"{label(r['estimator'])} gradients of the {r['parameters']} go as L to the power {slope_text(r)}"
            for _, r in row.head(2).iterrows()
        ]
    text = "; ".join(said) or "too few points for a slope with an interval"
    return f"{text[:1].upper()}{text[1:]}."


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
            "prior_draws_needed",
            partial(_draw_needed, needed=needed),
            "Prior draws needed against the KL in nats",
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
        "zero: exp(KL) draws, where the axis reaches so far. Second: each mark is an image; hollow "
        "marks were not within "
        "1 nat at the largest number tried; the line is exp(KL). "
        f"n = {count(rows['trial'].nunique(), 'trial')}, "
        f"{count(len(images), 'image and replicate', 'images and replicates')}."
    )
    return [
        heading,
        Text(text),
        Figure(tuple(panels), caption, _prior_sentence(needed)),
        Table("prior_monte_carlo", curve, "Bias of prior Monte Carlo, nats.", rows=12),
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


def _draw_needed(axes: Axes, *, needed: pd.DataFrame) -> None:
    shown = needed.assign(drawn=needed["draws_needed"].fillna(needed["largest_tried"]))
    figures.needed(
        axes,
        shown,
        x="kl",
        y="drawn",
        reached="enough",
        line="expected",
        title="Draws to come within 1 nat",
        x_label="kl (nats per image)",
        y_label="prior draws (num_draws)",
    )


def _prior_sentence(needed: pd.DataFrame) -> str:
    enough = int(needed["enough"].sum())
    largest = int(needed["largest_tried"].max())
    text = f"{largest:,} prior draws come within 1 nat of log p(x) for {enough} of {len(needed)} images and replicates"
    missed = needed[~needed["enough"]]
    if not missed.empty:
        text += (
            f"; where they do not, the KL is {missed['kl'].median():.1f} nats (median), which asks for "
            f"about {_power(float(missed['kl'].median()))} draws"
        )
    return text + "."


def _power(kl: float) -> str:
    """exp(kl) in words that do not overflow."""
    exponent = kl / np.log(10.0)
    return f"{np.exp(kl):,.0f}" if exponent < 6 else f"10^{exponent:.0f}"
