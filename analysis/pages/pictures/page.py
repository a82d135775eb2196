"""The pictures that the trained models draw: the best trial in full, and one trial for each latent dimension."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import pandas as pd

from analysis.document.blocks import Block, Gallery, Heading, Note, Page, Picture
from analysis.pages.pictures import files, training_curves
from analysis.statistics.bounds import judged_by
from analysis.tables import Sweep
from analysis.tables.columns import BOUND, DIMENSION, FINISHED, RANK
from analysis.wording import count, figure, label

Item = TypeVar("Item")
FINAL = ("samples", "reconstructions", "manifold", "traversals")
"""Kinds of pictures that are shown for each latent dimension, as they were after training."""
MOST_DIMENSIONS = 8
MOST_BYTES = 6_000_000
"""Of picture files in one page: it stays a file that can be mailed."""


def page(sweep: Sweep) -> Page:
    """Pictures that the trials wrote to `trials/NNNN/pictures`, embedded."""
    title, lead = "Pictures", "Draws from the trained models: ancestral samples, reconstructions, and walks through z."
    judged = judged_by(sweep)  # the best here is the best of every page
    metric = next((name for name in (judged.rank, RANK, BOUND) if name in sweep.trials), None)
    trials = sweep.trials[sweep.trials["status"] == FINISHED]
    if metric is None or trials.empty or trials[metric].notna().sum() == 0:
        return Page("pictures", title, lead, (Note("No trial has finished, so there is nothing to draw from yet."),))
    trials = trials[trials[metric].notna()].sort_values([metric, "trial"], ascending=[False, True])
    curves = training_curves.blocks(sweep, trials)
    drawn = trials[[bool(files.of_trial(sweep.folder, int(number))) for number in trials["trial"]]]
    if drawn.empty:
        note = Note("The trials wrote no pictures (evaluation.pictures is off).")
        return Page("pictures", title, lead, (*curves, note))
    blocks = [*_best(sweep, drawn, metric), *curves, *_by_dimension(sweep, drawn, metric)]
    return Page("pictures", title, lead, tuple(blocks))


def _best(sweep: Sweep, drawn: pd.DataFrame, metric: str) -> list[Block]:
    """The best trial: samples over training, then its other pictures."""
    best = drawn.iloc[0]
    number, dimension = int(best["trial"]), int(best[DIMENSION])
    blocks: list[Block] = [
        Heading(f"Trial {number}, the best by {label(metric)}: {figure(best[metric])} nats per image, D = {dimension}")
    ]
    pictures = files.of_trial(sweep.folder, number)
    samples = _spread([path for path in pictures if files.kind(path) == "samples"], most=4)
    others = [path for path in pictures if files.kind(path) != "samples"]
    for paths, most, title in ((samples, 220, "Samples over training"), (others, 440, "")):
        if paths:
            said = " ".join(files.KINDS.get(kind, kind) for kind in dict.fromkeys(map(files.kind, paths)))
            shown = tuple(Picture(path, files.caption(path), files.width(path, most=most)) for path in paths)
            blocks.append(Gallery(shown, f"{said} Trial {number}, its first replicate.", title))
    return blocks


def _by_dimension(sweep: Sweep, drawn: pd.DataFrame, metric: str) -> list[Block]:
    """The best trial of each D, its final samples and reconstructions."""
    chosen = drawn.groupby(DIMENSION, as_index=False).first().sort_values(DIMENSION)
    if len(chosen) < 2:
        return []
    rows = _spread(list(chosen.itertuples(index=False, name=None)), most=MOST_DIMENSIONS)
    place = {name: position for position, name in enumerate(chosen.columns)}
    blocks: list[Block] = [Heading("One trial for each latent dimension", folded=True)]
    weight = 0
    for row in rows:
        number, dimension = int(row[place["trial"]]), int(row[place[DIMENSION]])
        final: dict[str, Path] = {}
        for path in files.of_trial(sweep.folder, number):  # in order of epoch: the last of each kind stays
            if files.kind(path) in FINAL:
                final[files.kind(path)] = path
        weight += sum(path.stat().st_size for path in final.values())
        if weight > MOST_BYTES:
            blocks.append(
                Note(
                    f"Pictures from D = {dimension} on are left out: the page would grow too large. They lie in "
                    "trials/."
                )
            )
            break
        pictures = tuple(Picture(path, files.caption(path), files.width(path, most=300)) for path in final.values())
        title = f"D = {dimension}: trial {number}, {label(metric)} {figure(row[place[metric]])} nats per image"
        blocks.append(Gallery(pictures, "", title))
    if len(chosen) > len(rows):
        blocks.append(Note(f"{len(rows)} of {count(len(chosen), 'latent dimension')} are shown, evenly spread."))
    return blocks


def _spread(items: list[Item], most: int) -> list[Item]:
    """First, last, and what lies evenly between."""
    if len(items) <= most:
        return items
    return [items[round(position * (len(items) - 1) / (most - 1))] for position in range(most)]
