"""What the bound is made of and where it is lost: small multiples, and one table of all their means."""

from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd

from analysis.document.blocks import Figure, Panel, Table
from analysis.pages.common import counted
from analysis.pages.elbo_vs_dimension.curve import against_dimension
from analysis.statistics.comparisons import LEVEL, student_p_value
from analysis.statistics.headline import Headline
from analysis.tables.columns import BOUND, DIMENSION
from analysis.wording import figure, interval, listed

UNITS, APPROXIMATION, AMORTISATION = "test.active_units", "test.approximation_gap", "test.amortisation_gap"
MULTIPLES = {
    "test.reconstruction": "Reconstruction",
    "test.kl": "KL",
    UNITS: "Active units",
    APPROXIMATION: "Approximation gap",
    AMORTISATION: "Amortisation gap",
}
"""Metric -> title of its panel."""


def parts(chosen: Headline) -> Figure:
    """A panel for each part of the bound that the sweep measured."""
    titles = dict(MULTIPLES)
    iwae = largest_iwae(chosen.replicates)
    if iwae is not None:
        titles[iwae] = f"IWAE bound, K = {iwae.rpartition('_')[2]}"
    means = {name: chosen.means(name) for name in titles}
    measured = {name: titles[name] for name in titles if name == iwae or not means[name].empty}
    panels = tuple(
        Panel(
            f"{name.removeprefix('test.')}_vs_dimension",
            partial(against_dimension, chosen=chosen, value=name, title=title, means=means[name]),
            f"{title} against the latent dimension",
        )
        for name, title in measured.items()
    )
    caption = (
        "The same trials, marks and intervals as above; intervals of active units end at 0 and D. "
        f"{counted(chosen.replicates)}."
    )
    return Figure(panels, caption, _sentence(chosen, means))


def largest_iwae(replicates: pd.DataFrame) -> str | None:
    """The metric of the IWAE bound with the most importance samples."""
    names = [name for name in map(str, replicates.columns) if name.startswith("test.iwae_")]
    names = [name for name in names if name.rpartition("_")[2].isdigit()]
    return max(names, key=lambda name: int(name.rpartition("_")[2]), default=None)


def _sentence(chosen: Headline, means: dict[str, pd.DataFrame]) -> str:
    """From the smallest to the largest D, for the series with most of them; the larger gap at the largest D."""
    counts = chosen.replicates.groupby("series")[DIMENSION].nunique()
    name = max(chosen.series, key=lambda series: int(counts.get(series, 0)))
    ends = {}
    for value in MULTIPLES:
        rows = means[value]
        rows = rows[rows["series"] == name].sort_values(DIMENSION)
        if not rows.empty:
            ends[value] = (rows.iloc[0], rows.iloc[-1])
    if not ends:
        return "The sweep recorded the bound only, not its parts."
    first, last = next(iter(ends.values()))
    parts_of_bound = [value for value in ends if value not in (APPROXIMATION, AMORTISATION)]
    if first[DIMENSION] == last[DIMENSION]:
        said = [f"{_name(value)} {_verb('is', value)} {ends[value][1]['mean']:.1f}" for value in parts_of_bound]
        text = f"At D = {last[DIMENSION]:g} ({name}), {listed(said)}" if said else f"Of {name}, the gaps were measured"
    else:
        said = [_change(value, *ends[value]) for value in parts_of_bound]
        text = f"From D = {first[DIMENSION]:g} to D = {last[DIMENSION]:g} ({name}), {listed(said)}"
    if APPROXIMATION in ends and AMORTISATION in ends:
        gaps = {value: ends[value][1] for value in (APPROXIMATION, AMORTISATION)}
        text += f"; at D = {last[DIMENSION]:g} {_larger(gaps)}"
    return f"{text}.{_impossible(means)}"


