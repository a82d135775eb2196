"""Signal-to-noise of the gradients: whether the encoder and the decoder still see a direction through the noise."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.figures import theme
from analysis.pages.common import slope_text, with_dimension
from analysis.pages.mc_variance.study import yes_no
from analysis.tables import Sweep
from analysis.tables.kinds import GRADIENT_ESTIMATOR, places
from analysis.wording import axis, count, label

SAMPLED_KL = "_monte_carlo"
"""Ends the name of a gradient estimator of the bound whose KL is sampled: `pathwise_monte_carlo`."""


def blocks(sweep: Sweep) -> list[Block]:
    """Signal-to-noise of the encoder's and the decoder's gradients, against L and against K."""
    heading = Heading("Signal-to-noise of the gradients", folded=True)
    rows = with_dimension(sweep, "gradients")
    rows = rows[rows["signal_to_noise"].notna()]
    if rows.empty:
        return [
            heading,
            Note("This sweep has no gradient study (variance.gradient_repeats is 0, or no trial has finished)."),
        ]
    slopes = statistics.gradient_slopes(rows)
    caption = (
        "Norm of the expected gradient over its standard deviation, debiased; higher is better. "
        "Marks: means over replicates with 95 % "
        "t-intervals. A mark is missing where noise exceeds the debiased signal; the score function starts at L = 2. "
        f"n = {count(rows['trial'].nunique(), 'trial')}, "
        f"{count(int(rows['repeats'].max()), 'repeat')} of each gradient."
    )
    return [heading, Figure(_panels(rows), caption, _sentence(slopes)), _table(slopes)]


def _panels(rows: pd.DataFrame) -> tuple[Panel, ...]:
    """Encoder and decoder, each against L and against K."""
    panels = []
    for parameters in ("encoder", "decoder"):
        for objective, x, symbol in (("elbo", "num_samples", "L"), ("iwae", "num_importance_samples", "K")):
            here = rows[(rows["parameters"] == parameters) & (rows["objective"] == objective) & rows[x].notna()]
            here = here[here["num_samples"] == here["num_samples"].min()] if objective == "iwae" else here
            if here[x].nunique() > 1 or (objective == "elbo" and not here.empty):  # K = 1 alone is the ELBO once more
                title = f"{parameters.capitalize()}, {objective.upper()}, against {symbol}"
                draw = partial(_draw, rows=here, x=x, title=title)
                panels.append(
                    Panel(f"gradients_{parameters}_{objective}", draw, f"Gradient signal-to-noise: {title}", (4.5, 3.8))
                )
    return tuple(panels)


def _draw(axes: Axes, *, rows: pd.DataFrame, x: str, title: str) -> None:
    """One line for each estimator."""
    means = statistics.summarise(rows, "signal_to_noise", ["estimator", x])
    figures.lines(
        axes,
        means.assign(series=[estimator(name) for name in means["estimator"]]),
        x=figures.Axis(x, axis(x), log=True),
        y=figures.Axis("mean", "signal_to_noise (ratio)", log=bool((means["mean"] > 0).all())),
        series=figures.Series("series", _looks(list(dict.fromkeys(means["estimator"])))),
        title=title,
    )


def _looks(names: list[str]) -> dict[str, figures.Style]:
    """The same look for an estimator in every panel: colour by its place in the schema, dashed where the KL is sampled.

    In the order of the legend.
    """
    plain = [name.removesuffix(SAMPLED_KL) for name in names]
    at = places(GRADIENT_ESTIMATOR, plain)
    order = sorted(range(len(names)), key=lambda i: (at[i], names[i]))
    shade = theme.colours(plain, GRADIENT_ESTIMATOR)
    return {
        estimator(names[i]): {
            "color": shade[i],
            "marker": theme.MARKERS[(at[i] + (4 if names[i] != plain[i] else 0)) % len(theme.MARKERS)],
            "linestyle": theme.LINES[1] if names[i] != plain[i] else "-",
        }
        for i in order
    }


def estimator(name: str) -> str:
    """The label of a gradient estimator; `pathwise, Monte Carlo KL` for one of the bound whose KL is sampled."""
    words = label(name, GRADIENT_ESTIMATOR)
    if words == name and name.endswith(SAMPLED_KL):
        return f"{label(name.removesuffix(SAMPLED_KL), GRADIENT_ESTIMATOR)}, Monte Carlo KL"
    return words


def _table(slopes: pd.DataFrame) -> Table:
    """Every slope beside the theory's."""
    shown = pd.DataFrame(
        {
            "parameters": slopes["parameters"],
            "estimator": [estimator(name) for name in slopes["estimator"]],
            "objective": [str(name).upper() for name in slopes["objective"]],
            "against": ["L" if name == "num_samples" else "K" for name in slopes["against"]],
            "n": slopes["n"],
            "slope [95 %]": [slope_text(row) for _, row in slopes.iterrows()],
            "theory": slopes["expected"],
            "interval holds it": yes_no(slopes["contains_expected"], slopes["expected"]),
        }
    )
    judged = slopes[slopes["expected"].notna() & slopes["low"].notna()]
    caption = (
        "Slopes of log signal-to-noise against log L (n: replicates, or seeds where trials share their draws) or log K "
        f"(n: trials), beside the theory's. Of {count(len(judged), '95 % interval')}, chance alone would put "
        f"{statistics.expected_misses(judged):.1f} beside it; {int((~judged['contains_expected'].astype(bool)).sum())} "
        "are. In K the theory is a limit, which a small K need not have reached."
    )
    return Table("gradient_slopes", slopes, caption, rows=40, shown=shown, folded=True)


def _sentence(slopes: pd.DataFrame) -> str:
    """How the encoder's signal-to-noise goes with K, pathwise and doubly reparameterised; without K, how with L."""
    bounded = slopes[slopes["low"].notna()]
    encoder = bounded[(bounded["parameters"] == "encoder") & (bounded["objective"] == "iwae")]
    said = []
    for name in ("pathwise", "dreg"):
        row = encoder[encoder["estimator"] == name]
        if not row.empty:
            said.append(
                f"the {estimator(name)} encoder gradient's signal-to-noise goes as K to the power "
                f"{slope_text(row.iloc[0])}"
            )
    if not said:
        rows = bounded[(bounded["against"] == "num_samples") & (bounded["estimator"] == "pathwise")]
        said = [
            f"the {row['parameters']}'s pathwise gradient has a signal-to-noise ratio that goes as L to the power "
            f"{slope_text(row)} (theory: 0.5)"
            for _, row in rows.iterrows()
        ]
    text = "; ".join(said) or "too few points for a slope with an interval"
    return f"{text[:1].upper()}{text[1:]}."
