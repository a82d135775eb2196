"""Page 4: what the models draw. The best trial in full, and one trial for each latent dimension."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pandas as pd

from analysis.document.blocks import Block, Gallery, Heading, Note, Page, Picture
from analysis.pages.pictures import training_curves
from analysis.statistics.headline import BOUND, RANK
from analysis.tables import Sweep
from analysis.wording import count, figure, label

KINDS = {
    "samples": "z from the prior, then a draw of every pixel, from the same noise at every epoch.",
    "reconstructions": "Reconstructions: a row of test images, below it the decoder's means at one draw of z each.",
    "manifold": "Manifold: the decoder's means over a grid of equally probable z.",
    "traversals": "Traversals: each row moves one latent dimension from the prior's 5th to its 95th percentile; the "
    "rows that change most come first.",
}
DRAWN_ANEW = "training"
"""The curves of a trial are a picture beside its results; here they are a figure."""
MOST_DIMENSIONS = 8
MOST_BYTES = 6_000_000
"""Of picture files in one page: it stays a file that can be mailed."""


def page(sweep: Sweep) -> Page:
    """Pictures that the trials wrote to `trials/NNNN/pictures`, embedded."""
    title, lead = "Pictures", "Draws from the trained models: ancestral samples, reconstructions, and walks through z."
    metric = next((name for name in (RANK, BOUND) if name in sweep.trials), None)  # chosen without the test split
    trials = sweep.trials[sweep.trials["status"] == "finished"]
    if metric is None or trials.empty or trials[metric].notna().sum() == 0:
        return Page("pictures", title, lead, (Note("No trial has finished, so there is nothing to draw from yet."),))
    trials = trials[trials[metric].notna()].sort_values([metric, "trial"], ascending=[False, True])
    curves = training_curves.blocks(sweep, trials)
    drawn = trials[[bool(files(sweep.folder, int(number))) for number in trials["trial"]]]
    if drawn.empty:
        note = Note("The trials wrote no pictures (evaluation.pictures is off).")
        return Page("pictures", title, lead, (*curves, note))
    blocks = [*_best(sweep, drawn, metric), *curves, *_by_dimension(sweep, drawn, metric)]
    return Page("pictures", title, lead, tuple(blocks))


def files(folder: Path, trial: int) -> list[Path]:
    """The PNG files of a trial, samples over training in order of their epoch."""
    found = (folder / "trials" / f"{trial:04d}" / "pictures").glob("*.png")
    kept = (path for path in found if _kind(path) != DRAWN_ANEW and _size(path))
    return sorted(kept, key=lambda path: (_kind_order(path), _natural(path.stem)))


def _best(sweep: Sweep, drawn: pd.DataFrame, metric: str) -> list[Block]:
    best = drawn.iloc[0]
    number, dimension = int(best["trial"]), int(best["model.latent_dim"])
    blocks: list[Block] = [
        Heading(f"Trial {number}, the best by {label(metric)}: {figure(best[metric])} nats per image, D = {dimension}")
    ]
    pictures = files(sweep.folder, number)
    samples = _spread([path for path in pictures if _kind(path) == "samples"], most=4)
    others = [path for path in pictures if _kind(path) != "samples"]
    for mine, most, title in ((samples, 235, "Samples over training"), (others, 480, "")):
        if mine:
            said = " ".join(KINDS.get(kind, kind) for kind in dict.fromkeys(map(_kind, mine)))
            shown = tuple(Picture(path, _caption(path), _width(path, most=most)) for path in mine)
            blocks.append(Gallery(shown, f"{said} Trial {number}, its first replicate.", title))
    return blocks


def _by_dimension(sweep: Sweep, drawn: pd.DataFrame, metric: str) -> list[Block]:
    """The best trial of each D, its final samples and reconstructions."""
    chosen = drawn.groupby("model.latent_dim", as_index=False).first().sort_values("model.latent_dim")
    if len(chosen) < 2:
        return []
    rows = _spread(list(chosen.itertuples(index=False, name=None)), most=MOST_DIMENSIONS)
    place = {name: position for position, name in enumerate(chosen.columns)}
    blocks: list[Block] = [Heading("One trial for each latent dimension")]
    weight = 0
    for row in rows:
        number, dimension = int(row[place["trial"]]), int(row[place["model.latent_dim"]])
        final: dict[str, Path] = {}
        for path in files(sweep.folder, number):  # in order of epoch: the last of each kind stays
            if _kind(path) in ("samples", "reconstructions", "manifold", "traversals"):
                final[_kind(path)] = path
        weight += sum(path.stat().st_size for path in final.values())
        if weight > MOST_BYTES:
            blocks.append(
                Note(
                    f"Pictures from D = {dimension} on are left out: the page would grow too large. They lie in "
                    "trials/."
                )
            )
            break
        pictures = tuple(Picture(path, _caption(path), _width(path, most=300)) for path in final.values())
        title = f"D = {dimension}: trial {number}, {label(metric)} {figure(row[place[metric]])} nats per image"
        blocks.append(Gallery(pictures, "", title))
    if len(chosen) > len(rows):
        blocks.append(Note(f"{len(rows)} of {count(len(chosen), 'latent dimension')} are shown, evenly spread."))
    return blocks


def _kind(path: Path) -> str:
    return re.split(r"[._\-\d]", path.stem, maxsplit=1)[0] or path.stem


def _kind_order(path: Path) -> int:
    return list(KINDS).index(_kind(path)) if _kind(path) in KINDS else len(KINDS)


def _natural(text: str) -> list[tuple[bool, int, str]]:
    """`epoch_2` before `epoch_10`, and what has a number before what has none (`samples_0` ... `samples_final`)."""
    parts = re.split(r"(\d+)", text)
    return [
        (not part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts if part not in ("", "_", "-")
    ]


def _spread(items: list, most: int) -> list:  # type: ignore[type-arg]
    """First, last, and what lies evenly between."""
    if len(items) <= most:
        return items
    return [items[round(position * (len(items) - 1) / (most - 1))] for position in range(most)]


def _caption(path: Path) -> str:
    words = re.sub(r"[_\-]+", " ", path.stem)
    return re.sub(r"\b0+(\d)", r"\1", words)


def _size(path: Path) -> tuple[int, int] | None:
    """Width and height from the file's header; None for a file that is not a PNG."""
    with path.open("rb") as file:
        head = file.read(24)
    if len(head) < 24 or head[:8] != b"\x89PNG\r\n\x1a\n" or head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", head[16:24])
    return (width, height) if width and height else None


def _width(path: Path, most: int = 520) -> int:
    """Small pictures are enlarged by a whole factor, large ones are reduced."""
    width = (_size(path) or (most, most))[0]
    return width * max(1, min(4, most // width)) if width <= most else most
