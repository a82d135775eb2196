"""The rest of page 3: gradient signal-to-noise, and why drawing from the prior fails."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.figures import theme
from analysis.pages.common import slope_text, with_configuration, yes_no
from analysis.pages.mc_variance.prior import prior
from analysis.tables import Sweep
from analysis.wording import count, label


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
