"""How much stands behind each point: an adaptive search visits dimensions unevenly."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel, Table, Text
from analysis.figures import theme
from analysis.figures.scales import ticks_at
from analysis.pages.common import spread
from analysis.statistics.headline import Headline
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, CONFIRM, DIMENSION, FACTORIAL, REFINE, SEARCH
from analysis.wording import axis, count


def blocks(sweep: Sweep, chosen: Headline) -> list[Block]:
    """How many trials each D has, in which phase, and the trials that only the search visited."""
    if sweep.trials.empty:
        return []
    table = statistics.per_dimension_counts(sweep.trials, sweep.replicates)
    wide = table.pivot(index=DIMENSION, columns="phase", values="trials").fillna(0).astype(int).reset_index()
    phases = [name for name in (FACTORIAL, SEARCH, REFINE, CONFIRM) if name in wide]
    panels = [_trials(wide[[DIMENSION, *phases]])]
    passed = chosen.passed
    if BOUND in passed and passed[BOUND].notna().any():
        panels.append(
            Panel(
                "search_trials",
                partial(_draw_passed, passed=passed[passed[BOUND].notna()]),
                "Test ELBO of the trials that only the search visited",
            )
        )
    caption = (
        "First: all trials, whatever their end. Second: replicates of search trials, which chose "
        "configurations and are in no curve above."
        if len(panels) == 2
        else "All trials, whatever their end."
    )
    caption += f" n = {count(len(sweep.trials), 'trial')}."
    stands = wide[phases].sum(axis=1)
    if len(panels) == 1 and stands.nunique() == 1:
        same = Table("trials_per_dimension", table, "Trials and replicates per D and phase.", rows=40, folded=True)
        confirmed = int((sweep.trials["phase"] == CONFIRM).sum())
        return [Heading("How much stands behind each point"), Text(_sentence(stands, confirmed)), same]
    sentence = _sentence(wide[phases].sum(axis=1), int((sweep.trials["phase"] == CONFIRM).sum()))
    return [
        Heading("How much stands behind each point", folded=True),
        Figure(tuple(panels), caption, sentence),
        Table("trials_per_dimension", table, "Trials and replicates per D and phase.", rows=40, folded=True),
    ]


def _trials(wide: pd.DataFrame) -> Panel:
    """Trials at each D, one colour a phase."""
    x = figures.Axis(DIMENSION, axis(DIMENSION))
    return Panel(
        "trials_per_dimension",
        lambda axes: figures.stacked(axes, wide, x=x, y_label="trials", title="Trials at each D"),
        "Number of trials at each latent dimension, by phase",
    )


def _sentence(trials: pd.Series, confirmed: int) -> str:
    """The fewest and the most trials of a D, and how many confirm others."""
    fewest, most = int(trials.min()), int(trials.max())
    text = (
        f"From {fewest} to {count(most, 'trial')} stand behind a latent dimension"
        if fewest != most
        else f"Each latent dimension was tried {count(most, 'time')}"
    )
    if confirmed:
        return f"{text}; {count(confirmed, 'trial')} confirm earlier ones on fresh seeds."
    return f"{text}; no trial confirms another on fresh seeds."


def _draw_passed(axes: Axes, *, passed: pd.DataFrame) -> None:
    """Trials of the search against D, coloured by phase."""
    looks: dict[str, figures.Style] = {
        str(phase): {"color": theme.phase_colour(phase), "marker": "o", "linestyle": ""}
        for phase in dict.fromkeys(passed["phase"])
    }
    figures.scatter(
        axes,
        passed,
        x=figures.Axis(DIMENSION, axis(DIMENSION)),
        y=figures.Axis(BOUND, axis(BOUND)),
        series=figures.Series("phase", looks),
        title="Trials of the search",
    )
    ticks_at(axes.xaxis, passed[DIMENSION], log=spread(sorted(int(d) for d in passed[DIMENSION].unique())))