def _impossible(means: dict[str, pd.DataFrame]) -> str:
    """A warning of gaps whose mean is below zero by more than their seeds' noise; "" where there is none."""
    said = []
    for value in (APPROXIMATION, AMORTISATION):
        rows = means[value]
        if not rows.empty:
            below = rows[(rows["mean"] < 0) & ~(rows["high"] >= 0)]
            said += [
                f"the {MULTIPLES[value].lower()} at D = {row[DIMENSION]:g} is {figure(row['mean'])}"
                for _, row in below.sort_values("mean").head(1).iterrows()
            ]
    if not said:
        return ""
    return f" No gap can be below zero: {listed(said)} nats, so the search for the best q ended too early."


def _larger(gaps: dict[str, pd.Series]) -> str:
    """Which of the two gaps loses more of the bound, where a t-test tells."""
    (larger, more), (_, less) = sorted(gaps.items(), key=lambda gap: -gap[1]["mean"])
    sizes = f"{more['mean']:.2f} against {less['mean']:.2f} nats"
    p_value = _p_value(more, less)
    if p_value < LEVEL:
        return f"more of the bound is lost to {MULTIPLES[larger].lower().removesuffix(' gap')} ({sizes})"
    return f"the two gaps cannot be told apart ({sizes}, {_evidence(p_value)})"


def _change(value: str, first: pd.Series, last: pd.Series) -> str:
    """A direction only where a t-test between both ends finds one."""
    if first["mean"] == last["mean"] and first["standard_error"] == last["standard_error"] == 0:
        return f"{_name(value)} {_verb('stays', value)} at {last['mean']:.1f}"
    ends, p_value = f"{first['mean']:.1f} to {last['mean']:.1f}", _p_value(first, last)
    if p_value < LEVEL:
        return f"{_name(value)} {_verb('rises' if last['mean'] > first['mean'] else 'falls', value)} from {ends}"
    return f"no change of {_name(value)} is certain ({ends}, {_evidence(p_value)})"


def _p_value(first: pd.Series, second: pd.Series) -> float:
    """Of Welch's t-test with the fewer degrees of freedom of the two; NaN where one has a single seed."""
    error = float(np.hypot(first["standard_error"], second["standard_error"]))
    difference = pd.Series([first["mean"] - second["mean"]])
    degrees = pd.Series([min(first["degrees"], second["degrees"])])
    return float(np.asarray(student_p_value(difference, pd.Series([error]), degrees))[0])


def _evidence(p_value: float) -> str:
    """Why two means are not told apart."""
    return f"p = {p_value:.2g}" if np.isfinite(p_value) else "one seed cannot tell"


def _name(value: str) -> str:
    """`the KL`, `the active units`."""
    return "the KL" if value == "test.kl" else f"the {MULTIPLES[value].lower()}"


def _verb(singular: str, value: str) -> str:
    """The verb as it agrees with the part's name."""
    plural = {"is": "are", "rises": "rise", "falls": "fall", "stays": "stay"}
    return plural[singular] if value == UNITS else singular


def table(chosen: Headline) -> Table:
    """Means with intervals of the bound and its parts, for each D and series."""
    names = [name for name in (BOUND, *MULTIPLES, largest_iwae(chosen.replicates)) if name]
    means = {name: rows for name in names if not (rows := chosen.means(name)).empty}
    long = pd.concat([rows.assign(metric=name) for name, rows in means.items()], ignore_index=True)[
        ["metric", DIMENSION, "series", "n", "mean", "standard_error", "low", "high"]
    ]
    shown = long.assign(text=[interval(*row) for row in long[["mean", "low", "high"]].itertuples(index=False)])
    cell = ["series", DIMENSION]
    wide = shown.pivot(index=cell, columns="metric", values="text")[list(means)].reset_index()
    counts = long[long["metric"] == BOUND].set_index(cell)["n"]
    wide.insert(2, "n", counts.reindex(wide.set_index(cell).index).to_numpy())
    unit = "trials" if chosen.unit else "replicates"
    caption = f"Means with 95 % t-intervals over n {unit}, nats per image."
    return Table("elbo_vs_dimension", long, caption, rows=40, shown=wide, folded=True)
