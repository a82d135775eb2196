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
from analysis.wording import count, figure, interval, label

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
            if mine[x].nunique() > 1 or (objective == "elbo" and not mine.empty):  # K = 1 alone is the ELBO once more
                title = f"{parameters.capitalize()}, {objective.upper()}, against {symbol}"
                draw = partial(_draw_gradients, rows=mine, x=x, title=title)
                panels.append(
                    Panel(f"gradients_{parameters}_{objective}", draw, f"Gradient signal-to-noise: {title}", (4.5, 3.8))
                )
    slopes = statistics.gradient_slopes(rows)
    caption = (
        "Norm of the expected gradient over its standard deviation, debiased; higher is better. "
        "Marks: means over replicates with 95 % "
        "t-intervals. A mark is missing where noise exceeds the debiased signal; the score function starts at L = 2. "
        f"n = {count(rows['trial'].nunique(), 'trial')}, "
        f"{count(int(rows['repeats'].max()), 'repeat')} of each gradient."
    )
    shown = pd.DataFrame(
        {
            "parameters": slopes["parameters"],
            "estimator": [label(name) for name in slopes["estimator"]],
            "objective": [str(name).upper() for name in slopes["objective"]],
            "against": ["L" if name == "num_samples" else "K" for name in slopes["against"]],
            "n": slopes["n"],
            "slope [95 %]": [slope_text(row) for _, row in slopes.iterrows()],
            "theory": slopes["expected"],
            "interval holds it": yes_no(slopes["contains_expected"], slopes["expected"]),
        }
    )
    table = Table(
        "gradient_slopes",
        slopes,
        "Slopes of log signal-to-noise against log L or log K, beside the theory's. Of "
        f"{int(slopes['expected'].notna().sum())} intervals at 95 %, one in twenty misses by chance alone.",
        rows=40,
        shown=shown,
        folded=True,
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
        rows = known[(known["against"] == "num_samples") & (known["estimator"] == "pathwise")]
        said = [
            f"the {r['parameters']}'s pathwise gradient has a signal-to-noise ratio that goes as L to the power "
            f"{slope_text(r)} (theory: 0.5)"
            for _, r in rows.iterrows()
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


def _power(kl: float) -> str:
    """exp(kl) in words that do not overflow."""
    exponent = kl / np.log(10.0)
    return f"{np.exp(kl):,.0f}" if exponent < 6 else f"10^{exponent:.0f}"
