"""Training curves: how the best trial learned, and the best trial of each latent dimension."""

from __future__ import annotations

import numpy as np
import pandas as pd

from analysis import figures, statistics
from analysis.document.blocks import Block, Figure, Heading, Panel
from analysis.figures import theme
from analysis.pages.common import left_out
from analysis.statistics.selection import FIRST_SHARE, best_was_late
from analysis.tables import Sweep
from analysis.tables.columns import DIMENSION
from analysis.wording import count

TRAIN, VALIDATION = "train.bits_per_dim", "validation.bits_per_dim"
MOST_LINES = 8
"""Latent dimensions in one figure, evenly spread."""


def blocks(sweep: Sweep, ranked: pd.DataFrame) -> list[Block]:
    """Bits per dimension against epoch; `ranked` are finished trials, the best first."""
    rows = sweep.history[sweep.history["trial"].isin(ranked["trial"])]
    if rows.empty or rows["epoch"].max() < 2 or not np.isfinite(rows[VALIDATION]).any():
        return []
    best = int(ranked["trial"].iloc[0])
    panels = [_panel("training_curves", f"Trial {best}, every replicate", *_of_trial(rows[rows["trial"] == best]))]
    each = ranked.drop_duplicates(DIMENSION).sort_values(DIMENSION)
    if len(each) > 1:
        kept = each.iloc[np.unique(np.linspace(0, len(each) - 1, min(MOST_LINES, len(each))).round().astype(int))]
        panels.append(
            _panel("training_curves_by_dimension", "Validation, the best trial of each D", *_by_dimension(rows, kept))
        )
    caption = (
        "Lower is better; the first twentieth of the epochs may lie above the axis. First: one line per replicate. "
        f"Second: means over replicates. {left_out(each[DIMENSION], MOST_LINES)}"
        f"n = {count(each['trial'].nunique(), 'trial')}."
    )
    return [Heading("Training curves"), Figure(tuple(panels), caption, _sentence(sweep, rows))]


def _panel(name: str, title: str, lines: pd.DataFrame, looks: dict[str, figures.Style]) -> Panel:
    """Bits per dimension against epoch; the first epochs, which lie far above, are cut off."""
    late = lines[lines["epoch"] >= FIRST_SHARE * lines["epoch"].max()]
    y = figures.Axis("value", "bits_per_dim (bits)", reach=float(late["value"].max()))
    series = figures.Series("series", looks)
    return Panel(
        name,
        lambda axes: figures.histories(axes, lines, y=y, series=series, title=title),
        f"Bits per dimension against epoch. {title}",
        (4.5, 3.6),
    )


def _of_trial(rows: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, figures.Style]]:
    """A line for each replicate and split of one trial."""
    long = rows.melt(["epoch", "replicate"], [TRAIN, VALIDATION], var_name="series").dropna(subset=["value"])
    long = long.assign(series=long["series"].str.removesuffix(".bits_per_dim"), line=long["replicate"])
    looks: dict[str, figures.Style] = {"train": {"color": theme.COLOURS[1]}, "validation": {"color": theme.COLOURS[0]}}
    return long, looks


def _by_dimension(rows: pd.DataFrame, trials: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, figures.Style]]:
    """The mean over replicates on the validation split, a line for each of the trials."""
    named = rows.merge(trials[["trial", DIMENSION]], on="trial")
    means = statistics.summarise(named, VALIDATION, [DIMENSION, "epoch"]).dropna(subset=["mean"])
    lines = means.assign(value=means["mean"], series=[f"D = {d:g}" for d in means[DIMENSION]], line=0)
    looks = {
        name: {"color": theme.COLOURS[place % len(theme.COLOURS)], "linestyle": theme.LINES[place % len(theme.LINES)]}
        for place, name in enumerate(dict.fromkeys(lines["series"]))
    }
    return lines, looks


def _sentence(sweep: Sweep, rows: pd.DataFrame) -> str:
    """Whether training was long enough: the best epoch of each replicate, which is the one that was measured."""
    best = sweep.replicates[sweep.replicates["trial"].isin(rows["trial"])].dropna(subset=["best_epoch", "epochs"])
    if best.empty:
        return "The best epochs were not recorded."
    late = best_was_late(best)
    text = f"{late} of {count(len(best), 'replicate')} had their best validation bound in the last tenth of training"
    if late > len(best) / 2:
        return f"{text}: most would have gained from more epochs."
    return f"{text}; the median best epoch is {best['best_epoch'].median():.0f} of {best['epochs'].max():.0f}."
