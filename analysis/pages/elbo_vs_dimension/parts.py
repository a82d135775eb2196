"""What the bound is made of and where it is lost: small multiples, and one table of all their means."""

from __future__ import annotations

from functools import partial

import pandas as pd

from analysis.document.blocks import Figure, Panel, Table
from analysis.pages.common import counted
from analysis.pages.elbo_vs_dimension.curve import against_dimension
from analysis.statistics.headline import Headline
from analysis.tables.columns import BOUND, DIMENSION
from analysis.wording import interval, listed

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
    iwae = _largest_iwae(chosen.replicates)
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


def _largest_iwae(replicates: pd.DataFrame) -> str | None:
    """The metric of the IWAE bound with the most importance samples."""
    names = [name for name in map(str, replicates.columns) if name.startswith("test.iwae_")]
    names = [name for name in names if name.rpartition("_")[2].isdigit()]
    return max(names, key=lambda name: int(name.rpartition("_")[2]), default=None)


def _sentence(chosen: Headline, means: dict[str, pd.DataFrame]) -> str:
    """From the smallest to the largest D, for the first series; the larger gap at the largest D."""
    name = next(iter(chosen.series))
    ends = {}
    for value in MULTIPLES:
        rows = means[value]
        rows = rows[rows["series"] == name].sort_values(DIMENSION)
        if not rows.empty:
            ends[value] = (rows.iloc[0], rows.iloc[-1])
    if not ends:
        return "The sweep recorded the bound only, not its parts."
    first, last = next(iter(ends.values()))
    said = [_change(value, *ends[value]) for value in ends if value not in (APPROXIMATION, AMORTISATION)]
    text = f"From D = {first[DIMENSION]:g} to D = {last[DIMENSION]:g} ({name}), {listed(said)}"
    if APPROXIMATION in ends and AMORTISATION in ends:
        gaps = {value: ends[value][1] for value in (APPROXIMATION, AMORTISATION)}
        text += f"; at D = {last[DIMENSION]:g} {_larger(gaps)}"
    return text + "."


def _larger(gaps: dict[str, pd.Series]) -> str:
    """Which of the two gaps loses more of the bound, where their intervals tell."""
    (larger, more), (_, less) = sorted(gaps.items(), key=lambda gap: -gap[1]["mean"])
    sizes = f"{more['mean']:.2f} against {less['mean']:.2f} nats"
    if more["low"] > less["high"]:
        return f"more of the bound is lost to {MULTIPLES[larger].lower().removesuffix(' gap')} ({sizes})"
    return f"the two gaps cannot be told apart ({sizes}, intervals overlap)"


def _change(value: str, first: pd.Series, last: pd.Series) -> str:
    """A direction only where the intervals at both ends leave no doubt about it."""
    name = "the KL" if value == "test.kl" else f"the {MULTIPLES[value].lower()}"
    ends = f"{first['mean']:.1f} to {last['mean']:.1f}"
    if first["high"] < last["low"]:
        return f"{name} {'rise' if value == UNITS else 'rises'} from {ends}"
    if last["high"] < first["low"]:
        return f"{name} {'fall' if value == UNITS else 'falls'} from {ends}"
    return f"no change of {name} is certain ({ends}, intervals overlap)"


def table(chosen: Headline) -> Table:
    """Means with intervals of the bound and its parts, for each D and series."""
    names = [name for name in (BOUND, *MULTIPLES, _largest_iwae(chosen.replicates)) if name]
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
