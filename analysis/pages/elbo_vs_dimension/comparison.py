"""The rest of page 2: whether the KL estimator matters, and how much stands behind each point."""

from __future__ import annotations

from functools import partial

import pandas as pd
from matplotlib.axes import Axes

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Note, Panel, Table
from analysis.figures import theme
from analysis.pages.common import spread
from analysis.statistics.headline import BOUND, DIMENSION, Headline, estimators_apart
from analysis.tables import Sweep
from analysis.wording import axis, count, interval, label, listed


def paired(chosen: Headline) -> list[Block]:
    """Closed-form minus Monte Carlo KL: same seeds, same D, all else equal."""
    heading = Heading("Does the KL estimator matter?")
    table, reason = estimators_apart(chosen)
    if reason is not None:
        return [heading, Note(reason)]
    several = table["second"].nunique() > 1
    names = [
        f"D = {d:g}, {label(b)}" if several else f"D = {d:g}"
        for d, b in table[[DIMENSION, "second"]].itertuples(index=False)
    ]
    rows = table.assign(mean=table["difference"], row=names)
    other = "other estimator" if several else label(table["second"].iloc[0])
    title = f"{label(table['first'].iloc[0]).capitalize()} minus {other}, same seeds"
    panel = Panel(
        "paired_differences",
        lambda axes: figures.forest(
            axes, rows, name="row", title=title, x_label="difference in test.elbo (nats per image)"
        ),
        "Paired differences in test ELBO between KL estimators, by latent dimension",
        (4.8, 1.1 + 0.3 * max(3, len(rows))),
    )
    caption = (
        "Same seed, same D, all other settings equal; to the right of zero, "
        f"{label(table['first'].iloc[0])} is better. Bars are 95 % "
        "t-intervals for each difference alone; "
        f"{count(int(table['comparisons'].iloc[0]), 'comparison')} shown, judged with Holm's "
        "correction. "
        f"n = {listed(sorted(set(table['n'])))} seeds each."
    )
    shown = pd.DataFrame(
        {
            "D": table[DIMENSION],
            "difference (nats)": [
                interval(*row) for row in table[["difference", "low", "high"]].itertuples(index=False)
            ],
            "seeds": table["n"],
            "p (Holm)": table["p_holm"],
            "verdict": table["verdict"],
        }
    )
    figure = Figure((panel,), caption, statistics.overall_verdict(table, BOUND))
    return [heading, figure, Table("paired_differences", table, "Every comparison in words.", rows=40, shown=shown)]


def counts(sweep: Sweep, chosen: Headline) -> list[Block]:
    """An adaptive search visits dimensions unevenly: how many trials each D has, and which of them were search."""
    if sweep.trials.empty:
        return []
    table = statistics.per_dimension_counts(sweep.trials, sweep.replicates)
    wide = table.pivot(index=DIMENSION, columns="phase", values="trials").fillna(0).astype(int).reset_index()
    phases = [name for name in ("factorial", "search", "refine", "confirm") if name in wide]
    panels = [
        Panel(
            "trials_per_dimension",
            lambda axes: figures.stacked(
                axes,
                wide,
                x=DIMENSION,
                parts=phases,
                labels={},
                title="Trials at each D",
                x_label=axis(DIMENSION),
                y_label="trials",
            ),
            "Number of trials at each latent dimension, by phase",
        )
    ]
    passed = chosen.passed
    if BOUND in passed and passed[BOUND].notna().any():
        panels.append(
            Panel(
                "search_trials",
                partial(_draw_passed, passed=passed[passed[BOUND].notna()]),
                "Test ELBO of the trials that only the search visited",
            )
        )
    per = wide[phases].sum(axis=1)
    fewest, most = int(per.min()), int(per.max())
    sentence = (
        f"From {fewest} to {count(most, 'trial')} stand behind a latent dimension"
        if fewest != most
        else f"Each latent dimension was tried {count(most, 'time')}"
    )
    confirmed = int((sweep.trials["phase"] == "confirm").sum())
    sentence += (
        f"; {count(confirmed, 'trial')} confirm earlier ones on fresh seeds."
        if confirmed
        else "; no trial confirms another on fresh seeds."
    )
    caption = (
        "First: all trials, whatever their end. Second: replicates of search trials, which chose "
        "configurations and are in no curve above."
        if len(panels) == 2
        else "All trials, whatever their end."
    )
    caption += f" n = {count(len(sweep.trials), 'trial')}."
    return [
        Heading("How much stands behind each point"),
        Figure(tuple(panels), caption, sentence),
        Table("trials_per_dimension", table, "Trials and replicates per D and phase.", rows=40, folded=True),
    ]


def _draw_passed(axes: Axes, *, passed: pd.DataFrame) -> None:
    figures.scatter(
        axes,
        passed,
        x=DIMENSION,
        y=BOUND,
        series="phase",
        title="Trials of the search",
        x_label=axis(DIMENSION),
        y_label=axis(BOUND),
    )
    theme.ticks_at(axes.xaxis, passed[DIMENSION], log=spread(sorted(int(d) for d in passed[DIMENSION].unique())))
