"""The picture of the course's row: samples as training goes on, the curve in bits per dimension, the D = 2 manifold.

    python -m tests.reproductions.figure [--runs-dir runs] [--out docs/course.png]

Finished trials alone are shown.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from PIL import Image

from analysis import tables
from analysis.tables import Sweep
from tests.reproductions.lines import epochs

EPOCHS = (0, 10)
"""Epochs whose samples are shown, beside those of the best weights in the end."""
COLOURS = 64


def draw(course: Sweep, flat: Sweep | None, out: Path) -> None:
    """Three panels of samples above, the validation curve of every seed and the manifold below."""
    first = _finished(course)
    figure, axes = plt.subplot_mosaic([["0", "10", "end"], ["curve", "curve", "manifold"]], figsize=(9, 6.4))
    for epoch in EPOCHS:
        _show(axes[str(epoch)], first / f"samples_epoch_{epoch:04d}.png", f"samples, epoch {epoch}")
    _show(axes["end"], first / "samples_final.png", f"samples, {_trained(course)} epochs")
    _curve(axes["curve"], course)
    if flat is None or not (flat.trials["status"] == "finished").any():
        axes["manifold"].axis("off")
    else:
        _show(axes["manifold"], _finished(flat) / "manifold.png", f"manifold, D = 2, {_trained(flat)} epochs")
    figure.tight_layout()
    figure.savefig(out, dpi=110)
    plt.close(figure)
    # Few colours are enough for grey digits and three lines, and make the file a third as large.
    Image.open(out).convert("RGB").quantize(COLOURS, method=Image.Quantize.FASTOCTREE).save(out, optimize=True)


def _finished(sweep: Sweep) -> Path:
    """Pictures of the first finished trial."""
    done = sweep.trials.loc[sweep.trials["status"] == "finished", "trial"]
    if done.empty:
        raise SystemExit(f"{sweep.name}: must have a finished trial, got none")
    return sweep.folder / "trials" / f"{int(done.iloc[0]):04d}" / "pictures"


def _trained(sweep: Sweep) -> int:
    return int(epochs(sweep)["epoch"].max())


def _show(axes: Axes, path: Path, title: str) -> None:
    axes.imshow(Image.open(path), cmap="gray")
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def _curve(axes: Axes, sweep: Sweep) -> None:
    # The first epochs fall from 4 bits and would flatten the rest.
    history = epochs(sweep).query("epoch >= 1")
    for (_, _), seed in history.groupby(["trial", "replicate"]):
        axes.plot(seed["epoch"], seed["train.bits_per_dim"], color="#de8f05", linewidth=1)
        axes.plot(seed["epoch"], seed["validation.bits_per_dim"], color="#0173b2", linewidth=1)
    axes.legend(axes.lines[:2], ["train", "validation"], frameon=False)
    axes.set(xlabel="epoch", ylabel="bits_per_dim", title="D = 20, one line per seed")
    axes.spines[["top", "right"]].set_visible(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs-dir", type=Path, default=Path("runs"))
    parser.add_argument("--out", type=Path, default=Path("docs/course.png"))
    arguments = parser.parse_args()
    flat = arguments.runs_dir / "course_2d"
    there = tables.load(flat) if (flat / "trials.parquet").is_file() else None
    try:
        draw(tables.load(arguments.runs_dir / "course"), there, arguments.out)
    except tables.TableError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
